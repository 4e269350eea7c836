//! The schema is the file in `docs/`, accepts every good document, and refuses every bad one whose form is bad.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;

use super::*;
use crate::definition::problem::Problems;
use crate::definition::{Definition, yaml};

/// Why a schema does not see that a document is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unseen {
    /// YAML cannot be read, or reads something else than was meant.
    Yaml,
    /// An expression, or a name in one.
    Expression,
    /// A name that another part of the document declares, or does not.
    Name,
    /// What leads where.
    Graph,
    /// A JSON Schema inside of the document.
    Schema,
    /// Types of expressions.
    Type,
}

/// The bad documents that a schema accepts.
const UNSEEN: &[(&str, Unseen)] = &[
    ("accident-bracket.yaml", Unseen::Yaml),
    ("accident-colon.yaml", Unseen::Yaml),
    ("accident-comment.yaml", Unseen::Expression),
    ("accident-flow.yaml", Unseen::Yaml),
    ("accident-quote.yaml", Unseen::Yaml),
    ("accident-tab.yaml", Unseen::Yaml),
    ("comment-only.yaml", Unseen::Yaml),
    ("complex-key.yaml", Unseen::Yaml),
    ("cron-star.yaml", Unseen::Yaml),
    ("dead-ends.yaml", Unseen::Graph),
    ("deep.yaml", Unseen::Yaml),
    ("duplicate-keys.yaml", Unseen::Yaml),
    ("empty.yaml", Unseen::Yaml),
    ("nothing-leads-there.yaml", Unseen::Graph),
    ("schema-bounds.yaml", Unseen::Schema),
    ("schema-defaults.yaml", Unseen::Schema),
    ("slip-backtick.yaml", Unseen::Yaml),
    ("slip-braces-unquoted.yaml", Unseen::Yaml),
    ("slip-braces.yaml", Unseen::Expression),
    ("slip-choices.yaml", Unseen::Expression),
    ("slip-functions.yaml", Unseen::Expression),
    ("slip-indent.yaml", Unseen::Yaml),
    ("slip-null.yaml", Unseen::Expression),
    ("slip-operators.yaml", Unseen::Expression),
    ("slip-text-colon.yaml", Unseen::Yaml),
    ("slip-texts.yaml", Unseen::Expression),
    ("slip-title-colon.yaml", Unseen::Yaml),
    ("surrogate.json", Unseen::Yaml),
    ("two-documents.yaml", Unseen::Yaml),
    ("types.yaml", Unseen::Type),
    ("unknown-names.yaml", Unseen::Name),
];

fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// The document as a value; none if YAML cannot be read.
fn value(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).unwrap();
    yaml::read(&text, &mut Problems::default()).map(|(root, _)| root.to_value())
}

fn validator() -> Validator {
    jsonschema::validator_for(&json_schema()).unwrap()
}

#[test]
fn the_schema_in_docs_is_the_generated_one() {
    let text = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    expect_test::expect_file!["../../../docs/definition.schema.json"].assert_eq(&text);
}

