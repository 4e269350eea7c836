//! What is refused at compile time, and what ends an evaluation.

use std::time::{Duration, Instant};

use super::value;
use crate::expression::{Expression, bounds, read};

#[test]
fn an_invalid_expression_is_refused() {
    for (source, expected) in [
        ("", "is empty"),
        ("a +", "column"),
        ("a = 1", "=="),
        ("lenght(a)", "unknown function `lenght`"),
        ("a.sze()", "did you mean `size`?"),
        ("split(a, ',')", "call `split` on a value"),
        ("a.duration()", "with the value as argument"),
        ("a.split()", "takes 1 to 2 argument(s), not 0"),
        ("Thing{a: 1}", "not supported"),
        ("a.matches('(')", "not a valid regular expression"),
        ("[1].map(a, [1].map(b, [1].map(c, [1].map(d, [1].map(e, 1)))))", "deep"),
        ("'unclosed", "column"),
        ("a ? b", "column"),
    ] {
        let error = Expression::parse(source).expect_err(source).message;
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn a_too_large_expression_is_refused() {
    let deep = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    // Just above the bounds.
    let nested = usize::from(bounds::NESTING_MAX) + 2;
    for source in [
        "1".repeat(bounds::SOURCE_BYTES_MAX + 1),
        deep("(1+", "1", ")", nested),
        deep("[", "", "]", nested),
        deep("{'a':", "1", "}", nested),
        deep("size(", "a", ")", nested),
        "a?b:".repeat(bounds::QUESTIONS_MAX + 1) + "c",
        "a+".repeat(bounds::DEPTH_MAX) + "b",
        "a".to_owned() + &".b".repeat(bounds::DEPTH_MAX),
        "(".repeat(nested),
        "[".repeat(nested),
        "-!".repeat(bounds::DEPTH_MAX / 2) + "a",
    ] {
        assert!(Expression::parse(&source).is_err(), "{}", read::shown(&source));
    }
    // Sizes that people may need.
    assert!(Expression::parse(&("a+".repeat(100) + "b")).is_ok());
    assert!(Expression::parse(&("a && ".repeat(400) + "b")).is_ok());
    assert!(Expression::parse(&deep("(", "1", ")", 30)).is_ok());
}

#[test]
fn expressions_that_multiply_data_end_quickly() {
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
        "'a'.matches('a{2000}')".into(),
        format!("{range}.map(a, 'a').join('').matches('a{{30}}b')"),
        format!("'x'{}", ".replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')".repeat(60)),
        format!("{range}.map(a, hash.sha256(string(a)))"),
        format!("{range}.map(a, '%.100f'.format([1.5]))"),
        format!("{range}.map(a, formatTime(now, '{}', 'Europe/Berlin'))", "%255Y".repeat(50)),
        format!("{range}.map(a, now.getHours('America/New_York'))"),
        format!("{range}.sortBy(a, {range}[a])"),
        format!("{range}.transformMap(k, v, {range})"),
        format!("{range}.transformList(k, v, [optional.of(optional.of(v))])"),
        format!("{range}.transformMapEntry(k, v, {{k: v, -k - 1: {{v: v}}}})"),
        format!("'%s'.format([{range}.map(a, {range}.slice(0, 100))])"),
        format!("strings.quote({range}.map(a, '\"\"\"\"\"\"\"\"\"\"\"\"').join('\"'))"),
        format!("cel.bind(a, {range}, {}a{})", "cel.bind(a, a + a, ".repeat(20), ")".repeat(20)),
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
fn each_bound_of_an_evaluation_holds_at_its_edge() {
    // Some hundreds of steps for each element of the outer list.
    let steps =
        |thousands: usize| format!("lists.range({thousands}).map(i, lists.range(100).all(j, j < i + 1000)).size()");
    let bytes = |thousands: usize| {
        let separator = "y".repeat(1_000);
        format!("lists.range({}).map(i, 'k').join('{separator}').size()", thousands)
    };
    let elements = |count: usize| format!("lists.range({count}).size()");
    let digits = |count: usize| format!("'%.{count}f'.format([1.5]).size()");
    let format = |bytes: usize| format!("formatTime(now, '{}').size()", "x".repeat(bytes));
    let pattern = |count: usize| format!("'a'.matches('a{{{count}}}')");
    let nested = |levels: usize| "[1].map(a, ".repeat(levels) + "1" + &")".repeat(levels);
    for (within, beyond) in [
        (steps(450), steps(2_000)),
        // A text counts when it is joined, and when it becomes a value.
        (bytes(5_500), bytes(6_500)),
        (elements(bounds::ELEMENTS_MAX), elements(bounds::ELEMENTS_MAX + 1)),
        (digits(bounds::PRECISION_MAX), digits(bounds::PRECISION_MAX + 1)),
        (format(bounds::FORMAT_BYTES_MAX), format(bounds::FORMAT_BYTES_MAX + 1)),
        (pattern(50), pattern(2_000)),
        (nested(bounds::LOOPS_MAX), nested(bounds::LOOPS_MAX + 1)),
    ] {
        assert!(value(&within).is_ok(), "{}: {:?}", read::shown(&within), value(&within));
        assert!(value(&beyond).is_err(), "{}", read::shown(&beyond));
    }
}

#[test]
fn logic_does_not_absorb_an_exceeded_bound() {
    for source in [
        "lists.range(50000).all(a, lists.range(50000).all(b, b >= 0)) || true",
        "false && lists.range(99999999) == [] || lists.range(99999999) == [] || true",
        "[1, 2].exists(a, a == 2 || lists.range(99999999) == [])",
    ] {
        assert!(value(source).unwrap_err().message.contains("too "), "{source}");
    }
}

#[test]
fn the_deepest_valid_expressions_can_be_evaluated() {
    let sources = [
        "n+".repeat(bounds::DEPTH_MAX - 2) + "1",
        format!("{}n{}", "[".repeat(30), "]".repeat(30)),
        format!("{}n{}", "math.abs(-".repeat(30), ")".repeat(30)),
        format!("{}n{}", "optional.of(".repeat(30), ")".repeat(30)),
        format!("{}n{}", "cel.bind(n, n + 1, ".repeat(30), ")".repeat(30)),
        format!("{}optional.of(n){}", "optional.of(n).optFlatMap(n, ".repeat(30), ")".repeat(30)),
        "no ? 1 : ".repeat(bounds::QUESTIONS_MAX) + "2",
        format!("{}n{}", "(no ? 1 : -(1 + ".repeat(15), "))".repeat(15)),
    ];
    for source in sources {
        assert!(value(&source).is_ok(), "{}: {:?}", read::shown(&source), value(&source));
    }
}

#[test]
fn a_result_with_a_null_character_is_an_error() {
    let zero = "the result contains U+0000";
    let sources = [
        r#"'a\u0000b'"#,
        r#"['\u0000']"#,
        r#"{'a\u0000': 1}"#,
        r#"json.decode('"\\u0000"')"#,
        r#"json.decode('{"\\u0000": 1}')"#,
        "string(base64.decode('AA=='))",
    ];
    for source in sources {
        assert!(value(source).unwrap_err().message.contains(zero), "{source}: {:?}", value(source));
    }
    let template = crate::expression::Template::parse(r#"a${ '\u0000' }"#).unwrap();
    assert!(super::with_scope(|scope| template.text(scope)).unwrap_err().message.contains(zero));
}
