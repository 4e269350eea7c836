//! Holds the documents to the code: their examples are read, their tables are complete, their links lead somewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the documents must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use leveret::config::Config;
use leveret::contract::{
    Jump, Message, Rerun, Reschedule, ResolveIncident, SetPriority, SetQueue, SetVariables, Skip, Start, Target,
    TaskClaim, TaskComplete, TaskRelease,
};
use leveret::definition::{Definition, render};
use leveret::expression::step_budget::StepBudget;
use leveret::expression::{Expression, Scope};
use serde_json::{Map, Value, json};

#[path = "documents/bounds.rs"]
mod bounds;
#[path = "documents/commands.rs"]
mod commands;
#[path = "documents/help.rs"]
mod help;
#[path = "documents/reliability.rs"]
mod reliability;

/// Every document, from the root of the project.
const DOCUMENTS: [&str; 24] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/language.md",
    "docs/protocol.md",
    "docs/operations.md",
    "docs/expressions-conformance.md",
    "docs/waiting.md",
    "docs/live.md",
    "docs/calls.md",
    "docs/dashboard.md",
    "docs/workers.md",
    "docs/states.md",
    "docs/security.md",
    "docs/faults.md",
    "docs/problems.md",
    "docs/alarms.md",
    "docs/benchmarks.md",
    "docs/high-availability.md",
    "docs/retention.md",
    "docs/reliability.md",
    "docs/access.md",
];

/// What an activity shown by itself may read, and where it may lead.
const BEFORE_A_FRAGMENT: &str = "\
name: fragment
input:
  type: object
  properties:
    order_id: { type: string }
    article: { type: string }
    amount: { type: number }
    pause: { type: string }
variables: { n: 0, paid: 0, reservation: null, outcome: null, note: null }
on_error:
  - { code: shown.later, to: later }
  - { code: shown.other, to: other }
activities:
";
const AFTER_A_FRAGMENT: &str = "
  - { id: later, set: { note: null } }
  - { id: other, end: {} }
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One fenced block: what stands after the fence, and its text.
struct Block {
    place: String,
    info: String,
    text: String,
}

fn blocks(name: &str) -> Vec<Block> {
    let text = read(name);
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.as_mut()) {
            (Some(info), None) => {
                let place = format!("{name}:{}", number + 1);
                open = Some(Block { place, info: info.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name} leaves a block open");
    found
}

fn blocks_of(info: &str) -> Vec<Block> {
    DOCUMENTS.iter().flat_map(|name| blocks(name)).filter(|block| block.info == info).collect()
}

#[test]
fn every_definition_shown_can_be_used() {
    let mut whole = 0;
    for block in blocks_of("yaml") {
        let text = match block.text.trim_start() {
            text if text.starts_with("name:") => block.text.clone(),
            text if text.starts_with("- ") => {
                let indented: String = block.text.lines().map(|line| format!("  {line}\n")).collect();
                format!("{BEFORE_A_FRAGMENT}{indented}{AFTER_A_FRAGMENT}")
            }
            _ => panic!("{}: a YAML block begins with `name:` or with an activity", block.place),
        };
        whole += 1;
        if let Err(problems) = Definition::parse(&text) {
            let shown: String = problems.iter().map(|problem| render(problem, &block.place, &text)).collect();
            panic!("{shown}");
        }
    }
    assert!(whole > 8, "the examples were not found");
}

#[test]
fn every_expression_shown_has_the_value_shown() {
    let mut seen = 0;
    for block in blocks_of("cel") {
        for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
            let (source, shown) = line.split_once('→').unwrap_or_else(|| panic!("{}: `{line}` has no →", block.place));
            assert_yields(source.trim(), shown.trim(), &format!("{}: {line}", block.place));
            seen += 1;
        }
    }
    assert!(seen > 20, "the expressions were not found");
}

/// Evaluates an expression with the values docs/language.md speaks of.
fn assert_yields(source: &str, shown: &str, place: &str) {
    let variables = json!({
        "n": 3, "half": 0.5, "name": "Ada", "items": [3, 1, 2, 3], "nothing": null,
        "order": {"id": "A-17", "lines": [{"sku": "lamp", "price": 20, "count": 2}, {"sku": "rug", "price": 5, "count": 1}]},
    });
    let (variables, input) = (object(&variables), object(&json!({ "detail-type": "express" })));
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let budget = StepBudget::whole();
    let scope = Scope { variables: &variables, input: &input, now, reserved: Vec::new(), budget: &budget };
    match (Expression::parse(source).and_then(|expression| expression.evaluate(&scope)), shown) {
        (Err(_), "error") => {}
        (Err(error), _) => panic!("{place}: {error}"),
        (Ok(value), shown) => {
            let expected: Value = serde_json::from_str(shown).unwrap_or_else(|_| panic!("{place}: no JSON"));
            assert_eq!(value, expected, "{place}");
        }
    }
}

#[test]
fn every_function_is_told_with_an_example() {
    let text = read("docs/language.md");
    let (_, rest) = text.split_once("### Functions\n").unwrap();
    let (section, _) = rest.split_once("### Bounds\n").unwrap();
    let mut told = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let [name, _, example] = row.trim_matches('|').split(" | ").collect::<Vec<_>>().try_into().expect(row);
        let name = name.trim().trim_matches('`');
        let (source, shown) = example.trim().split_once("` → `").expect(row);
        assert!(source.contains(&format!("{name}(")), "the example does not call it: {row}");
        assert_yields(source.trim_matches('`'), shown.trim_matches('`'), row);
        told.insert(name.to_owned());
    }
    let folder = root().join("src/expression/functions");
    for file in sources(&folder) {
        let text = fs::read_to_string(file).unwrap();
        for form in ["Function::global(\"", "Function::method(\"", "Function::both(\""] {
            for name in text.split(form).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(told.contains(name), "docs/language.md does not tell of `{name}`");
            }
        }
    }
    // Those that are no functions of a table.
    for name in ["has", "map", "filter", "all", "exists", "exists_one", "transformMapEntry", "sortBy", "optMap", "type"]
    {
        assert!(told.contains(name), "docs/language.md does not tell of `{name}`");
    }
}

