//! Places in a refused body, as `errors` lists them.

use serde_path_to_error::{Path, Segment};

use crate::contract::api::Place;
use crate::{command, definition};

/// A problem of an input or a form; its text begins with a JSON pointer.
pub(super) fn pointed(problem: &str) -> Place {
    let (pointer, detail) = problem.split_once(": ").unwrap_or(("", problem));
    Place { pointer: pointer.into(), detail: detail.into(), ..Place::default() }
}

/// Where a body could not be read.
pub(in crate::http) fn read(path: &Path, detail: impl Into<String>) -> Place {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        Segment::Enum { variant } => format!("/{}", escaped(variant)),
        Segment::Unknown => String::new(),
    };
    Place { pointer: path.iter().map(step).collect(), detail: detail.into(), ..Place::default() }
}

/// A problem of a document.
pub(in crate::http) fn of_document(problem: &definition::Problem) -> Place {
    let severity = match problem.severity {
        definition::Severity::Error => "error",
        definition::Severity::Warning => "warning",
    };
    Place {
        pointer: pointer(&problem.path),
        detail: problem.message.clone(),
        hint: problem.hint.clone(),
        severity: Some(severity.into()),
        path: Some(problem.path.clone()),
        line: Some(problem.line),
        column: Some(problem.column),
    }
}

pub(super) fn of_schedule(problem: command::schedule::Problem) -> Place {
    let command::schedule::Problem { pointer, detail, hint } = problem;
    Place { pointer, detail, hint, ..Place::default() }
}

/// A name inside a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The JSON pointer of a place such as `activities[2].next`.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        pointer.push('/');
        pointer.push_str(&escaped(part.trim_end_matches(']')));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_json_pointers() {
        assert_eq!(pointer("activities[2].next"), "/activities/2/next");
        assert_eq!(pointer("on_error[0].to"), "/on_error/0/to");
        assert_eq!(pointer(""), "");
        assert_eq!(pointed("/a/b: is not a number").pointer, "/a/b");
        assert_eq!(pointed("the whole is wrong").pointer, "");
        let strict = serde_path_to_error::deserialize::<_, std::collections::BTreeMap<String, Vec<u8>>>;
        let error = strict(serde_json::json!({ "a/b": [1, "x"] })).unwrap_err();
        assert_eq!(read(error.path(), "m").pointer, "/a~1b/1");
    }
}
