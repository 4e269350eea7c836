//! Optionals, uints, keys that are not strings, bindings, loops with two variables, `format`.

use serde_json::json;

use super::{check, check_errors};

#[test]
fn an_optional_becomes_its_value_where_one_is_needed() {
    check(&[
        ("person.?name + '!'", json!("Ada!")),
        ("person.?born.year + 1", json!(1816)),
        ("person.?name == 'Ada'", json!(true)),
        ("person.?name == optional.of('Ada')", json!(true)),
        ("person.?died == optional.none()", json!(true)),
        ("optional.of(null) == optional.none()", json!(false)),
        ("optional.of(null).hasValue()", json!(true)),
        ("person.?note.hasValue() && has(person.note)", json!(true)),
        ("person.?note.orValue('none')", json!("none")),
        ("{'a': null}.?a.orValue('none')", json!("none")),
        ("empty.orValue('none')", json!("none")),
        ("no.orValue(true)", json!(false)),
        ("person.?died.orValue(person.?note).orValue(1)", json!(1)),
        ("person.?note.or(person.?name)", json!("Ada")),
        ("person.?note.or(person.?died)", json!(null)),
        ("person.?note.optMap(n, n + '!').orValue('none')", json!("none")),
        ("person.?note.optFlatMap(n, n.?x).orValue('none')", json!("none")),
        ("coalesce(empty, person.?died, person.?note, name, 1 / 0)", json!("Ada")),
        ("coalesce(person.?name)", json!("Ada")),
        ("coalesce(no, true)", json!(false)),
        ("coalesce(0, 1) + coalesce('', 'x').size()", json!(0)),
        ("coalesce(empty, person.?died)", json!(null)),
        ("type(person.?name) == optional_type", json!(true)),
        ("person.?died.or(person.?name)", json!("Ada")),
        ("person.?died.or(person.?name).value()", json!("Ada")),
        ("person.?name.optMap(p, p + p)", json!("AdaAda")),
        ("person.?died.optMap(p, p + 1)", json!(null)),
        ("person.?born.optFlatMap(b, b.?year).orValue(0)", json!(1815)),
        ("optional.ofNonZeroValue(0).hasValue() || optional.ofNonZeroValue([]).hasValue()", json!(false)),
        ("[person.?name, person.?died]", json!(["Ada", null])),
        ("[?person.?name]", json!(["Ada"])),
        ("{'a': person.?name, ?'b': person.?died}", json!({"a": "Ada"})),
        ("person.?yes.orValue(true) ? 1 : 2", json!(1)),
        ("orders.first().sum * 2", json!(20)),
        ("orders.last().?id.size()", json!(1)),
        ("optional.of(optional.of(1))", json!(1)),
    ]);
    check_errors(&[
        ("person.?died.value()", "the optional is empty"),
        ("optional.of(optional.none()) + 1", "empty"),
        ("person.?died && true", "needs a boolean"),
        ("optional.of(1).year", "needs a map"),
        ("person.?name.optMap(1, 2)", "plain name"),
    ]);
}

#[test]
fn uints_are_computed_with_uints_and_ints() {
    check(&[
        ("string(18446744073709551615u)", json!("18446744073709551615")),
        ("type(5u) == uint && type(5u) != int", json!(true)),
        ("type(5u + 1u) == uint && type(5u + 1) == int", json!(true)),
        ("5u == 5 && 5u == 5.0 && 5u < 6 && 5u > -1 && 5u < 5.5", json!(true)),
        ("18446744073709551615u > 9223372036854775807", json!(true)),
        ("[5u, 1u].sum() + uint('3')", json!(9)),
        ("list[1u] + 'abc'.charAt(1u).size()", json!(2)),
        ("string(7u) + string(double(7u) / 2)", json!("73.5")),
    ]);
    check_errors(&[
        ("1u - 2u", "64 bits"),
        ("-(1u)", "needs a number"),
        ("uint(-1)", "negative"),
        ("int(18446744073709551615u)", "63 bits"),
        ("18446744073709551615u + 1", "64 bits"),
        ("[18446744073709551615u]", "make it a text with string"),
        ("1u / 0u", "division by zero"),
    ]);
}

#[test]
fn keys_of_a_result_are_strings() {
    check(&[
        ("{1: 'a', true: 'b', 'c': 2u}", json!({"1": "a", "true": "b", "c": 2})),
        ("{1: 'a'}[1] + {1: 'a'}[1u] + {1u: 'a'}[1.0]", json!("aaa")),
        ("1 in {1: 'a'} && !('1' in {1: 'a'})", json!(true)),
        ("{1: 'a'} == {1u: 'a'}", json!(true)),
        ("{2: 'b', 1: 'a'}.map(k, k).sum()", json!(3)),
        ("{1: 'a'}.merge({2: 'b'}).keys()", json!([1, 2])),
    ]);
    check_errors(&[
        ("{1: 'a', 1u: 'b'}", "duplicate key"),
        ("{1: 'a', '1': 'b'}", "equal as strings"),
        ("{1.5: 'a'}", "a key of a map"),
        ("{1: 'a'}[2]", "does not have this key"),
        ("person[1]", "does not have this key"),
    ]);
}

