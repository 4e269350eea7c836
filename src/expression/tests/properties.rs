//! Properties of every expression and value, and a measurement.

use std::time::Instant;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::with_scope;
use crate::expression::step_budget::StepBudget;
use crate::expression::{Expression, Scope, Template, functions};

pub(in crate::expression) fn json_value() -> impl Strategy<Value = Value> {
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

pub(in crate::expression) fn source() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("v".to_owned()),
        Just("w".to_owned()),
        Just("now".to_owned()),
        Just("null".to_owned()),
        Just("'a'".to_owned()),
        Just("duration('3d')".to_owned()),
        Just("'Europe/Berlin'".to_owned()),
        Just("'%s %d %.2f %x'".to_owned()),
        Just("optional.none()".to_owned()),
        Just("b'\\xff'".to_owned()),
        any::<u64>().prop_map(|n| format!("{n}u")),
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f32>().prop_filter("a literal", |n| n.is_finite()).prop_map(|n| format!("({n:?})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operators =
            proptest::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"]);
        let one_variable = vec!["map", "filter", "all", "exists", "exists_one", "sortBy", "optMap", "optFlatMap"];
        let two_variables = vec!["all", "exists", "transformList", "transformMap", "transformMapEntry"];
        let methods: Vec<_> = functions::names(functions::Form::Method);
        let globals: Vec<_> = functions::names(functions::Form::Global);
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (
                inner.clone(),
                proptest::sample::select(vec![".a", ".?b", "[0]", "[?1]", "['a']", ".value()", ".hasValue()"])
            )
                .prop_map(|(a, member)| format!("({a}){member}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), proptest::sample::select(one_variable), inner.clone())
                .prop_map(|(a, name, b)| format!("({a}).{name}(v, {b})")),
            (inner.clone(), proptest::sample::select(two_variables), inner.clone())
                .prop_map(|(a, name, b)| format!("({a}).{name}(v, w, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("cel.bind(v, {a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}).orValue({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}, ?'a': {b}}}")),
            (inner.clone(), proptest::sample::select(vec!["optional.of", "optional.ofNonZeroValue", "type"]))
                .prop_map(|(a, name)| format!("{name}({a})")),
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
    fn parsing_never_panics(text in ".{0,80}", code in "[a-c0-9 .?\\[\\](){}'\"rb\\\\+*/%<>=!&|,:$\n`_-]{0,120}") {
        for text in [&text, &code] {
            let _ = Expression::parse(text);
            let _ = Template::parse(text);
            let _ = Template::parse(&format!("${{{text}}}"));
        }
    }

    #[test]
    fn evaluating_never_panics_and_gives_json(v in json_value(), w in json_value(), source in source()) {
        let Ok(expression) = Expression::parse(&source) else { return Ok(()) };
        let variables: Map<String, Value> = [("v".to_owned(), v), ("w".to_owned(), w)].into_iter().collect();
        let input = Map::new();
        let (now, budget) = (Timestamp::UNIX_EPOCH, StepBudget::whole());
        let scope = Scope { variables: &variables, input: &input, now, reserved: vec![], budget: &budget };
        if let Ok(value) = expression.evaluate(&scope) {
            let text = serde_json::to_string(&value).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}

/// `cargo test --release --lib expression::speed -- --ignored --nocapture`
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
                let scope = Scope { budget: &StepBudget::whole(), ..scope.clone() };
                std::hint::black_box(expression.evaluate(&scope).unwrap());
            }
            println!("{source}: {:?}", began.elapsed() / 100_000);
        }
    });
}