#[test]
fn every_good_document_is_valid() {
    let validator = validator();
    let mut seen = 0;
    for path in [files("tests/definitions/good"), files("tests/definitions/doubtful"), files("examples")].concat() {
        let value = value(&path).unwrap();
        if value.get("activities").is_none() {
            continue;
        }
        let found: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(found, [""; 0], "{path:?}");
        seen += 1;
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn every_bad_document_whose_form_is_bad_is_refused() {
    let validator = validator();
    let accepted: BTreeSet<String> = files("tests/definitions/bad")
        .iter()
        .filter(|path| value(path).is_none_or(|value| validator.is_valid(&value)))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let told: BTreeSet<String> = UNSEEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(accepted, told, "documents that the schema accepts, and those that are listed");
}

/// Of each problem of form that the checker reports, the schema has an error there, above, or below.
#[test]
fn every_problem_of_form_is_seen() {
    let validator = validator();
    let mut seen = 0;
    for path in files("tests/definitions/bad") {
        let Some(value) = value(&path) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        let places: Vec<String> =
            validator.iter_errors(&value).map(|error| error.instance_path().as_str().to_owned()).collect();
        for problem in Definition::parse(&text).unwrap_err() {
            let of_form = ["unknown key", "expected a map", "expected a list", "expected a string", "expected true"];
            let of_form = of_form.iter().any(|begin| problem.message.starts_with(begin))
                || problem.message.ends_with("is missing")
                || problem.message.contains("must be a map");
            let place = format!("/{}", problem.path.replace(']', "").replace(['.', '['], "/"));
            // The keys of variables and labels are the author's, and values that YAML refused are null.
            if of_form && !place.contains("<<") {
                let near = |error: &String| place.starts_with(error.as_str()) || error.starts_with(&place);
                assert!(places.iter().any(near), "{path:?}: {place}: {}: {places:?}", problem.message);
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_key_has_a_description() {
    fn look(at: &str, value: &Value, seen: &mut usize) {
        let Some(map) = value.as_object() else { return };
        if map.get("additionalProperties") == Some(&json!(false)) {
            for (key, property) in map["properties"].as_object().unwrap() {
                assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}.{key}");
                *seen += 1;
            }
        }
        map.iter().for_each(|(key, value)| look(&format!("{at}.{key}"), value, seen));
    }
    let mut seen = 0;
    look("", &json_schema(), &mut seen);
    assert!(seen > 100, "{seen}");
}

/// One change each makes a good document bad, and the schema sees it.
#[test]
fn the_schema_sees_what_is_wrong_in_its_form() {
    let validator = validator();
    let good = json!({ "name": "a", "activities": [{ "id": "a", "task": { "assignee": "ann" } }] });
    assert!(validator.is_valid(&good));
    let activity = |more: Value| {
        let mut document = good.clone();
        extend(&mut document["activities"][0], more);
        document
    };
    let alone = |work: Value| {
        let mut activity = json!({ "id": "a" });
        extend(&mut activity, work);
        json!({ "name": "a", "activities": [activity] })
    };
    for bad in [
        json!({ "activities": [{ "id": "a", "end": {} }] }),
        json!({ "name": "A", "activities": [{ "id": "a", "end": {} }] }),
        json!({ "name": "a", "activities": [] }),
        activity(json!({ "nxt": "exit" })),
        activity(json!({ "end": {} })),
        activity(json!({ "limits": { "rate": "1/s" } })),
        activity(json!({ "timeout": "5 minutes" })),
        activity(json!({ "next": 5 })),
        activity(json!({ "retry": { "attempts": 0 } })),
        activity(json!({ "id": "exit" })),
        activity(json!({ "on_error": [] })),
        alone(json!({})),
        alone(json!({ "run": { "handler": "x", "sql": "y" } })),
        alone(json!({ "run": { "handler": "x", "params": {} } })),
        alone(json!({ "wait": { "for": "1s", "until": "2030-01-01T00:00:00Z" } })),
        alone(json!({ "wait": { "for": "1s", "zone": "UTC" } })),
        alone(json!({ "end": { "outcome": "failed" } })),
        alone(json!({ "end": { "error": { "code": "x" } } })),
        alone(json!({ "task": { "title": "x" } })),
        alone(json!({ "http": { "url": "ftp://x" } })),
        alone(json!({ "http": { "url": "http://x", "body": {}, "text": "x" } })),
        alone(json!({ "http": { "url": "http://x", "on_unknown": "probe" } })),
        alone(json!({ "switch": [{ "when": "x" }] })),
        alone(json!({ "task": { "assignee": "ann", "form": { "type": "array" } } })),
        alone(json!({ "task": { "assignee": "ann", "form": { "properties": { "a": { "type": "strng" } } } } })),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
