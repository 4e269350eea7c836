//! Tests of parsing statements and binding values.

use serde_json::json;

use super::*;

fn read(sql: &str, params: &[(&str, &str)]) -> Result<Statement, String> {
    let params = params.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
    Statement::read(&StatementSource { sql: sql.into(), params, rows_max: None }, 9)
}

#[test]
fn a_statement_without_rows_returns_their_number() {
    let found = read("UPDATE t SET a = :a, b = :b WHERE c = :a;", &[("a", "text"), ("b", "integer?")]).unwrap();
    assert_eq!(found.text(), "UPDATE t SET a = ($1::text)::text, b = ($2::text)::bigint WHERE c = ($3::text)::text");
    assert!(!found.returns_rows && found.params[1].nullable && found.rows_max == 9);
}

#[test]
fn rows_are_returned_as_one_column_of_json() {
    let select = read("SELECT id FROM t -- all", &[]).unwrap();
    assert_eq!(select.text(), format!("WITH leveret_row AS (\nSELECT id FROM t\n) {ROWS} LIMIT 10"));
    let insert = read("insert into t values (1) returning id", &[]).unwrap();
    assert!(insert.returns_rows && insert.text().starts_with("WITH leveret_row AS (\ninsert"));
}

#[test]
fn a_with_clause_stays_at_the_top_level() {
    let sql = "WITH gone AS (DELETE FROM t WHERE id = ANY(:ids) RETURNING id) SELECT count(*) FROM gone";
    let found = read(sql, &[("ids", "uuid[]")]).unwrap();
    let begins =
        "WITH gone AS (DELETE FROM t WHERE id = ANY(($1::text[])::uuid[]) RETURNING id), leveret_row AS (\nSELECT";
    assert!(found.text().starts_with(begins), "{}", found.text());
    let counted = read("WITH a AS (SELECT 1 AS n) INSERT INTO t SELECT n FROM a", &[]).unwrap();
    assert!(!counted.returns_rows);
}

#[test]
fn strings_comments_and_casts_contain_no_parameters() {
    let sql = "SELECT ':a', E'\\':a', $q$ :a ; $q$, \":a\", b::text, x[1:2] /* :a /* ; */ */ FROM t -- :a ;";
    assert!(read(sql, &[]).unwrap().params.is_empty());
}

#[test]
fn statements_that_do_not_belong_in_a_step_are_refused() {
    let problem = |sql: &str| read(sql, &[]).unwrap_err();
    for sql in [
        "COMMIT",
        "BEGIN",
        "SET search_path = x",
        "CREATE TABLE t ()",
        "",
        "  ",
        "(SELECT 1)",
        "LOCK t",
        "COPY t TO STDOUT",
    ] {
        let said = problem(sql);
        assert!(said.contains("must begin with") || said.contains("no text"), "{sql}: {said}");
    }
    assert!(problem("SELECT 1; COMMIT").contains("one statement"));
    assert!(problem("SELECT * INTO u FROM t").contains("creates a table"));
    assert!(problem("SELECT $1").contains("write `:name`"));
    assert!(problem("SELECT :a").contains("`:a` is not declared"));
    assert!(problem("SELECT 'a").contains("is not closed"));
    assert!(read("SELECT 1", &[("a", "text")]).unwrap_err().contains("is not used"));
    assert!(read("SELECT :a", &[("a", "texts")]).unwrap_err().contains("`timestamp`"));
}

#[test]
fn tables_of_leveret_are_not_accessible_but_its_functions_are() {
    for sql in
        ["UPDATE leveret.instances SET status = 'x'", "SELECT * FROM \"leveret\" . outbox", "SELECT LEVERET.uuidv7()"]
    {
        assert!(read(sql, &[]).unwrap_err().contains("not accessible to statements"), "{sql}");
    }
    for sql in
        ["SELECT leveret.start('order', '{}')", "SELECT 'leveret.outbox'", "SELECT leveret_row.a FROM shop.leveret"]
    {
        assert!(read(sql, &[]).is_ok(), "{sql}");
    }
}

#[test]
fn values_are_bound_by_the_declared_types() {
    let all = [
        ("b", "boolean"),
        ("d", "date"),
        ("i", "integer"),
        ("j", "json"),
        ("l", "integer[]"),
        ("m", "timestamp"),
        ("n", "number"),
        ("t", "text?"),
        ("u", "uuid"),
    ];
    let sql = "SELECT :b, :d, :i, :j, :l, :m, :n, :t, :u";
    let statement = read(sql, &all).unwrap();
    let given = json!({
        "b": true, "d": "2026-02-28", "i": -3, "j": {"a": [1]}, "l": [1, 2], "m": "2026-01-01T01:00:00+01:00", "n": 0.5,
        "t": null, "u": "6F9619FF-8B86-D011-B42D-00C04FC964FF",
    });
    let one = |text: &str| Bound::One(Some(text.to_owned()));
    let doubles = json!({ "i": 3.0, "j": [1e16, 7.0, 7] });
    let doubles = [("i", "integer"), ("j", "json")].map(|(name, kind)| {
        read(&format!("SELECT :{name}"), &[(name, kind)])
            .unwrap()
            .bind(&json!({ name: doubles[name] }))
            .unwrap()
            .remove(0)
    });
    assert_eq!(doubles, [one("3"), one("[10000000000000000.0,7.0,7]")]);
    assert_eq!(
        statement.bind(&given).unwrap(),
        [
            one("true"),
            one("2026-02-28"),
            one("-3"),
            one("{\"a\":[1]}"),
            Bound::List(Some(vec!["1".into(), "2".into()])),
            one("2026-01-01T00:00:00Z"),
            one("0.5"),
            Bound::One(None),
            one("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ]
    );
}

#[test]
fn every_invalid_parameter_is_named_but_no_value() {
    let statement =
        read("SELECT :a, :b, :c, :d", &[("a", "integer"), ("b", "uuid"), ("c", "text"), ("d", "text[]")]).unwrap();
    let said = statement.bind(&json!({ "a": 1.5, "b": "secret", "d": ["x", null], "e": 1 })).unwrap_err();
    assert_eq!(
        said,
        "`a` is a number with a fraction, but its type is `integer`; `b` is a text, but its type is `uuid`; `c` is missing; \
         `d` is a list that contains null, but its type is `text[]`; `e` is not a parameter of the statement"
    );
    assert!(statement.bind(&json!({ "a": null, "b": 1, "c": "\0", "d": 1 })).unwrap_err().contains("\\u0000"));
}
