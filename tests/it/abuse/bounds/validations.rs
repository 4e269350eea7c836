//! Inputs at the bounds of their validation.

use leveret::contract::{BODY_MAX, DEPTH_MAX};

use super::*;

/// The part of a command around its input.
const ENVELOPE: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_multiplies_is_refused_and_takes_bounded_time_and_memory() {
    let served = Served::new().await;
    // Eight ways at each level, none of which fits: 8^levels, or 2^levels, if nothing bounds it.
    let inside = |ways: usize, deeper: Value| json!({ "anyOf": vec![deeper; ways] });
    let by_member = |ways| {
        inside(ways, json!({ "type": "object", "required": ["c"], "properties": { "c": { "$ref": "#/$defs/node" } } }))
    };
    let by_item = |ways| inside(ways, json!({ "type": "array", "items": { "$ref": "#/$defs/node" } }));
    let negated =
        json!({ "allOf": vec![json!({ "not": { "properties": { "c": { "not": { "$ref": "#/$defs/node" } } } } }); 8] });
    for (name, node, input) in [
        ("by-member", by_member(8), nested(15, "c", json!(1))),
        ("by-two", by_member(2), nested(60, "c", json!(1))),
        ("by-item", by_item(8), (0..15).fold(json!(1), |value, _| json!([value]))),
        ("negated", negated, nested(15, "c", json!(1))),
    ] {
        let schema = json!({ "properties": { "root": { "$ref": "#/$defs/node" } }, "$defs": { "node": node } });
        served.apply(&with_input(name, &schema)).await;
        let taken = served.start(name, json!({ "root": input })).await;
        let told = taken.refused("input");
        assert!(
            told.contains("takes too long") || told.contains("too large to tell") || told.contains("root"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_values_times_many_schemas_are_too_many_looks() {
    let served = Served::new().await;
    // Only the last of them fits, for each item: 400 million looks, if nothing bounds them.
    let one_of = |schemas: i32| json!({ "anyOf": (0..schemas).rev().map(|least| json!({ "minimum": least })).collect::<Vec<_>>() });
    let with = |schemas| json!({ "properties": { "numbers": { "items": one_of(schemas) } } });
    served.apply(&with_input("product", &with(4_000))).await;
    let refused = served.start("product", json!({ "numbers": vec![0; 100_000] })).await.refused("input");
    assert!(refused.contains("takes too long to validate") && refused.contains("2000000"), "{refused}");
    served.start("product", json!({ "numbers": vec![0; 100] })).await.accepted(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_may_be_as_large_and_deep_as_is_said() {
    let served = Served::new().await;
    let line = json!({
        "type": "object", "required": ["sku", "count"], "additionalProperties": false,
        "properties": { "sku": { "type": "string", "maxLength": 20 }, "count": { "type": "integer", "minimum": 1 },
                        "note": { "type": ["string", "null"] }, "price": { "type": "number", "default": 0 } },
    });
    let schema = json!({ "properties": {
        "lines": { "type": "array", "items": line },
        "numbers": { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 9 } },
        "tree": { "$ref": "#/$defs/tree" },
    }, "$defs": { "tree": { "properties": { "c": { "$ref": "#/$defs/tree" } } } } });
    served.apply(&with_input("large", &schema)).await;
    let lines: Vec<Value> = (0..6_000).map(|number| json!({ "sku": format!("a{number}"), "count": 1 })).collect();
    let numbers = vec![json!(7); (BODY_MAX - ENVELOPE) / 2];
    for input in [json!({ "lines": lines }), json!({ "numbers": numbers })] {
        assert!(input.to_string().len() + ENVELOPE / 2 < BODY_MAX);
        served.start("large", input).await.accepted(201);
    }
    // The input, and the member `tree` of it, are levels too.
    let deep = |levels: usize| json!({ "tree": nested(levels, "c", json!(1)) });
    served.start("large", deep(DEPTH_MAX - 2)).await.accepted(201);
    assert_eq!(served.start("large", deep(DEPTH_MAX)).await.status, StatusCode::BAD_REQUEST);
    // As many problems as values: twenty are told.
    let wrong: Vec<Value> = (0..3_000).map(|number| json!({ "sku": number, "count": 0, "x": 1 })).collect();
    let told = served.start("large", json!({ "lines": wrong })).await.refused("input");
    assert!(told.lines().count() <= 20 && told.contains("sku"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_and_a_costly_pattern_are_bounded() {
    let served = Served::new().await;
    let properties = json!({
        "text": { "type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$" },
        "costly": { "type": "string", "pattern": "^([a-z0-9]{1,30}-?){1,40}!$" },
        "unique": { "type": "array", "uniqueItems": true },
    });
    served.apply(&with_input("texts", &json!({ "properties": properties }))).await;
    served.start("texts", json!({ "text": "A".repeat(1_000) })).await.accepted(201);
    let refused = served.start("texts", json!({ "costly": "a".repeat(BODY_MAX - ENVELOPE) })).await;
    assert!(refused.refused("input").contains("takes too long"));
    let items: Vec<Value> = (0..10_000).map(|number| json!({ "id": number })).collect();
    served.start("texts", json!({ "unique": items })).await.accepted(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_that_are_filled_in_take_no_more_than_is_said() {
    let served = Served::new().await;
    // Each adds a kilobyte, a name, and what a member takes.
    let line = json!({ "properties": { "d": { "type": "string", "default": "x".repeat(1_000) } } });
    served.apply(&with_input("filled", &json!({ "properties": { "lines": { "items": line } } }))).await;
    let filled = async |lines: usize| served.start("filled", json!({ "lines": vec![json!({}); lines] })).await;
    filled(1_800).await.accepted(201);
    assert_eq!(filled(2_100).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}
