//! The document is the same as in `docs/`, whole, and true of the routes.

use std::collections::BTreeSet;

use super::*;
use crate::http::routes;

fn operations() -> Vec<Operation> {
    routes::all(crate::contract::BODY_MAX).operations()
}

fn each(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, all)| all.as_object().unwrap().iter().map(move |(method, said)| (path, method, said)))
}

#[test]
fn the_document_in_docs_is_the_generated_one() {
    let text = serde_json::to_string_pretty(&crate::http::openapi()).unwrap() + "\n";
    expect_test::expect_file!["../../../docs/openapi.json"].assert_eq(&text);
}

#[test]
fn every_route_is_one_operation_with_a_name_of_its_own() {
    let (operations, document) = (operations(), document(&operations()));
    assert_eq!(each(&document).count(), operations.len(), "two routes are the same");
    let names: BTreeSet<&str> = operations.iter().map(|operation| operation.told.id).collect();
    assert_eq!(names.len(), operations.len(), "two operations have the same name");
    for (path, method, said) in each(&document) {
        let place = format!("{method} {path}");
        assert!(!said["summary"].as_str().unwrap().is_empty(), "{place}");
        let known = TAGS.iter().any(|(name, _)| said["tags"][0] == *name);
        assert!(known, "{place} has no tag of the document");
        let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let parameters = said["parameters"].as_array().cloned().unwrap_or_default();
        let of_path = parameters.iter().filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap());
        assert_eq!(of_path.collect::<BTreeSet<_>>(), named, "{place}");
    }
}

/// What every route of one kind can do.
#[test]
fn commands_have_a_key_and_lists_have_a_limit() {
    let document = document(&operations());
    for (path, method, said) in each(&document) {
        let place = format!("{method} {path}");
        let parameters = said["parameters"].as_array().cloned().unwrap_or_default();
        let find = |name: &str| parameters.iter().find(|one| one["name"] == name);
        // A check stores nothing, and a batch says with `after` and `upto` what is left of it.
        let exempt = ["definitions/check", "dead-letters/redrive", "dead-letters/drop"];
        if method == "post" && !exempt.iter().any(|end| path.ends_with(end)) {
            assert!(find("Idempotency-Key").is_some(), "{place}");
        }
        let answer = said["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].as_str();
        if answer.is_some_and(|name| name.ends_with("Page")) {
            let limit = &find("limit").unwrap_or_else(|| panic!("{place}"))["schema"];
            assert_eq!((&limit["minimum"], &limit["maximum"]), (&json!(1), &json!(500)), "{place}");
            assert!(find("cursor").or(find("after")).is_some(), "{place}");
        }
        let tagged = ["200", "201"].iter().any(|status| said["responses"][*status]["headers"].get("ETag").is_some());
        let is_whole = !path.ends_with("claim-next");
        if tagged && is_whole && method != "get" {
            assert!(find("If-Match").is_some(), "{place}");
        }
    }
}

#[test]
fn every_reference_has_a_target_and_every_schema_a_use() {
    fn walk(value: &Value, seen: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                seen.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| walk(member, seen));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, seen)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (document, mut seen) = (document(&operations()), BTreeSet::new());
    walk(&document, &mut seen);
    for pointer in &seen {
        assert!(document.pointer(pointer.trim_start_matches('#')).is_some(), "{pointer}");
    }
    let named = document["components"]["schemas"].as_object().unwrap();
    let unused: Vec<&String> =
        named.keys().filter(|name| !seen.contains(&format!("#/components/schemas/{name}"))).collect();
    assert!(unused.is_empty(), "{unused:?}");
    assert!(seen.len() > 80, "{seen:?}");
}

/// A body is seen differently where it is received and where it is sent; one name must not stand for both.
#[test]
fn no_name_stands_for_two_schemas() {
    let mut schemas = Schemas::default();
    for operation in operations() {
        (operation.reads)(&mut Inputs::new(&operation.path, &mut schemas));
        (operation.answers)(&mut Outputs::new(&mut schemas, operation.told));
    }
    assert_eq!(schemas.doubtful(), [""; 0]);
}
