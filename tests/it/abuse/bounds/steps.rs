//! Steps at the bounds of their expressions.

use leveret::expression::step_budget::STEPS_MAX;

use super::*;

/// The bytes that variables may take by default.
const VARIABLES_MAX: usize = 1024 * 1024;

/// An expression that takes about this many steps and builds little: it is below every bound of its own.
fn spending(steps: usize) -> String {
    format!("lists.range({}).map(i, lists.range(100).all(j, j < i + 1000)).size()", steps / 1_000)
}

/// A document whose first step has this number of expressions.
fn document(name: &str, expressions: usize, on_error: &[Value]) -> Value {
    let set = members(expressions, |_| json!(spending(300_000)));
    let variables = members(expressions, |_| json!(0));
    let mut activities = vec![json!({ "id": "busy", "set": set, "next": "exit" })];
    if !on_error.is_empty() {
        activities[0]["on_error"] = json!(on_error);
        activities.push(json!({ "id": "caught", "when": "1 + 1 == 2", "set": { "p0": "7 * 6" } }));
    }
    json!({ "name": name, "variables": variables, "output": "${ p0 }", "activities": activities })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expressions_of_a_step_have_one_budget() {
    let served = Served::new().await;
    let caught = [json!({ "code": "expression", "when": "error.attempt == 1", "to": "caught" })];
    served.apply(&document("few", 3, &[])).await;
    served.apply(&document("many", 100, &[])).await;
    served.apply(&document("handled", 100, &caught)).await;
    let id = |taken: Taken| taken.accepted(201)["id"].clone();

    let few = id(served.start("few", json!({})).await);
    served.entry(&few, "InstanceCompleted").await;

    let many = id(served.start("many", json!({})).await);
    let failed = served.entry(&many, "ActivityFailed").await;
    assert_eq!(failed["details"]["code"], "expression", "{failed}");
    let message = failed["details"]["message"].as_str().unwrap();
    for part in ["together", "`busy`", &STEPS_MAX.to_string(), "48 MiB", "several activities"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // The same for what they build together: ten megabytes each.
    let built = "lists.range(5000).map(i, 'k').join('".to_owned() + &"y".repeat(1_000) + "').size()";
    let building = |name: &str, expressions: usize| {
        let mut document = document(name, expressions, &[]);
        document["activities"][0]["set"] = json!(members(expressions, |_| json!(built)));
        document
    };
    served.apply(&building("builds", 4)).await;
    served.apply(&building("builds-more", 6)).await;
    let builds = id(served.start("builds", json!({})).await);
    served.entry(&builds, "InstanceCompleted").await;
    let more = id(served.start("builds-more", json!({})).await);
    let failed = served.entry(&more, "ActivityFailed").await;
    assert_eq!(failed["details"]["code"], "expression", "{failed}");
    assert!(failed["details"]["message"].as_str().unwrap().contains("48 MiB"), "{failed}");
    // The handler of that failure is evaluated all the same.
    let handled = id(served.start("handled", json!({})).await);
    served.entry(&handled, "InstanceCompleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_may_be_as_large_as_is_said() {
    let served = Served::new().await;
    let document = |name: &str, bytes: usize| {
        // `{"a":"…","b":"…","c":"x"}`, in which `a` has 490,000 bytes, and `b` the rest.
        let rest = bytes - 23 - 2 * 490_000;
        json!({
            "name": name, "variables": { "a": "", "b": "", "c": "x" },
            "activities": [
                { "id": "large", "set": { "a": "lists.range(49000).map(i, c).join(\"\")" } },
                { "id": "larger", "set": { "a": "[a, a, a, a, a, a, a, a, a, a].join(\"\")" } },
                { "id": "largest", "set": { "b": format!("a + a.substring(0, {rest})") } },
            ],
        })
    };
    served.apply(&document("fits", VARIABLES_MAX)).await;
    served.apply(&document("exceeds", VARIABLES_MAX + 1)).await;
    let fits = served.start("fits", json!({})).await.accepted(201)["id"].clone();
    served.entry(&fits, "InstanceCompleted").await;
    let exceeds = served.start("exceeds", json!({})).await.accepted(201)["id"].clone();
    let failed = served.entry(&exceeds, "ActivityFailed").await;
    assert_eq!(failed["details"]["code"], "limit.variables", "{failed}");
}
