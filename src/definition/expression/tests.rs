//! Tables of what expressions mean, and properties of what they never do.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A value no message may show.
const SECRET: &str = "hunter2";

fn with_scope<T>(run: impl FnOnce(&Scope<'_>) -> T) -> T {
    let Value::Object(variables) = json!({
        "n": 5, "x": 2.5, "whole": 4.0, "name": "Ada", "empty": null, "list": [3, 1, 2], "yes": true, "no": false,
        "words": ["b", "a", "b"], "person": {"name": "Ada", "born": {"year": 1815}, "note": null}, "secret": SECRET,
        "orders": [{"id": "a", "sum": 10}, {"id": "b", "sum": 25.5}], "big": 9_223_372_036_854_775_807_i64,
        "due": "2026-03-01T12:00:00Z", "nested": [[1], [2, [3]]], "unsigned": 18_446_744_073_709_551_615_u64,
        "code": 424242, "amount": 7,
    }) else {
        unreachable!()
    };
    let Value::Object(input) = json!({"amount": 100, "detail-type": "order", "type": "card", "optional": null}) else {
        unreachable!()
    };
    let reserved = vec![("result", json!({"status": 200})), ("instance", json!({"id": "i-1"}))];
    let now = "2026-03-01T10:00:00Z".parse().unwrap();
    run(&Scope { variables: &variables, input: &input, now, reserved })
}

fn value(source: &str) -> Result<Value, Error> {
    with_scope(|scope| Expression::parse(source)?.evaluate(scope))
}

fn check(table: &[(&str, Value)]) {
    for (source, expected) in table {
        match value(source) {
            // Also the kinds of numbers: 5 is not 5.0.
            Ok(actual) => assert_eq!(actual.to_string(), expected.to_string(), "{source}"),
            Err(error) => panic!("{source}: {error}"),
        }
    }
}

fn check_errors(table: &[(&str, &str)]) {
    for (source, expected) in table {
        let error = value(source).expect_err(source).message;
        assert!(error.contains(expected), "{source}: {error}");
        assert!(!error.contains(SECRET) && !error.contains("424242"), "{source}: {error}");
    }
}

#[test]
fn arithmetic_mixes_ints_and_doubles() {
    check(&[
        ("n + 1", json!(6)),
        ("n / 2", json!(2)),
        ("-n / 2", json!(-2)),
        ("n % 3", json!(2)),
        ("n * 2.0", json!(10.0)),
        ("n / 2.0", json!(2.5)),
        ("x + n", json!(7.5)),
        ("1 - x", json!(-1.5)),
        ("whole + 1", json!(5.0)),
        ("-x", json!(-2.5)),
        ("2 + 3 * 4 - 1", json!(13)),
        ("(2 + 3) * 4", json!(20)),
        ("unsigned > 1", json!(true)),
        ("unsigned * 0", json!(0.0)),
        ("amount", json!(7)),
        ("input.amount", json!(100)),
        ("5u + 1", json!(6)),
    ]);
    check_errors(&[
        ("big + 1", "does not fit into 64 bits"),
        ("n / 0", "division by zero"),
        ("x / 0", "division by zero"),
        ("n % 0", "division by zero"),
        ("1e308 * 10.0", "no finite number"),
        ("-(-9223372036854775807 - 1)", "64 bits"),
        ("empty + 1", "`+` does not work between null and an int"),
        ("name + 1", "string(…)"),
        ("secret * 2", "`*` does not work between a text and an int"),
    ]);
}

#[test]
fn comparison_works_across_ints_and_doubles() {
    check(&[
        ("n > 4.9", json!(true)),
        ("whole == 4", json!(true)),
        ("4 == whole", json!(true)),
        ("big < 9223372036854775808.0", json!(true)),
        ("9007199254740993 > 9007199254740992.0", json!(true)),
        ("name < 'Bob'", json!(true)),
        ("name == 1", json!(false)),
        ("empty == null", json!(true)),
        ("name != null", json!(true)),
        ("[1, 2.0] == [1.0, 2]", json!(true)),
        ("{'a': 1} == {'a': 1.0}", json!(true)),
        ("{'a': 1} == {'b': 1}", json!(false)),
        ("2 in list", json!(true)),
        ("'name' in person", json!(true)),
        ("'x' in person", json!(false)),
    ]);
    check_errors(&[("name < 1", "`<` does not work"), ("now < due", "timestamp(…)"), ("list < list", "`<`")]);
}

#[test]
fn logic_decides_whatever_the_other_side_fails_with() {
    check(&[
        ("yes && !no", json!(true)),
        ("no && missing", json!(false)),
        ("missing || yes", json!(true)),
        ("yes ? 'a' : missing", json!("a")),
        ("list.exists(e, e > 2)", json!(true)),
        ("list.all(e, e > 2)", json!(false)),
        ("list.exists_one(e, e == 2)", json!(true)),
        ("[1, 'a'].exists(e, e + 1 == 2)", json!(true)),
    ]);
    check_errors(&[
        ("yes && missing", "there is no `missing` here"),
        ("n && yes", "`&&` needs a boolean, not an int"),
        ("name ? 1 : 2", "`?:` needs a boolean"),
        ("!n", "`!` needs a boolean"),
        ("list.all(e, e + 'a' == 'b')", "`+`"),
    ]);
}

#[test]
fn what_is_missing_is_an_error_unless_a_question_mark_says_otherwise() {
    check(&[
        ("person.born.year", json!(1815)),
        ("person.?born.year", json!(1815)),
        ("person.?died.year", json!(null)),
        ("person.?died", json!(null)),
        ("person[?'died']", json!(null)),
        ("list[?7]", json!(null)),
        ("list[?0]", json!(3)),
        ("empty.?name", json!(null)),
        ("person.?died.orValue('alive')", json!("alive")),
        ("person.?name.orValue('nobody')", json!("Ada")),
        ("person.?died.hasValue()", json!(false)),
        ("person.?note.hasValue()", json!(true)),
        ("person.?died == null", json!(true)),
        ("has(person.name)", json!(true)),
        ("has(person.died)", json!(false)),
        ("has(empty.name)", json!(false)),
        ("optional", json!(null)),
        ("[1, ?person.?died]", json!([1])),
        ("{?'a': person.?died, 'b': 1}", json!({"b": 1})),
        ("[].first()", json!(null)),
        ("[].first().name", json!(null)),
        ("orders.first().id", json!("a")),
        ("optional.none()", json!(null)),
        ("optional.of(5)", json!(5)),
    ]);
    check_errors(&[
        ("person.died", "there is no member `died`"),
        ("person['died']", "no member"),
        ("empty.name", "`.name` needs a map, not null"),
        ("list[7]", "no element there"),
        ("nobody", "there is no `nobody` here (it reads nobody)"),
        ("person[secret]", "no member of that name (it reads person, secret)"),
        ("person.?died + 1", "missing"),
        ("secret.x", "`.x` needs a map, not a text"),
    ]);
}

#[test]
fn names_are_found_where_the_language_says() {
    check(&[
        ("input[\"detail-type\"]", json!("order")),
        ("input.`detail-type`", json!("order")),
        ("type", json!("card")),
        ("type(n) == int", json!(true)),
        ("type(name) == string", json!(true)),
        ("result.status", json!(200)),
        ("instance.id", json!("i-1")),
        ("string(now)", json!("2026-03-01T10:00:00Z")),
    ]);
    let names = |source: &str| Expression::parse(source).unwrap().names().to_vec();
    assert_eq!(names("b + a.c + size(d) + [1].map(e, e + f)[0] + math.abs(g)"), ["a", "b", "d", "f", "g"]);
    assert_eq!(names("list.map(list, list)"), ["list"]);
    assert_eq!(names("type + 'x'"), ["type"]);
    assert_eq!(names("type(a) == list"), ["a"]);
    assert!(names("1 + 2").is_empty());
}

#[test]
fn texts_have_their_functions() {
    check(&[
        ("name + '!'", json!("Ada!")),
        ("'a,b,c'.split(',')", json!(["a", "b", "c"])),
        ("'a,b,c'.split(',', 2)", json!(["a", "b,c"])),
        ("'aä'.split('')", json!(["a", "ä"])),
        ("words.join('-')", json!("b-a-b")),
        ("'aXbX'.replace('X', '')", json!("ab")),
        ("'aXbX'.replace('X', 'y', 1)", json!("aybX")),
        ("'tacocät'.substring(4)", json!("cät")),
        ("'tacocät'.substring(5, 6)", json!("ä")),
        ("'ää.b'.indexOf('b')", json!(3)),
        ("'ab'.indexOf('x')", json!(-1)),
        ("'abab'.lastIndexOf('ab')", json!(2)),
        ("'  a '.trim()", json!("a")),
        ("'aÄ'.lowerAscii() + 'bä'.upperAscii()", json!("aÄBä")),
        ("'abc'.charAt(1)", json!("b")),
        ("'abc'.reverse()", json!("cba")),
        ("size('ää') + 'abc'.size() + size(list) + size(person)", json!(11)),
        ("name.startsWith('A') && name.endsWith('a') && name.contains('d')", json!(true)),
        ("name.matches('^A[a-z]+$')", json!(true)),
        ("name.matches(name)", json!(true)),
        ("string(5.0) + string(2.5) + string(n) + string(yes)", json!("52.55true")),
        ("string(person.born)", json!("{\"year\":1815}")),
        ("int('42') + int(3.9)", json!(45)),
        ("double('1.5')", json!(1.5)),
        ("bool('true')", json!(true)),
    ]);
    check_errors(&[
        ("'abc'.substring(2, 1)", "`substring`"),
        ("'abc'.substring(9)", "no such position"),
        ("int(secret)", "the text is no whole number"),
        ("double('NaN')", "no finite number"),
        ("name.matches(secret + '(')", "no regular expression"),
    ]);
}

#[test]
fn lists_maps_and_numbers_have_their_functions() {
    check(&[
        ("list.sum()", json!(6)),
        ("[1, 2.5].sum()", json!(3.5)),
        ("[].sum()", json!(0)),
        ("list.sort()", json!([1, 2, 3])),
        ("words.distinct()", json!(["b", "a"])),
        ("nested.flatten()", json!([1, 2, [3]])),
        ("nested.flatten(2)", json!([1, 2, 3])),
        ("lists.range(3)", json!([0, 1, 2])),
        ("list.last()", json!(2)),
        ("list.min() + list.max()", json!(4)),
        ("[1, 2, 3, 4, 5].chunk(2)", json!([[1, 2], [3, 4], [5]])),
        ("list.slice(1, 3)", json!([1, 2])),
        ("orders.map(o, o.sum).sum()", json!(35.5)),
        ("orders.filter(o, o.sum > 20).map(o, o.id)", json!(["b"])),
        ("orders.map(o, o.sum > 20, o.id)", json!(["b"])),
        ("person.born.map(k, k)", json!(["year"])),
        ("{'a': 1}.merge({'b': n})", json!({"a": 1, "b": 5})),
        ("list + [4]", json!([3, 1, 2, 4])),
        ("math.greatest(1, 2.5, n)", json!(5)),
        ("math.least([3, 1.5])", json!(1.5)),
        ("math.abs(-3) + math.abs(-1.5)", json!(4.5)),
        ("[math.ceil(1.2), math.floor(-1.2), math.round(2.5)]", json!([2.0, -2.0, 3.0])),
        ("[1, n, [2]]", json!([1, 5, [2]])),
    ]);
    check_errors(&[("[1, 'a'].sort()", "no order"), ("['a'].sum()", "numbers"), ("{'a': 1, 'a': 2}", "twice")]);
}

#[test]
fn codecs_encode_and_decode() {
    check(&[
        ("json.encode(person.born)", json!("{\"year\":1815}")),
        ("json.decode('[1, 2.5, {\"a\": null}]')", json!([1, 2.5, {"a": null}])),
        ("base64.encode(name)", json!("QWRh")),
        ("string(base64.decode('QWRh'))", json!("Ada")),
        ("b'Ada'", json!("QWRh")),
        ("url.encode('a b/ä?')", json!("a%20b%2F%C3%A4%3F")),
        ("hash.sha256('')", json!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
        ("uuid5('a') == uuid5('a') && uuid5('a') != uuid5('b')", json!(true)),
    ]);
    check_errors(&[("json.decode(secret)", "the text is no JSON"), ("base64.decode('!')", "no base64")]);
}

#[test]
fn moments_and_durations_are_computed_with() {
    check(&[
        ("now", json!("2026-03-01T10:00:00Z")),
        ("now + duration('2h')", json!("2026-03-01T12:00:00Z")),
        ("now + duration('3d') - duration('1h30m')", json!("2026-03-04T08:30:00Z")),
        ("timestamp(due) - now", json!("2h")),
        ("now - timestamp(due)", json!("-2h")),
        ("timestamp(due) > now", json!(true)),
        ("duration('90m') == duration('1h30m')", json!(true)),
        ("duration('-90m')", json!("-1h30m")),
        ("now.getFullYear() * 100 + now.getMonth()", json!(202_602)),
        ("[now.getDate(), now.getHours(), now.getDayOfWeek()]", json!([1, 10, 0])),
        ("duration('90m').getHours()", json!(1)),
        ("int(timestamp(0))", json!(0)),
    ]);
    check_errors(&[
        ("timestamp(secret)", "the text is no moment"),
        ("duration(secret)", "the text is no duration"),
        ("now + 5", "duration(…)"),
        ("now + duration('90w') * 2", "`*`"),
        ("timestamp(99999999999999)", "out of range"),
    ]);
}

#[test]
fn what_cannot_work_is_refused_when_it_is_read() {
    for (source, expected) in [
        ("", "missing here"),
        ("a +", "column"),
        ("a = 1", "=="),
        ("lenght(a)", "no function `lenght`"),
        ("a.sze()", "there is `size`"),
        ("split(a, ',')", "called on a value"),
        ("a.duration()", "not called on a value"),
        ("a.split()", "takes 1 to 2 argument(s), here are 0"),
        ("Thing{a: 1}", "do not exist here"),
        ("a.matches('(')", "no regular expression"),
        ("[1].map(a, [1].map(b, [1].map(c, [1].map(d, [1].map(e, 1)))))", "deep"),
        ("'unclosed", "column"),
        ("a ? b", "column"),
    ] {
        let error = Expression::parse(source).expect_err(source).message;
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn what_is_too_large_is_refused_when_it_is_read() {
    let deep = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    for source in [
        "1".repeat(bounds::SOURCE_BYTES_MAX + 1),
        deep("(1+", "1", ")", 1000),
        deep("[", "", "]", 2000),
        deep("{'a':", "1", "}", 500),
        deep("size(", "a", ")", 600),
        "a?b:".repeat(1000) + "c",
        "a+".repeat(2000) + "b",
        "a".to_owned() + &".b".repeat(2000),
        "(".repeat(4000),
        "[".repeat(4000),
        "-!".repeat(2000) + "a",
    ] {
        assert!(Expression::parse(&source).is_err(), "{}", read::shown(&source));
    }
    // What people may well write.
    assert!(Expression::parse(&("a+".repeat(100) + "b")).is_ok());
    assert!(Expression::parse(&("a && ".repeat(400) + "b")).is_ok());
    assert!(Expression::parse(&deep("(", "1", ")", 30)).is_ok());
}

#[test]
fn bombs_end_quickly() {
    let range = "lists.range(50000)";
    let doubled =
        |times: usize| format!("[['x'.replace('x', '{}')]]{}", "y".repeat(1_000), ".map(a, a + a)".repeat(times));
    let sources = [
        format!("{range}.map(a, {range}.map(b, b))"),
        format!("{range}.all(a, {range}.all(b, a >= 0))"),
        format!("{range}.map(a, {range})"),
        "lists.range(50000).distinct()".into(),
        "lists.range(2000000000)".into(),
        format!("{range}.map(a, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx').join('yyyyyyyyyyyyyyyyyyyyyyyyyyyy')"),
        doubled(60),
        format!("json.encode([{}])", "orders,".repeat(500) + "1"),
        format!("[{}]", format!("[{}],", "list,".repeat(60) + "1").repeat(12) + "1"),
        format!("'aaaaaaaaaaaaaaaaaaaa'.matches('{}b')", "(a*)*".repeat(600)),
        "'a'.matches('((a{100}){100}){100}')".into(),
        format!("'x'{}", ".replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')".repeat(60)),
        format!("{range}.map(a, hash.sha256(string(a)))"),
        format!("[{range}].map(l, [l, l, l, l]).map(l, [l, l, l, l]).map(l, [l, l, l, l])"),
    ];
    for source in sources {
        let began = Instant::now();
        let _ = value(&source);
        let took = began.elapsed();
        let bound = if cfg!(debug_assertions) { Duration::from_secs(2) } else { Duration::from_millis(100) };
        assert!(took < bound, "{}: {took:?}", read::shown(&source));
    }
}

#[test]
fn a_bound_is_not_absorbed() {
    for source in [
        "lists.range(50000).all(a, lists.range(50000).all(b, b >= 0)) || true",
        "false && lists.range(99999999) == [] || lists.range(99999999) == [] || true",
        "[1, 2].exists(a, a == 2 || lists.range(99999999) == [])",
    ] {
        assert!(value(source).unwrap_err().message.contains("than an expression may"), "{source}");
    }
}

#[test]
fn a_condition_is_a_boolean() {
    with_scope(|scope| {
        assert_eq!(Expression::parse("n > 4").unwrap().holds(scope), Ok(true));
        let error = Expression::parse("secret").unwrap().holds(scope).unwrap_err();
        assert_eq!(error.message, "`secret`: a condition is true or false, this is a text (it reads secret)");
    });
}

#[test]
fn templates_yield_values_alone_and_texts_among_text() {
    for (text, expected) in [
        ("plain", json!("plain")),
        ("", json!("")),
        ("${ n + 1 }", json!(6)),
        ("${list}", json!([3, 1, 2])),
        ("Hello ${ name }!", json!("Hello Ada!")),
        ("${name}${n}", json!("Ada5")),
        (" ${ n }", json!(" 5")),
        ("<${ empty }${ person.?died }>", json!("<>")),
        ("${ whole } and ${ x } and ${ yes }", json!("4 and 2.5 and true")),
        ("is ${ list } ${ person.born }", json!("is [3,1,2] {\"year\":1815}")),
        ("at ${ now } for ${ duration('90m') }", json!("at 2026-03-01T10:00:00Z for 1h30m")),
        ("$${ n } costs $5 and $$", json!("${ n } costs $5 and $$")),
        ("${ {'a': {'b': n}}.a.b }", json!(5)),
        ("${ '}' + \"}\" + '\\'}' }", json!("}}'}")),
        ("${ r'\\' + '}' }", json!("\\}")),
        ("${ '''a'}'b''' }.", json!("a'}'b.")),
        ("${ n // } in a comment\n }", json!(5)),
        ("a } b", json!("a } b")),
        ("ä${ 'ö}' }ü", json!("äö}ü")),
    ] {
        let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        with_scope(|scope| assert_eq!(template.evaluate(scope), Ok(expected), "{text}"));
    }
    for text in ["${", "a ${ b", "${ '}' ", "${}", "${ a b }", "${ {'a': 1 }"] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
    let template = Template::parse("${ b } and ${ a + b }").unwrap();
    assert_eq!(template.names(), ["a", "b"]);
    assert_eq!(template.literal(), None);
    assert_eq!(Template::parse("a $${ b").unwrap().literal(), Some("a ${ b"));
    with_scope(|scope| assert_eq!(Template::parse("${ n }").unwrap().text(scope), Ok("5".into())));
}

#[test]
fn data_is_evaluated_all_the_way_down() {
    let data = Data::Map(vec![
        ("fixed".into(), Data::Literal(json!([1]))),
        ("list".into(), Data::List(vec![Data::Expression(Expression::parse("n").unwrap())])),
        ("text".into(), Data::Template(Template::parse("Hello ${ name }").unwrap())),
    ]);
    with_scope(|scope| {
        assert_eq!(data.evaluate(scope), Ok(json!({"fixed": [1], "list": [5], "text": "Hello Ada"})));
    });
    assert_eq!(data.names(), ["n", "name"]);
}

#[test]
fn an_expression_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    is_shared::<Expression>();
    is_shared::<Template>();
    is_shared::<Data>();
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9äß:TZ.-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn source() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("v".to_owned()),
        Just("w".to_owned()),
        Just("now".to_owned()),
        Just("null".to_owned()),
        Just("'a'".to_owned()),
        Just("duration('3d')".to_owned()),
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f32>().prop_filter("a literal", |n| n.is_finite()).prop_map(|n| format!("({n:?})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operators =
            proptest::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"]);
        let methods: Vec<_> = functions::names(functions::Form::Method);
        let globals: Vec<_> = functions::names(functions::Form::Global);
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), proptest::sample::select(vec![".a", ".?b", "[0]", "[?1]", "['a']"]))
                .prop_map(|(a, member)| format!("({a}){member}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), proptest::sample::select(vec!["map", "filter", "all", "exists"]), inner.clone())
                .prop_map(|(a, name, b)| format!("({a}).{name}(v, {b})")),
            (proptest::sample::select(globals), proptest::collection::vec(inner.clone(), 1..3))
                .prop_map(|(name, args)| format!("{name}({})", args.join(", "))),
            (inner.clone(), proptest::sample::select(methods), proptest::collection::vec(inner.clone(), 0..3))
                .prop_map(|(a, name, args)| format!("({a}).{name}({})", args.join(", "))),
            proptest::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1_000 } else { 200_000 }))]

    #[test]
    fn reading_never_panics(text in ".{0,80}", code in "[a-c0-9 .?\\[\\](){}'\"rb\\\\+*/%<>=!&|,:$\n`_-]{0,120}") {
        for text in [&text, &code] {
            let _ = Expression::parse(text);
            let _ = Template::parse(text);
            let _ = Template::parse(&format!("${{{text}}}"));
        }
    }

    #[test]
    fn evaluating_never_panics_and_yields_what_json_can_hold(v in json_value(), w in json_value(), source in source()) {
        let Ok(expression) = Expression::parse(&source) else { return Ok(()) };
        let variables: Map<String, Value> = [("v".to_owned(), v), ("w".to_owned(), w)].into_iter().collect();
        let input = Map::new();
        let scope = Scope { variables: &variables, input: &input, now: Timestamp::UNIX_EPOCH, reserved: vec![] };
        if let Ok(value) = expression.evaluate(&scope) {
            let text = serde_json::to_string(&value).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}

/// `cargo test --release --lib expression::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a test"]
fn speed() {
    with_scope(|scope| {
        for source in [
            "n",
            "n + 1",
            "person.born.year > 1800 && name == 'Ada'",
            "orders.map(o, o.sum).sum()",
            "now + duration('2h')",
        ] {
            let expression = Expression::parse(source).unwrap();
            let began = Instant::now();
            for _ in 0..100_000 {
                std::hint::black_box(expression.evaluate(scope).unwrap());
            }
            println!("{source}: {:?}", began.elapsed() / 100_000);
        }
    });
}
