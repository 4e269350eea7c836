//! Reads the cases, and compares the value of an expression with the value in CEL.

use std::fs;
use std::path::Path;

use leveret::expression::step_budget::StepBudget;
use leveret::expression::{Expression, Scope};
use serde_json::{Map, Value, json};

/// One case of the conformance tests.
pub(crate) struct Case {
    /// Its file.
    pub(crate) suite: String,
    pub(crate) name: String,
    pub(crate) source: String,
    /// The case as it was read.
    pub(crate) data: Value,
}

/// How a case ended.
pub(crate) enum Outcome {
    AsExpected,
    /// With a description of the difference.
    Otherwise(String),
}

pub(crate) fn read_all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cel");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let suite = file.file_stem().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&file).unwrap().lines() {
            let data: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| data[key].as_str().unwrap().to_owned();
            cases.push(Case { suite: suite.clone(), name: text("test"), source: text("expr"), data });
        }
    }
    cases
}

impl Case {
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.suite, self.name)
    }

    /// Its value in CEL; none if it is an error.
    fn expected(&self) -> Option<Value> {
        if self.data.get("evalError").is_some() {
            return None;
        }
        let data = self.data.get("value").or_else(|| self.data["typedResult"].get("result"));
        // A case without a value expects true.
        Some(data.cloned().unwrap_or_else(|| json!({ "boolValue": true })))
    }

    pub(crate) fn run(&self) -> Outcome {
        let (variables, bound) = self.bindings();
        let source = bound
            .iter()
            .rfold(self.source.clone(), |body, (name, value)| format!("cel.bind({name}, {value},\n{body}\n)"));
        let yielded = evaluate(&source, &variables);
        let expected = match (self.expected(), yielded) {
            (None, Err(_)) => return Outcome::AsExpected,
            (None, Ok(value)) => return Outcome::Otherwise(format!("yields {value}, CEL an error")),
            (Some(expected), Err(error)) => return Outcome::Otherwise(format!("{error}; CEL yields {expected}")),
            (Some(expected), Ok(value)) => (expected, value),
        };
        let (expected, value) = expected;
        if let Some(literal) = moment(&expected) {
            let same = evaluate(&format!("(\n{source}\n) == {literal}"), &variables);
            return if same == Ok(json!(true)) {
                Outcome::AsExpected
            } else {
                Outcome::Otherwise(format!("is not {literal}"))
            };
        }
        let (wanted, kind) = plain(&expected);
        if !same(&value, &wanted) {
            return Outcome::Otherwise(format!("yields {value}, CEL {wanted}"));
        }
        // JSON does not show the whole type: 5 may be an int or a uint.
        match evaluate(&format!("string(type(\n{source}\n))"), &variables) {
            Ok(found) if found != kind => Outcome::Otherwise(format!("yields a value of type {found}, CEL {kind}")),
            Ok(_) | Err(_) => Outcome::AsExpected,
        }
    }

    /// Variables that JSON can represent, and literals of the others.
    fn bindings(&self) -> (Map<String, Value>, Vec<(&str, String)>) {
        let mut variables = Map::new();
        let mut bound = Vec::new();
        for (name, data) in self.data["bindings"].as_object().into_iter().flatten() {
            let value = &data["value"];
            if is_json(value) {
                variables.insert(name.clone(), plain(value).0);
            } else {
                bound.push((name.as_str(), literal(value)));
            }
        }
        (variables, bound)
    }
}

fn evaluate(source: &str, variables: &Map<String, Value>) -> Result<Value, String> {
    let input = Map::new();
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let budget = StepBudget::whole();
    let scope = Scope { variables, input: &input, now, reserved: Vec::new(), budget: &budget };
    let expression = Expression::parse(source).map_err(|error| error.to_string())?;
    expression.evaluate(&scope).map_err(|error| error.to_string())
}