#[test]
fn bindings_and_loops_with_two_variables_are_evaluated() {
    check(&[
        ("cel.bind(x, n + 1, x * x)", json!(36)),
        ("cel.bind(n, n + 1, cel.bind(n, n * 2, n))", json!(12)),
        ("[1, 2].map(i, cel.bind(i, i + 1, i)).map(i, i)", json!([2, 3])),
        ("list.transformList(at, e, at * 10 + e)", json!([3, 11, 22])),
        ("list.transformList(at, e, at > 0, e)", json!([1, 2])),
        ("list.transformMap(at, e, string(e))", json!({"0": "3", "1": "1", "2": "2"})),
        ("person.born.transformMapEntry(k, v, {k + '2': v, k: 0})", json!({"year": 0, "year2": 1815})),
        ("person.born.exists(k, v, k == 'year' && v > 1800)", json!(true)),
        ("list.all(at, e, e > at)", json!(false)),
        ("list.exists_one(at, e, at == e) || list.existsOne(at, e, at == e)", json!(false)),
        ("orders.sortBy(o, -o.sum).map(o, o.id)", json!(["b", "a"])),
        ("words.sortBy(w, w)", json!(["a", "b", "b"])),
        ("[].sortBy(w, w.x)", json!([])),
        ("orders.map(x, orders.map(y, [y].transformList(a, b, x.id + b.id)[0]))", json!([["aa", "ab"], ["ba", "bb"]])),
    ]);
    check_errors(&[
        ("list.transformList(a, a, 1)", "different names"),
        ("list.transformList(1, a, 1)", "plain name"),
        ("list.transformMapEntry(k, v, v)", "needs a map for each"),
        ("list.transformMapEntry(k, v, {'a': v})", "duplicate key"),
        ("orders.sortBy(o, o)", "cannot be ordered"),
        ("person.sortBy(o, o)", "expected a list"),
        ("cel.bind(1, 2, 3)", "plain name"),
        ("cel.bound(a, 2, 3)", "unknown function"),
        ("n.transformList(a, b, 1)", "needs a list or a map"),
    ]);
}

#[test]
fn a_variable_may_have_the_name_of_a_namespace() {
    super::check_with(
        &[("math", json!([3, 4])), ("strings", json!(["a", "b"]))],
        &[
            ("strings.join('-')", json!("a-b")),
            ("math.sum() + math.abs(-1)", json!(8)),
            ("strings.quote('a')", json!("\"a\"")),
        ],
    );
}

#[test]
fn format_fills_in_clauses() {
    check(&[
        ("'%s is %d%%'.format([name, n])", json!("Ada is 5%")),
        ("'%.2f|%.0f|%f'.format([x, x, 1])", json!("2.50|2|1.000000")),
        ("'%e|%.1e'.format([1234.5, 0.00012])", json!("1.234500e+03|1.2e-04")),
        ("'%x|%X|%o|%b|%b'.format([-255, 'az', 8, -5, true])", json!("-ff|617A|10|-101|1")),
        ("'%d'.format([whole])", json!("4")),
        (
            "'%s'.format([[person.?died, person.?name, {'b': [1.0], 'a': null}]])",
            json!("[null, Ada, {a: null, b: [1]}]"),
        ),
        ("'ä%sß'.format([now])", json!("ä2026-03-01T10:00:00Zß")),
        ("'no clause'.format([1])", json!("no clause")),
    ]);
    check_errors(&[
        ("'%s'.format([])", "more clauses than values"),
        ("'%'.format([1])", "`%%`"),
        ("'%d'.format([secret])", "cannot print a string"),
        ("'%q'.format([1])", "unknown clause"),
        ("secret.format(1)", "expected a list"),
        ("'%.101f'.format([1])", "up to 100"),
        ("'%.f'.format([1])", "up to 100"),
        ("'%.99999999999999999999f'.format([1])", "up to 100"),
    ]);
}

/// Their results contain U+0000, so that the conformance tests cannot check them.
#[test]
fn escapes_follow_cel() {
    check(&[
        (r"bytes('\000\012\177\x41\X41\u0041\U00000041') == b'\x00\n\x7fAAAA'", json!(true)),
        (r"'\a\b\f\n\r\t\v\\\?\`' == '\x07\x08\x0c\x0a\x0d\x09\x0b\\?`'", json!(true)),
        (r"b'\xff\377' == b'\377\xff' && size(b'ÿ') == 2 && size('\377') == 1", json!(true)),
        (r"r'\n' == '\\n' && size(rb'\xff') == 4", json!(true)),
    ]);
    for source in [r"'\q'", r"'\u00'", r"'\ud800'", r"'\U00110000'", r"b'\u0041'", r"'\400'"] {
        assert!(super::value(source).is_err(), "{source}");
    }
}

#[test]
fn the_last_occurrence_begins_at_the_position_or_before() {
    check(&[
        ("'bananana'.lastIndexOf('ana', 5)", json!(5)),
        ("'bananana'.lastIndexOf('ana', 4)", json!(3)),
        ("'ta©o©αT'.lastIndexOf('©', 3)", json!(2)),
        ("'ta©o©αT'.lastIndexOf('©α', 4)", json!(4)),
        ("'äää'.lastIndexOf('', 1)", json!(1)),
    ]);
    check_errors(&[("'abc'.lastIndexOf('a', 9)", "does not have this position")]);
}