/// Numbers are as in the settings: `1 MiB` for `1048576`, `25 s` for `25s`.
#[test]
fn every_bound_that_can_be_set_is_told_as_it_is() {
    let text = read("docs/security.md");
    let (_, rest) = text.split_once("## Bounds\n").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let mut told = 0;
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        for name in cells[2].split('`').skip(1).step_by(2).filter(|name| name.contains('.')) {
            let (section, key) = name.split_once('.').unwrap();
            let default = &defaults[section][key];
            let shown = match default.as_u64() {
                Some(bytes) if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
                Some(bytes) if bytes >= 1 << 17 && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
                Some(count) if count >= 1_000 => format!("{},{:03}", count / 1_000, count % 1_000),
                Some(count) => count.to_string(),
                None => {
                    let text = default.as_str().unwrap_or_else(|| panic!("there is no setting `{name}`"));
                    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap();
                    let named = match &text[unit..] {
                        "m" => "min",
                        "d" => "day",
                        unit => unit,
                    };
                    format!("{} {named}", &text[..unit])
                }
            };
            assert!(row.contains(&shown), "`{name}` is {shown}: {row}");
            told += 1;
        }
    }
    assert!(told > 20, "{told} bounds were found");
}

/// A body says what it is: other types can be sent by any page.
#[test]
fn every_request_that_is_shown_says_what_its_body_is() {
    let mut bodies = 0;
    for block in DOCUMENTS.iter().flat_map(|name| blocks(name)) {
        let text = block.text.replace("\\\n", " ");
        for line in text.lines().filter(|line| line.contains("curl ")) {
            let untyped = line.contains(" -d ") || line.contains(" --data");
            assert!(!untyped || line.contains("Content-Type: application/"), "{}: {line}", block.place);
            bodies += usize::from(untyped || line.contains(" --json"));
        }
    }
    assert!(bodies >= 3, "the requests were not found");
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn every_body_shown_is_one_that_is_understood() {
    fn understood<T: serde::de::DeserializeOwned>(kind: &str) {
        let blocks = blocks_of(&format!("json {kind}"));
        assert!(!blocks.is_empty(), "no body of `{kind}` is shown");
        for block in blocks {
            if let Err(error) = serde_json::from_str::<T>(&block.text) {
                panic!("{}: {error}", block.place);
            }
        }
    }
    understood::<Start>("start");
    understood::<Message>("message");
    understood::<Target>("cancel");
    understood::<Target>("retry");
    understood::<TaskComplete>("task.complete");
    understood::<TaskClaim>("task.claim");
    understood::<TaskRelease>("task.release");
    understood::<Target>("suspend");
    understood::<Target>("resume");
    understood::<Target>("terminate");
    understood::<Skip>("skip");
    understood::<Jump>("jump");
    understood::<Rerun>("rerun");
    understood::<SetVariables>("variables.set");
    understood::<SetQueue>("queue.set");
    understood::<SetPriority>("priority.set");
    understood::<ResolveIncident>("incident.resolve");
    understood::<Reschedule>("timer.reschedule");
    understood::<leveret::contract::CallComplete>("call.complete");
    understood::<leveret::contract::CallHeartbeat>("call.heartbeat");
    understood::<leveret::contract::CallProgress>("call.progress");
    understood::<leveret::contract::WorkRequest>("work");
    understood::<leveret::contract::CloudEvent>("event");
    understood::<leveret::contract::schedule::ScheduleRequest>("schedule");
}

#[test]
fn every_setting_is_told_with_its_default() {
    let text = read("docs/operations.md");
    let defaults = serde_json::to_value(Config::default()).unwrap();
    for (section, settings) in object(&defaults) {
        for (key, default) in object(&settings) {
            let name = format!("{section}.{key}");
            let begin = format!("| `{name}` |");
            let line =
                text.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("`{name}` is not told"));
            let told = line.split('|').nth(2).unwrap().trim().trim_matches('`');
            let default = match default {
                Value::String(text) => text,
                other => other.to_string(),
            };
            assert_eq!(told, default, "the default of `{name}`");
        }
    }
}