/// The type and the content of a CEL value.
fn typed(value: &Value) -> (&str, &Value) {
    let (kind, value) = value.as_object().and_then(|value| value.iter().next()).unwrap();
    (kind, value)
}

fn values(list: &Value) -> &[Value] {
    list["values"].as_array().map_or(&[], Vec::as_slice)
}

fn entries(map: &Value) -> &[Value] {
    map["entries"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether JSON can represent it without loss.
fn is_json(value: &Value) -> bool {
    match typed(value) {
        ("uint64Value" | "bytesValue" | "objectValue", _) => false,
        ("listValue", list) => values(list).iter().all(is_json),
        ("mapValue", map) => {
            entries(map).iter().all(|entry| entry["key"].get("stringValue").is_some() && is_json(&entry["value"]))
        }
        _ => true,
    }
}

/// The value as JSON, with the name of its type.
fn plain(value: &Value) -> (Value, &'static str) {
    let (kind, value) = typed(value);
    let text = || value.as_str().unwrap();
    match kind {
        "int64Value" => (json!(text().parse::<i64>().unwrap()), "int"),
        "uint64Value" => (json!(text().parse::<u64>().unwrap()), "uint"),
        "doubleValue" => (value.as_f64().map_or_else(|| value.clone(), Value::from), "double"),
        "stringValue" => (value.clone(), "string"),
        "bytesValue" => (value.clone(), "bytes"),
        "boolValue" => (value.clone(), "bool"),
        "nullValue" => (Value::Null, "null_type"),
        "typeValue" => (value.clone(), "type"),
        "listValue" => (values(value).iter().map(|item| plain(item).0).collect(), "list"),
        "mapValue" => {
            let entries = entries(value).iter().map(|entry| {
                let key = match plain(&entry["key"]).0 {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                (key, plain(&entry["value"]).0)
            });
            (Value::Object(entries.collect()), "map")
        }
        other => panic!("a value of type {other}"),
    }
}

/// A timestamp or a duration as an expression.
fn moment(value: &Value) -> Option<String> {
    let object = value.get("objectValue")?;
    let text = object["value"].as_str()?;
    match object["@type"].as_str()? {
        "type.googleapis.com/google.protobuf.Timestamp" => Some(format!("timestamp('{text}')")),
        "type.googleapis.com/google.protobuf.Duration" => Some(format!("duration('{text}')")),
        _ => None,
    }
}

/// A value as an expression.
fn literal(value: &Value) -> String {
    match typed(value) {
        ("uint64Value", number) => format!("{}u", number.as_str().unwrap()),
        ("int64Value", number) => number.as_str().unwrap().to_owned(),
        ("doubleValue", number) => format!("double({number})"),
        ("bytesValue", bytes) => format!("base64.decode({bytes})"),
        ("listValue", list) => format!("[{}]", values(list).iter().map(literal).collect::<Vec<_>>().join(", ")),
        ("mapValue", map) => {
            let entry = |entry: &Value| format!("{}: {}", literal(&entry["key"]), literal(&entry["value"]));
            format!("{{{}}}", entries(map).iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        ("objectValue", _) => moment(value).unwrap(),
        (_, plain) => plain.to_string(),
    }
}

/// Whether two values are equal; 0.0 equals -0.0, but 5 does not equal 5.0.
fn same(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Number(value), Value::Number(wanted)) => {
            value.is_f64() == wanted.is_f64()
                && (value == wanted || value.as_f64() == wanted.as_f64() && value.is_f64())
        }
        (Value::Array(value), Value::Array(wanted)) => {
            value.len() == wanted.len() && value.iter().zip(wanted).all(|(value, wanted)| same(value, wanted))
        }
        (Value::Object(value), Value::Object(wanted)) => {
            let found = |key: &str, wanted: &Value| value.get(key).is_some_and(|value| same(value, wanted));
            value.len() == wanted.len() && wanted.iter().all(|(key, wanted)| found(key, wanted))
        }
        (value, wanted) => value == wanted,
    }
}
