//! The walls a single crate does not have: floors, circles, homes of outside crates, first lines, sizes, parameters and words.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read the sources must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use circles::{Uses, edges_of_circles};
use signatures::{Unclear, unclear_parameters};

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/signatures.rs"]
mod signatures;
#[path = "tidy/words.rs"]
mod words;

/// Rooms and their floors. A file may use its own room, rooms of lower floors, and what `PEERS` allows.
const FLOORS: &[(&str, u8)] = &[
    ("text", 0),
    ("time", 0),
    ("limits", 0),
    ("contract", 0),
    ("config", 0),
    ("telemetry", 0),
    ("expression", 0),
    ("definition", 0),
    ("engine", 1),
    ("testkit", 1),
    ("graph", 1),
    ("store", 2),
    ("broker", 2),
    ("secrets", 2),
    ("outgoing", 2),
    ("command", 3),
    ("handlers", 3),
    ("app", 3),
    ("client", 3),
    ("roles", 4),
    ("http", 4),
    ("cli", 5),
    ("sandbox", 5),
    ("server", 5),
    ("main", 5),
    ("lib", 5),
    ("failpoint", 0),
    ("seeded", 0),
    ("link", 0),
    ("fault", 0),
];

/// Rooms of one floor that may use each other. Not among them: store and broker, roles and http.
const PEERS: &[(&str, &str)] = &[
    ("time", "text"),
    ("definition", "text"),
    ("definition", "contract"),
    ("expression", "contract"),
    ("expression", "time"),
    ("expression", "text"),
    ("definition", "expression"),
    ("definition", "time"),
    ("definition", "limits"),
    ("definition", "fault"),
    ("config", "time"),
    ("config", "limits"),
    ("limits", "time"),
    ("config", "contract"),
    ("config", "link"),
    ("config", "text"),
    ("contract", "time"),
    ("contract", "limits"),
    ("telemetry", "config"),
    ("telemetry", "contract"),
    ("testkit", "engine"),
    ("graph", "engine"),
    ("command", "app"),
    ("command", "handlers"),
    ("app", "handlers"),
    ("cli", "sandbox"),
    ("cli", "server"),
];

/// Rooms that may use a higher floor, with the reason.
// `telemetry` counts instances by the engine's types; it is called from above and calls nothing there.
const EXCEPTIONS: [(&str, &str); 1] = [("telemetry", "engine")];

/// Outside crates and the rooms that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("diesel_async", &["store"]),
    ("diesel_migrations", &["store"]),
    ("deadpool", &["store"]),
    ("tokio_postgres", &["store"]),
    ("lapin", &["broker"]),
    ("async_rs", &["broker"]),
    ("axum", &["http"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli", "sandbox"]),
    ("cel", &["expression"]),
    ("schemars", &["contract", "http"]),
    ("saphyr_parser", &["definition"]),
    ("hyper", &["outgoing", "http"]),
    ("hyper_util", &["outgoing", "http"]),
    ("tokio_rustls", &["outgoing", "link", "broker", "http"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("rustls_native_certs", &["link"]),
    ("async_compression", &["outgoing", "roles", "http"]),
    ("similar", &["http"]),
    ("object_store", &["roles"]),
    ("ring", &["cli", "link", "http"]),
    ("jsonwebtoken", &["http"]),
    ("ipnet", &["config", "outgoing"]),
    ("secrecy", &["secrets"]),
    ("aho_corasick", &["secrets"]),
    ("moka", &["app"]),
    ("tokio_io_timeout", &["http"]),
    ("encoding_rs", &["roles"]),
    ("dagre", &["graph"]),
    ("clap_complete", &["cli"]),
    ("serde_saphyr", &["cli"]),
    ("maud", &["graph", "http"]),
];

/// Files that may name a crate away from its home, with the reason.
// A service sends commands in its own transaction, as expressions of its own Diesel.
const VISITS: [(&str, &str); 1] = [("diesel", "src/client/sql.rs")];

/// Files that may read JSON with serde alone, with the reason. All other JSON is read by `contract::json`, which refuses numbers that
/// would become others.
const READERS: [(&str, &str); 4] = [
    ("src/contract/json.rs", "it is that reader"),
    ("src/store/json.rs", "the row was written by us"),
    ("src/client/worker.rs", "the request was written by us"),
    ("src/cli/bench/outside.rs", "the request was written by us"),
];

/// No file is longer before its tests; the aim is 300.
const LINES_MAX: usize = 400;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "common", "helpers", "types", "manager", "service", "misc"];

/// Fails with every offender, one a line.
#[track_caller]
fn assert_kept(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{} offenders: {rule}\n  {}", offenders.len(), offenders.join("\n  "));
}

struct File {
    path: PathBuf,
    /// From the root of the project, for messages.
    name: String,
    room: String,
    /// Without comments and without the tests at its end; each line at its place.
    code: String,
    text: String,
    /// Whether it holds nothing but tests.
    is_test: bool,
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &["rs"], &mut found);
    found.sort();
    assert!(found.len() > 50, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let room = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let is_test =
                path.file_stem().is_some_and(|name| name == "tests") || inside.iter().any(|part| part == "tests");
            let code = if is_test { "" } else { untested(&text) };
            let line =
                |line: &'_ str| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() };
            let code = code.lines().map(line).collect::<Vec<_>>().join("\n");
            let name = path.strip_prefix(root.parent().unwrap()).unwrap().display().to_string();
            File { path, name, room, code, text, is_test }
        })
        .collect()
}

