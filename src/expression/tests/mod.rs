//! The scope of these tests, and the checks of their tables.

mod beyond;
mod bounded;
mod calendar;
mod meaning;
pub(super) mod properties;
mod templates;

use serde_json::json;

use super::*;

/// A value that no message may show.
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
    let (result, instance) = (json!({"status": 200}), json!({"id": "i-1"}));
    let reserved = vec![("result", Cow::Owned(result)), ("instance", Cow::Owned(instance))];
    let now = "2026-03-01T10:00:00Z".parse().unwrap();
    run(&Scope { variables: &variables, input: &input, now, reserved, budget: &StepBudget::whole() })
}

fn value(source: &str) -> Result<Value, Error> {
    with_scope(|scope| Expression::parse(source)?.evaluate(scope))
}

fn check(table: &[(&str, Value)]) {
    for (source, expected) in table {
        match value(source) {
            // Compares types of numbers too: 5 is not 5.0.
            Ok(actual) => assert_eq!(actual.to_string(), expected.to_string(), "{source}"),
            Err(error) => panic!("{source}: {error}"),
        }
    }
}

/// The same with these variables only.
fn check_with(variables: &[(&str, Value)], table: &[(&str, Value)]) {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let (input, now) = (Map::new(), Timestamp::UNIX_EPOCH);
    let budget = StepBudget::whole();
    let scope = Scope { variables: &variables, input: &input, now, reserved: vec![], budget: &budget };
    for (source, expected) in table {
        let value = Expression::parse(source).and_then(|expression| expression.evaluate(&scope));
        assert_eq!(value.as_ref(), Ok(expected), "{source}");
    }
}

fn check_errors(table: &[(&str, &str)]) {
    for (source, expected) in table {
        let error = value(source).expect_err(source).message;
        assert!(error.contains(expected), "{source}: {error}");
        assert!(!error.contains(SECRET) && !error.contains("424242"), "{source}: {error}");
    }
}
