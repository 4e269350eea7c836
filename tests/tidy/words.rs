//! Words that were replaced by the field's own, and English that reads as translated.

use std::path::{Path, PathBuf};

/// A forbidden word and what to write instead.
const WORDS: [(&str, &str); 8] = [
    ("lane", "queue"),
    ("stride", "steps per delivery"),
    ("ladder", "delay queues"),
    ("rung", "delay level"),
    ("undertaker", "dead letters"),
    ("timekeeper", "the role timers or cleaner"),
    ("steer", "control"),
    ("whoever", "the process, the caller, the client"),
];
/// Endings with which a word is the same word.
const ENDINGS: [&str; 5] = ["", "s", "ed", "ing", "d"];
/// A forbidden phrase and what to write instead.
const PHRASES: [(&str, &str); 2] =
    [("nobody has", "who it is: no process, no person"), ("so many", "the number, or what is counted")];
const AFTER_IS_NO: [&str; 4] = ["longer", "more", "less", "fewer"];

/// What is read, from the root of the project.
const PLACES: [&str; 8] =
    ["src", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "migrations", "examples", "tests"];
const KINDS: [&str; 10] = ["rs", "md", "sql", "yaml", "json", "toml", "txt", "py", "js", "conf"];
/// Where the words may stand: the beginning of a path, the line that begins a table (empty: the whole file), and the reason.
const ALLOWED: [(&str, &str, &str); 12] = [
    ("tests/tidy", "", "names what it forbids"),
    ("tests/data/", "", "written by others"),
    ("examples/workers/node/node_modules/", "", "written by others"),
    ("tests/browser/node_modules/", "", "written by others"),
    ("src/http/pages/assets/htmx", "", "written by others"),
    ("src/config.rs", "const RENAMED", "gives the new name of a setting for its old one"),
    ("src/definition/yaml/cursor.rs", "const RENAMED", "gives the new name of a key for its old one"),
    ("src/roles/mod.rs", "timekeeper", "gives the new names of a role for its old one"),
    ("docs/operations.md", "`timekeeper`", "gives the new names of a role for its old one"),
    ("docs/operations.md", "worker.lanes", "gives the new name of a setting for its old one"),
    ("tests/definitions/bad/renamed.yaml", "", "a document with an old key"),
    ("tests/definitions/bad/renamed.txt", "", "what is reported of a document with an old key"),
];

/// A forbidden word and where it stands.
pub(super) struct Offender {
    /// From the root of the project.
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) what: String,
}

/// Every forbidden word in every place.
pub(super) fn offenders(root: &Path) -> Vec<Offender> {
    let mut files = Vec::new();
    for place in PLACES {
        let path = root.join(place);
        if path.is_dir() { super::walk(&path, &KINDS, &mut files) } else { files.push(path) }
    }
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let file = path.strip_prefix(root).unwrap().to_owned();
        let name = file.to_string_lossy();
        if is_allowed(&name, None) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A table is allowed from the line that names it to the one that ends it.
        let mut in_table = false;
        for (number, line) in text.lines().enumerate() {
            let allowed = is_allowed(&name, Some(line));
            in_table |= allowed && line.starts_with("const ");
            if !in_table && !allowed {
                let of = |what| Offender { file: file.clone(), line: number + 1, what };
                found.extend(forbidden(line).into_iter().map(of));
            }
            in_table &= !line.ends_with("];");
        }
    }
    found
}

fn is_allowed(file: &str, line: Option<&str>) -> bool {
    ALLOWED.iter().any(|(place, part, _)| {
        file.starts_with(place) && line.map_or(part.is_empty(), |line| !part.is_empty() && line.contains(part))
    })
}

/// What a line says that it should not, with what to say instead.
fn forbidden(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for said in words(line) {
        let forbidden =
            WORDS.iter().find(|(word, _)| said.strip_prefix(word).is_some_and(|ending| ENDINGS.contains(&ending)));
        found.extend(forbidden.map(|(_, instead)| format!("`{said}`: write {instead}")));
    }
    let lower = line.to_lowercase();
    let phrases = PHRASES.iter().filter(|(phrase, _)| lower.contains(phrase));
    found.extend(phrases.map(|(phrase, instead)| format!("`{phrase}`: write {instead}")));
    if says_is_no(&lower) {
        found.push("`is no`: write `is not a valid …`, and what is".into());
    }
    found
}

/// Whether a line says `x is no y`. `There is no y`, `is no longer` and `is no more than` are English.
fn says_is_no(line: &str) -> bool {
    line.match_indices(" is no ").any(|(at, is_no)| {
        let next: String = line[at + is_no.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '`').collect();
        !line[..at].ends_with("there") && !next.is_empty() && !AFTER_IS_NO.contains(&next.as_str())
    })
}

/// The words of a line in lower case, those inside of names like `steps_per_lane` and `StridesMax` too.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in line.chars() {
        if !c.is_alphabetic() || c.is_uppercase() && small {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if c.is_alphabetic() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn forbidden_words_are_found_in_prose_and_in_names() {
    let count = |line: &str| forbidden(line).len();
    assert_eq!(count("Whoever looks at the lanes of a `StrideMax` or `max_rungs`"), 4);
    assert_eq!(count("a plane, a runger, a straddle, an airlane2"), 0);
    assert_eq!((count("it is no name"), count("it is no longer there"), count("\"x\" is no `queue`")), (1, 0, 1));
    assert_eq!((count("there is no queue"), count("where is no queue")), (0, 1));
    assert_eq!((count("this no"), count("so many rows"), count("nobody has it")), (0, 1, 1));
}