/// What comes before the tests at the end of a file.
fn untested(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Files below a folder whose names end like this.
fn walk(folder: &Path, kinds: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, kinds, found);
        } else if path.extension().is_some_and(|extension| kinds.iter().any(|kind| extension == *kind)) {
            found.push(path);
        }
    }
}

fn floor(room: &str) -> u8 {
    let known = FLOORS.iter().find(|(name, _)| *name == room);
    known.unwrap_or_else(|| panic!("the room `{room}` has no floor: add it to FLOORS and to ARCHITECTURE.md")).1
}

/// Rooms named as `crate::room`, also inside `use crate::{a, b}`.
fn rooms_used(code: &str) -> Vec<String> {
    rooms_used_at(code).into_iter().map(|(_, room)| room).collect()
}

/// The same with the line on which each is named.
fn rooms_used_at(code: &str) -> Vec<(usize, String)> {
    let mut used: Vec<(usize, String)> = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let line = code[..at].lines().count().max(1);
        match rest.strip_prefix('{') {
            Some(list) => used.extend(first_words(list).into_iter().map(|room| (line, room))),
            None => used.push((line, rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())),
        }
    }
    used.retain(|(_, room)| FLOORS.iter().any(|(name, _)| name == room));
    used
}

/// The first word of each entry of `a, b::{c, d}, e}`.
fn first_words(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0;
    let mut inside = false;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                words.push(String::new());
                inside = false;
            }
            ':' if depth == 0 => inside = true,
            c if depth == 0 && !inside && (c.is_alphanumeric() || c == '_') => words.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    words
}

