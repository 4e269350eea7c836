//! The document is valid AsyncAPI, describes every command, and is the same as in `docs/`.

use super::*;

#[test]
fn the_document_in_docs_is_the_generated_one() {
    let text = serde_json::to_string_pretty(&document("leveret")).unwrap() + "\n";
    expect_test::expect_file!["../../../docs/asyncapi.json"].assert_eq(&text);
}

#[test]
fn the_document_is_valid_by_the_schema_of_asyncapi() {
    let schema: Value = serde_json::from_str(include_str!("../../../tests/data/asyncapi/3.0.0.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut document = document("some.prefix");
    let found: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(found, [""; 0]);
    document["operations"]["receiveCommands"]["action"] = json!("fetch");
    assert!(!validator.is_valid(&document), "the schema checks nothing");
}

#[test]
fn every_command_but_internal_ones_is_described() {
    let source = include_str!("../../contract.rs");
    let (_, rest) = source.split_once("pub fn kind(&self)").unwrap();
    let (arms, _) = rest.split_once("\n}\n").unwrap();
    let kinds: Vec<&str> = arms.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    let document = document("leveret");
    let described = document["channels"]["commands"]["messages"].as_object().unwrap();
    let internal = ["continue", "fire", "deliver", "make"];
    let missing: Vec<&&str> =
        kinds.iter().filter(|kind| !described.contains_key(**kind) && !internal.contains(kind)).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    assert!(!internal.iter().any(|kind| described.contains_key(*kind)));
}

#[test]
fn every_reference_has_a_target() {
    fn walk(value: &Value, root: &Value, seen: &mut usize) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(pointer)) = members.get("$ref") {
                    *seen += 1;
                    assert!(root.pointer(pointer.trim_start_matches('#')).is_some(), "{pointer}");
                }
                members.values().for_each(|member| walk(member, root, seen));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, root, seen)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (root, mut seen) = (document("leveret"), 0);
    walk(&root, &root, &mut seen);
    assert!(seen > 50, "{seen}");
}
