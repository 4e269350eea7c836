//! The documents in `tests/definitions`: each good one is accepted, each bad one is refused as its `.txt` says.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions").join(name)
}

/// The documents of a folder, by name, in order.
fn documents(name: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn rendered(problems: &[Problem], path: &Path, text: &str) -> String {
    let file = path.file_name().unwrap().to_str().unwrap();
    problems.iter().map(|problem| render(problem, file, text)).collect()
}

/// `UPDATE_EXPECT=1` writes the `.txt` files anew.
#[test]
fn every_bad_document_is_refused_for_the_reasons_beside_it() {
    for (path, text) in documents("bad") {
        let problems = Definition::parse(&text).expect_err(path.to_str().unwrap());
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error), "{path:?}");
        expect_file![path.with_extension("txt")].assert_eq(&rendered(&problems, &path, &text));
    }
}

#[test]
fn every_good_document_is_accepted_without_a_warning() {
    for (path, text) in documents("good") {
        let parsed = Definition::parse(&text).map_err(|problems| rendered(&problems, &path, &text));
        let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(rendered(&parsed.warnings, &path, &text), "", "{path:?}");
    }
}

/// `UPDATE_EXPECT=1` writes the `.txt` files anew.
#[test]
fn every_doubtful_document_is_accepted_with_the_warnings_beside_it() {
    for (path, text) in documents("doubtful") {
        let parsed = Definition::parse(&text).map_err(|problems| rendered(&problems, &path, &text));
        let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!parsed.warnings.is_empty(), "{path:?}");
        expect_file![path.with_extension("txt")].assert_eq(&rendered(&parsed.warnings, &path, &text));
    }
}