/// Every text of the sources that begins like this.
fn words(begin: &str, of: fn(char) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(file).unwrap();
        for (at, _) in text.match_indices(&format!("\"{begin}")) {
            found.insert(text[at + 1..].chars().take_while(|c| of(*c)).collect());
        }
    }
    assert!(!found.is_empty(), "nothing in the sources begins with `{begin}`");
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn assert_told(document: &str, words: impl IntoIterator<Item = String>) {
    let text = read(document);
    let missing: Vec<String> = words.into_iter().filter(|word| !text.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "{document} does not tell of {missing:?}");
}

#[test]
fn every_metric_is_told() {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    let metrics = words("leveret_", plain).into_iter().filter(|name| name != "leveret_retention");
    assert_told("docs/operations.md", metrics);
}

#[test]
fn the_problems_in_docs_are_those_of_the_table() {
    expect_test::expect_file!["../docs/problems.md"].assert_eq(&leveret::http::problems_page());
}

#[test]
fn every_route_is_told() {
    let document = leveret::http::openapi();
    let routes: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert!(routes.len() > 60, "{routes:?}");
    let told = |route: &&String| route.strip_prefix("/api/v1").unwrap_or(route).to_owned();
    assert_told("docs/operations.md", routes.iter().map(told));
}

#[test]
fn everything_that_can_happen_to_an_instance_is_told() {
    let text = read("src/engine/effect.rs");
    let kinds = text.split("EntryKind::").skip(1).filter_map(|rest| rest.split(' ').next()).map(str::to_owned);
    assert_told("docs/protocol.md", kinds.filter(|kind| kind.chars().all(char::is_alphanumeric)));
}

#[test]
fn the_skeleton_of_a_test_is_a_test() {
    let file = "tests/it/skeleton.rs";
    let shown = blocks("CONTRIBUTING.md").into_iter().find(|block| block.text.starts_with("//! The skeleton"));
    assert!(shown.is_some_and(|block| block.text == read(file)), "CONTRIBUTING.md does not show {file} as it is");
}

#[test]
fn the_faults_in_docs_are_those_of_the_table() {
    expect_test::expect_file!["../docs/faults.md"].assert_eq(&leveret::fault::page());
}

/// A test is the proof of a line only if it exists.
#[test]
fn every_line_of_the_faults_names_a_test() {
    use leveret::fault::{BROKER, CODES, DATABASE};
    let proofs = CODES.iter().map(|line| line.proof);
    let proofs = proofs.chain(DATABASE.iter().map(|line| line.proof)).chain(BROKER.iter().map(|line| line.proof));
    for proof in proofs {
        let (file, test) = proof.split_once(' ').unwrap();
        let text = read(file);
        let begins = ["#[test]", "#[tokio::test]", "#[tokio::test(flavor = \"multi_thread\")]"];
        let named = |line: &str| line.trim_start().strip_prefix("async ").unwrap_or(line.trim_start()).to_owned();
        let lines: Vec<&str> = text.lines().collect();
        let found = lines
            .windows(2)
            .any(|pair| begins.contains(&pair[0].trim()) && named(pair[1]).starts_with(&format!("fn {test}(")));
        assert!(found, "{file} has no test `{test}`");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for name in DOCUMENTS {
        let folder = root().join(name).parent().unwrap().to_owned();
        let text = read(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = link.is_empty() || link.starts_with("http");
            assert!(outside || folder.join(link).exists(), "{name} links to {link}");
        }
    }
}
