//! Documents at the bounds of their check.

use leveret::definition::schema::{
    CHAIN_MAX, EXPANSION_MAX, PATTERN_BYTES_MAX, PATTERN_SOURCE_MAX, PATTERNS_MAX, SUBSCHEMAS_MAX,
};
use leveret::expression::bounds;

use super::*;

/// Bytes of a document.
const DOCUMENT_MAX: usize = 1024 * 1024;
/// Its activities.
const ACTIVITIES_MAX: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn patterns_are_bounded_each_and_together() {
    let served = Served::new().await;
    let with = |patterns: Map<String, Value>| with_input("patterns", &json!({ "properties": patterns }));
    let pattern = |text: String| json!({ "pattern": text });
    // Short texts that are large when they are compiled: the whole document is a few kilobytes.
    let large = with(members(100, |number| pattern(format!("([a-z]{{9}}[0-9]{{{}}}){{99}}", number + 1))));
    let refused = served.check(&large).await.refused("definition");
    assert!(refused.contains("KiB") || refused.contains("MiB"), "{refused}");
    // One that is too large, and one that is small enough.
    let largest = format!("{} KiB", PATTERN_BYTES_MAX / 1024);
    let refused = served.check(&with(members(1, |_| pattern("a{40000}".into())))).await.refused("definition");
    assert!(refused.contains("input.properties.p0.pattern") && refused.contains(&largest), "{refused}");
    served.check(&with(members(1, |_| pattern("a{2000}".into())))).await.accepted(200);
    let refused = served.check(&with(members(1, |_| pattern("a".repeat(PATTERN_SOURCE_MAX + 1))))).await;
    assert!(refused.refused("definition").contains("1025 bytes"));
    served.check(&with(members(1, |_| pattern("a".repeat(PATTERN_SOURCE_MAX))))).await.accepted(200);
    // Many small ones.
    let small = |count| with(members(count, |number| pattern(format!("^{number}-[A-Z]{{2}}$"))));
    served.check(&small(PATTERNS_MAX)).await.accepted(200);
    assert!(served.check(&small(PATTERNS_MAX + 1)).await.refused("definition").contains("more than 200 patterns"));
    // Those of expressions count as well.
    let matches = |count: usize| {
        let set = members(count, |number| json!(format!("\"x\".matches(\"([a-z]{{9}}x){{9}}{number}\")")));
        let variables = members(count, |_| json!(false));
        json!({ "name": "matches", "variables": variables, "activities": [{ "id": "only", "set": set }] })
    };
    served.check(&matches(100)).await.accepted(200);
    let refused = served.check(&matches(3_000)).await.refused("definition");
    assert!(refused.contains("activities[0].set") && refused.contains("2 MiB"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_that_multiply_are_refused_with_their_place() {
    let served = Served::new().await;
    // Each refers twice to the next: with 30 levels, 2^30 schemas apply to one value.
    let doubling = |levels: usize| {
        let next = |level: usize| json!({ "$ref": format!("#/$defs/p{}", level + 1) });
        let mut defs = members(levels, |level| json!({ "anyOf": [next(level), next(level)] }));
        defs.insert(format!("p{levels}"), json!({ "type": "string" }));
        with_input("doubling", &json!({ "properties": { "a": { "$ref": "#/$defs/p0" } }, "$defs": defs }))
    };
    let refused = served.check(&doubling(30)).await.refused("definition");
    assert!(refused.contains("input") && refused.contains("10000 schemas would apply to one value"), "{refused}");
    // Each level is a `$ref` and the schema behind it: below the bound, and just above it.
    let levels = (EXPANSION_MAX / 4).ilog2() as usize;
    served.check(&doubling(levels)).await.accepted(200);
    assert!(served.check(&doubling(levels + 2)).await.refused("definition").contains("multiply"));
    let chain = |length: usize| {
        let mut defs = members(length, |level| json!({ "$ref": format!("#/$defs/p{}", level + 1) }));
        defs.insert(format!("p{length}"), json!({ "type": "string" }));
        with_input("chain", &json!({ "$defs": defs }))
    };
    served.check(&chain(CHAIN_MAX - 1)).await.accepted(200);
    let refused = served.check(&chain(CHAIN_MAX)).await.refused("definition");
    assert!(refused.contains("follow each other"), "{refused}");
    // Defaults that multiply: two for each of them.
    let twice = json!({ "$ref": "#", "default": {} });
    let refused = served.check(&with_input("defaults", &json!({ "properties": { "l": twice, "r": twice } }))).await;
    assert!(refused.refused("definition").contains("the defaults of this schema have no end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_may_be_as_large_as_is_said() {
    let served = Served::new().await;
    let activity = |number: usize| json!({ "id": format!("a{number}"), "set": { "x": format!("x + {number}") } });
    let many = |count| {
        let activities: Vec<Value> = (0..count).map(activity).collect();
        json!({ "name": "many", "variables": { "x": 0 }, "activities": activities })
    };
    served.check(&many(ACTIVITIES_MAX)).await.accepted(200);
    served.check(&many(ACTIVITIES_MAX + 1)).await.refused("definition");
    let padded = |bytes: usize| {
        let mut document = many(1);
        document["description"] = json!("");
        let rest = bytes - document.to_string().len();
        document["description"] = json!("x".repeat(rest));
        document
    };
    served.check(&padded(DOCUMENT_MAX)).await.accepted(200);
    assert_eq!(served.check(&padded(DOCUMENT_MAX + 1)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let properties = |count: usize| with_input("wide", &json!({ "properties": members(count, |_| json!({})) }));
    served.check(&properties(SUBSCHEMAS_MAX - 1)).await.accepted(200);
    assert!(served.check(&properties(SUBSCHEMAS_MAX)).await.refused("definition").contains("more than 20000 schemas"));
    let expression = |bytes: usize| {
        let set = json!({ "x": format!("{}1", "1 + ".repeat(bounds::DEPTH_MAX - 8)) + &" ".repeat(bytes) });
        json!({ "name": "long", "variables": { "x": 0 }, "activities": [{ "id": "a", "set": set }] })
    };
    served.check(&expression(0)).await.accepted(200);
    let text = json!({ "x": format!("\"{}\"", "y".repeat(bounds::SOURCE_BYTES_MAX)) });
    let long = json!({ "name": "long", "variables": { "x": "" }, "activities": [{ "id": "a", "set": text }] });
    assert!(served.check(&long).await.refused("definition").contains("at most 4096"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_documents_is_refused_in_part_and_delays_nobody() {
    let served = Served::new().await;
    let activities: Vec<Value> = (0..ACTIVITIES_MAX)
        .map(|number| json!({ "id": format!("a{number}"), "set": { "x": format!("[x, {number}].map(i, i + 1).sum()") } }))
        .collect();
    let document = json!({ "name": "flood", "variables": { "x": 0 }, "activities": activities });
    let url = format!("{}/api/v1/definitions/check", served.address);
    let checks = (0..40).map(|_| served.http.post(&url).json(&document).send());
    let all = futures_util::future::join_all(checks);
    tokio::pin!(all);
    let answers = loop {
        tokio::select! {
            answers = &mut all => break answers,
            () = served.lives() => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
}