#[test]
fn every_room_uses_only_the_floors_below_it() {
    let mut broken = Vec::new();
    for file in files() {
        for used in rooms_used(&file.code) {
            let (from, to) = (file.room.as_str(), used.as_str());
            let allowed = from == to
                || from == "lib"
                || floor(to) < floor(from)
                || PEERS.contains(&(from, to))
                || EXCEPTIONS.contains(&(from, to));
            if !allowed {
                broken.push(format!("{} uses `{to}`", file.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn rooms_are_found_in_imports() {
    assert_eq!(rooms_used("use crate::store::{self, X};"), ["store"]);
    assert_eq!(rooms_used("use crate::{command, store};"), ["command", "store"]);
    assert_eq!(rooms_used("crate::broker::Broker; crate::unknown::X"), ["broker"]);
}

#[test]
fn outside_crates_are_named_only_at_home() {
    let mut broken = Vec::new();
    for file in files() {
        for (outside, homes) in HOMES {
            let named = [format!("{outside}::"), format!("use {outside};")]
                .iter()
                .any(|name| file.code.match_indices(name.as_str()).any(|(at, _)| begins_a_path(&file.code[..at])));
            let visits = VISITS.iter().any(|(known, place)| known == outside && file.path.ends_with(place));
            if named && !visits && !homes.contains(&file.room.as_str()) {
                broken.push(format!("{} names `{outside}`", file.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whether a name after this text is the first of its path, as in `x::` and `::x::`, and not a member of another.
fn begins_a_path(before: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '>';
    match before.strip_suffix("::") {
        Some(before) => !before.ends_with(is_word),
        None => !before.ends_with(is_word),
    }
}

/// Functions of the engine that are named, called or imported.
fn engine_calls(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("engine::") {
        let rest = &code[at + "engine::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => named.extend(first_words(list)),
            None => named.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()),
        }
    }
    named.retain(|name| ["decide", "start"].contains(&name.as_str()));
    named
}

#[test]
fn only_the_entry_point_calls_the_engine() {
    for file in files().iter().filter(|file| !["command", "testkit", "engine", "lib"].contains(&file.room.as_str())) {
        let called = engine_calls(&file.code);
        assert!(called.is_empty(), "{} calls the engine: {called:?}", file.name);
    }
}

#[test]
fn names_are_found_in_paths() {
    assert!(begins_a_path("use ") && begins_a_path("fn f(c: ::") && !begins_a_path("Other::") && !begins_a_path("my_"));
    assert_eq!(engine_calls("use crate::engine::{self, Decision, decide}; engine::start(a)"), ["decide", "start"]);
}

#[test]
fn decisions_are_not_async() {
    for file in files().iter().filter(|file| floor(&file.room) <= 1) {
        let waits = ["async fn", "async {", "async move", ".await"].iter().any(|word| file.code.contains(word));
        assert!(!waits, "{} is async", file.name);
    }
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    for file in files() {
        assert!(file.text.starts_with("//! "), "{} does not open with `//!` and what it is for", file.name);
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut long = Vec::new();
    for file in files().iter().filter(|file| !file.is_test && !file.path.ends_with("schema.rs")) {
        let lines = untested(&file.text).lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}:{lines} is the last line before its tests", file.name));
        }
    }
    assert_kept(&format!("no file has more than {LINES_MAX} lines before its tests"), &long);
}

#[test]
fn no_two_rooms_use_each_other() {
    let files = files();
    let mut named = Vec::new();
    let mut uses = Uses::new();
    // The roots use every room and are used by none.
    for file in files.iter().filter(|file| !["lib", "main"].contains(&file.room.as_str())) {
        for (line, room) in rooms_used_at(&file.code) {
            let room = FLOORS.iter().find(|(name, _)| *name == room).expect("a known room").0;
            uses.entry(&file.room).or_default().insert(room);
            named.push((file, line, room));
        }
    }
    let circles: BTreeSet<_> = edges_of_circles(&uses).into_iter().collect();
    let offenders: Vec<String> = named
        .into_iter()
        .filter(|(file, _, room)| circles.contains(&(file.room.as_str(), *room)))
        .map(|(file, line, room)| format!("{}:{line} uses `{room}`, which leads back to `{}`", file.name, file.room))
        .collect();
    let edges: Vec<String> = circles.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
    assert_kept(&format!("rooms do not use each other in a circle: {}", edges.join(", ")), &offenders);
}

#[test]
fn parameters_say_what_they_mean() {
    let mut offenders = Vec::new();
    for file in files().iter().filter(|file| !file.is_test) {
        for Unclear { line, what } in unclear_parameters(&file.text) {
            offenders.push(format!("{}:{line} {what}", file.name));
        }
    }
    let what = "functions with a visibility take no `bool` and no tuple; use an enum, a struct, or two parameters";
    assert_kept(what, &offenders);
}

#[test]
fn json_from_outside_is_read_by_one_reader() {
    let mut offenders = Vec::new();
    for file in files().iter().filter(|file| !file.is_test && READERS.iter().all(|(name, _)| *name != file.name)) {
        for (at, line) in file.code.lines().enumerate() {
            if ["serde_json::from_slice", "serde_json::from_str", "serde_json::from_reader"]
                .iter()
                .any(|read| line.contains(read))
            {
                offenders.push(format!("{}:{} {}", file.name, at + 1, line.trim()));
            }
        }
    }
    assert_kept("JSON is read by `contract::json::read`", &offenders);
}

#[test]
fn words_are_plain() {
    let offenders: Vec<String> = words::offenders(Path::new(env!("CARGO_MANIFEST_DIR")))
        .into_iter()
        .map(|offender| format!("{}:{} {}", offender.file.display(), offender.line, offender.what))
        .collect();
    assert_kept("these words were replaced (see tests/tidy/words.rs)", &offenders);
}

#[test]
fn file_names_say_something() {
    for file in files() {
        let name = file.path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!EMPTY_NAMES.contains(&name.as_str()), "{}: the file name says nothing", file.name);
    }
}

#[test]
fn code_has_no_unfinished_parts() {
    for file in files() {
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX", "dbg!("] {
            assert!(!file.code.contains(word), "{} contains {word}", file.name);
        }
    }
}

/// Behind a pooler a session is shared: its locks would stay when the client leaves, and meet others.
#[test]
fn advisory_locks_belong_to_transactions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for place in ["src", "migrations", "examples"] {
        walk(&root.join(place), &["rs", "sql", "yaml", "toml"], &mut found);
    }
    assert!(found.len() > 100, "{}", found.len());
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["pg_advisory_lock", "pg_try_advisory_lock", "pg_advisory_unlock"] {
            assert!(!text.contains(word), "{}: write pg_advisory_xact_lock instead of {word}", path.display());
        }
    }
}

#[test]
fn lints_are_expected_and_not_allowed() {
    for file in files() {
        let allowed = file.text.contains("#[allow(") || file.text.contains("#![allow(");
        assert!(!allowed, "{}: write `#[expect(…, reason = \"…\")]` instead of `#[allow(…)]`", file.name);
    }
}

#[test]
fn documents_do_not_name_the_machine_they_were_written_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root.join(name)).unwrap_or_else(|_| panic!("{name} is missing"));
        assert!(!text.contains("/root/") && !text.contains("../"), "{name} names a path outside the project");
    }
}
