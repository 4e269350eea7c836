//! The documents in `tests/definitions`: good ones are accepted, bad ones are refused with the problems in their `.txt`.

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

/// `UPDATE_EXPECT=1` writes the `.txt` files.
#[test]
fn every_bad_document_is_refused_with_the_expected_problems() {
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

/// `UPDATE_EXPECT=1` writes the `.txt` files.
#[test]
fn every_doubtful_document_is_accepted_with_the_expected_warnings() {
    for (path, text) in documents("doubtful") {
        let parsed = Definition::parse(&text).map_err(|problems| rendered(&problems, &path, &text));
        let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!parsed.warnings.is_empty(), "{path:?}");
        expect_file![path.with_extension("txt")].assert_eq(&rendered(&parsed.warnings, &path, &text));
    }
}

/// The examples are what a newcomer copies: nothing about them is doubtful.
#[test]
fn every_example_is_accepted_without_a_warning() {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() && !path.ends_with("node_modules") {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let problems = Definition::parse(&text).map_or_else(|problems| problems, |parsed| parsed.warnings);
            assert_eq!(rendered(&problems, &path, &text), "", "{path:?}");
            seen += 1;
        }
    }
    assert!(seen > 8, "the examples were not found");
}

/// Without a schema a caller may send a value for any variable.
#[test]
fn an_input_without_a_schema_may_hold_what_a_variable_begins_with() {
    let text = "name: a\nvariables: { order: {}, lines: [], name: '', by: null }\nactivities:\n  - id: a\n    when: name == 'Ada' && by == 'x'\n    emit: { event: x, body: { id: '${ order.id + lines[0].id }' } }";
    assert_eq!(Definition::parse(text).unwrap().warnings.len(), 1, "`by` is never assigned");
}

/// A later version may know more of types than the one that accepted a document, whose instances run.
#[test]
fn the_types_of_a_stored_document_are_not_checked_again() {
    let activities = json!([{"id": "a", "set": {"n": "n + 'x'"}}]);
    let document = minimal(json!({"activities": activities, "variables": {"n": 0}}));
    assert!(Definition::from_content(&document).is_ok());
    assert!(Definition::parse(&document.to_string()).unwrap_err()[0].message.contains("does not work with"));
}

#[test]
fn the_stored_form_reads_back_as_the_same_definition() {
    for (path, text) in documents("good") {
        let parsed = Definition::parse(&text).unwrap();
        let again = Definition::from_content(&parsed.content).unwrap();
        assert_eq!(again.index, parsed.definition.index);
        // The index prints in the order of a hash map.
        let shown = |definition: Definition| format!("{:?}", Definition { index: Default::default(), ..definition });
        assert_eq!(shown(again), shown(parsed.definition), "{path:?}");
        let as_json = serde_json::to_string_pretty(&parsed.content).unwrap();
        assert_eq!(Definition::parse(&as_json).unwrap().hash, parsed.hash, "{path:?}");
    }
}

#[test]
fn decisions_keep_their_order_and_labels_when_they_are_stored() {
    let text = "name: order\nactivities: [{ id: a, task: { assignee: ann, decisions: DECISIONS } }]";
    let names = |definition: &Definition| {
        let Work::Task(task) = &definition.first().work else { panic!() };
        task.decisions.iter().map(|decision| format!("{}={}", decision.name, decision.label)).collect::<Vec<_>>()
    };
    let mut hashes = Vec::new();
    for decisions in ["{ reject: Turn down, approve: Let pass }", "[{ reject: Turn down }, { approve: Let pass }]"] {
        let parsed = Definition::parse(&text.replace("DECISIONS", decisions)).unwrap();
        assert_eq!(names(&parsed.definition), ["reject=Turn down", "approve=Let pass"]);
        assert_eq!(names(&Definition::from_content(&parsed.content).unwrap()), names(&parsed.definition));
        hashes.push(parsed.hash);
    }
    hashes
        .push(Definition::parse(&text.replace("DECISIONS", "{ approve: Let pass, reject: Turn down }")).unwrap().hash);
    assert!(hashes[0] == hashes[1] && hashes[1] != hashes[2]);
    for wrong in ["[{}]", "[{ a: A, b: B }]", "[{ a: 1 }]"] {
        assert!(Definition::parse(&text.replace("DECISIONS", wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_number_that_changes_its_kind_makes_another_version() {
    let hash = |n: &str| {
        let text = format!("name: half\nvariables: {{ n: {n} }}\nactivities: [{{ id: a, set: {{ n: n / 2 }} }}]");
        Definition::parse(&text).unwrap().hash
    };
    let numbers = ["7", "7.0", "9007199254740992", "9007199254740993", "1e16", "10000000000000000", "0"];
    for (at, one) in numbers.iter().enumerate() {
        assert!(numbers[..at].iter().all(|other| hash(other) != hash(one)), "{one}");
    }
    assert_eq!(hash("-0"), hash("0"));
    assert_eq!(hash("1e2"), hash("100.0"));
}

#[test]
fn a_tab_after_a_colon_separates_and_a_tab_in_a_text_stays() {
    let text = fs::read_to_string(folder("good").join("tabs.yaml")).unwrap();
    let content = Definition::parse(&text).unwrap().content;
    assert_eq!(content["name"], "tabs");
    assert_eq!(content["variables"], json!({ "n": 0, "text": "a:\tb\n# a\tremark\n" }));
    assert_eq!(content["activities"][0]["set"], json!({ "n": "n + 1", "text": "text + '\t'" }));
}

fn minimal(rest: Value) -> Value {
    let mut document = json!({"name": "minimal", "activities": [{"id": "a", "end": {}}]});
    document.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    document
}

#[test]
fn absent_keys_have_defaults() {
    let definition = Definition::from_content(&minimal(json!({}))).unwrap();
    assert_eq!(definition.queue, "default");
    assert_eq!(definition.on_failure, OnFailure::Suspend);
    assert_eq!(definition.events, Events { instance: true, activity: false, task: true });
    assert_eq!(definition.priority, 0);
    let first = definition.first();
    assert!(matches!(first.retry, Retries::Default) && matches!(first.timeout, Timeout::Default));
    assert!(matches!(first.next, Next::Following));
}

#[test]
fn on_timeout_is_the_first_entry_of_on_error() {
    let activities = json!([
        {"id": "a", "run": {"handler": "x"}, "on_error": [{"to": "exit"}], "on_timeout": "b", "timeout": "none", "next": "exit"},
        {"id": "b", "end": {}},
    ]);
    let definition = Definition::from_content(&minimal(json!({"activities": activities, "on_timeout": "b"}))).unwrap();
    for on_error in [&definition.on_error, &definition.first().on_error] {
        assert_eq!(on_error[0].codes, ["timeout"]);
        assert_eq!(on_error[0].to, Some(Target::Activity("b".into())));
    }
    assert_eq!(definition.first().on_error[1].to, Some(Target::Exit));
    assert!(matches!(definition.first().timeout, Timeout::None));
}

#[test]
fn bare_strings_are_expressions_and_nested_ones_are_templates() {
    use crate::expression::Data;
    let set = json!({"a": "b", "c": "${ b }", "d": ["b", "${ b }"], "e": 1, "f": {"x": ["y"]}});
    let activities = json!([{"id": "a", "set": set}]);
    let variables = json!({"a": 0, "b": 1, "c": 0, "d": 0, "e": 0, "f": 0});
    let definition =
        Definition::from_content(&minimal(json!({"activities": activities, "variables": variables}))).unwrap();
    let Work::Set(set) = &definition.first().work else { panic!() };
    let value = |name: &str| &set.iter().find(|assignment| assignment.name == name).unwrap().value;
    assert!(matches!(value("a"), Data::Expression(expression) if expression.source() == "b"));
    assert!(matches!(value("c"), Data::Expression(expression) if expression.source() == "b"));
    let Data::List(items) = value("d") else { panic!() };
    assert!(matches!(&items[..], [Data::Literal(text), Data::Template(_)] if text == "b"));
    assert!(matches!(value("e"), Data::Literal(number) if *number == json!(1)));
    assert!(matches!(value("f"), Data::Literal(map) if *map == json!({"x": ["y"]})));
}

fn problems_of(text: &str) -> Vec<String> {
    Definition::parse(text).unwrap_err().into_iter().map(|problem| problem.message).collect()
}

#[test]
fn a_document_beyond_a_bound_is_refused() {
    let activity = |number: usize| format!("  - {{ id: a{number}, set: {{}} }}\n");
    let activities = |count: usize| (0..count).map(activity).collect::<String>();
    let most = format!("name: many\nactivities:\n{}", activities(1_000));
    assert!(Definition::parse(&most).is_ok());
    let more = format!("name: many\nactivities:\n{}", activities(1_001));
    assert_eq!(problems_of(&more), ["there are 1001 activities; at most 1000 are allowed"]);

    let long = |length: usize| {
        format!(
            "name: long\nvariables: {{ n: 0 }}\nactivities:\n  - {{ id: a, set: {{ n: {} }} }}\n",
            "n".repeat(length)
        )
    };
    assert_eq!(problems_of(&long(4_097)), ["the expression has 4097 bytes; at most 4096 are allowed"]);
    assert!(problems_of(&"#".repeat(1_048_577))[0].contains("1048576 are allowed"));
    assert_eq!(problems_of("name: a\0b"), ["the character U+0000 is not allowed"]);
}

#[test]
fn a_document_of_the_largest_size_is_refused_without_delay() {
    let refused = |part: &str, times: usize| {
        let text = part.repeat(times);
        assert!(Definition::parse(&text).is_err(), "{part}");
        let inside = format!("name: a\nvariables: {text}");
        assert!(Definition::parse(&inside).is_err(), "{part}");
    };
    for part in ["\"", "'", "!", "&a ", "*a ", "|\n", "#", "- a\n", "[],", "${", "\t", "%"] {
        refused(part, 1_000_000 / part.len());
    }
    // One level more than is taken.
    for part in ["[", "{", "- ", "? ", "a: ", "{a: "] {
        refused(part, NESTING_MAX + 1);
    }
    let variables: String = (0..40_000).map(|number| format!("  variable{number}: 0\n")).collect();
    let assignments: String = (0..10_000).map(|number| format!("      varable{number}x: 0\n")).collect();
    let wide = format!("name: wide\nvariables:\n{variables}activities:\n  - id: a\n    set:\n{assignments}");
    assert_eq!(Definition::parse(&wide).unwrap_err().len(), 1_000);
    let mut value = json!(1);
    for _ in 0..=NESTING_MAX {
        value = json!([value]);
    }
    assert!(Definition::from_content(&value).is_err());
}

/// Every document here would take long if types, passes or facts had no bound.
#[test]
fn the_types_of_a_hostile_document_are_checked_without_delay() {
    let of = |variables: &str, set: &str, times: usize| {
        let activities: String = (0..times)
            .map(|number| format!("  - {{ id: a{number}, set: {{ {} }} }}\n", set.replace('#', &number.to_string())))
            .collect();
        format!("name: hostile\nvariables: {{ {variables} }}\nactivities:\n{activities}")
    };
    let names = |count: usize| (0..count).map(|at| format!("v{at}: null")).collect::<Vec<_>>().join(", ");
    // Each variable learns from the one before it, so that every pass changes one more.
    let chain = of(&format!("{}, v1000: null", names(1_000)), "v#: \"[v1000, v#, 'x#']\"", 1_000);
    let growing = of("a: {}, b: {}", "a: \"{'x#': a, 'y': b, 'z': [a, b]}\", b: \"{'x#': b, 'y': a}\"", 1_000);
    let sums = of("n: 0", &format!("n: \"{}n\"", "n+".repeat(60)), 1_000);
    let tests = of("n: null", &format!("n: \"{}n == 1\"", "n != null && ".repeat(60)), 1_000);
    let loops = of("l: []", "l: \"l.map(a, l.map(b, l.map(c, l.filter(d, d == a && b != c))))\"", 1_000);
    let wide: String = (0..5_000).map(|at| format!("p{at}: {{ $ref: '#' }}, ")).collect();
    let schema = format!(
        "name: a\ninput: {{ type: object, properties: {{ {wide} }} }}\nactivities: [{{ id: a, when: input.p1.p2.p3 > 'x', end: {{}} }}]"
    );
    for text in [chain, growing, sums, tests, loops, schema] {
        let began = std::time::Instant::now();
        let _ = Definition::parse(&text);
        // A hundred times what it takes on a slow machine; without bounds it would be hours.
        assert!(began.elapsed().as_secs() < 60, "{}", &text[..200]);
    }
}

/// Texts made of parts of definitions.
fn fragments() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "name: ",
        "activities:",
        "\n",
        "\n  ",
        "\n  - ",
        "id: ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "- ",
        "\"",
        "'",
        "${",
        "x",
        "set: ",
        "switch: ",
        "when: ",
        "to: ",
        "next: ",
        "exit",
        "run: ",
        "a",
        "!",
        "&",
        "*",
        "#",
        "|",
        ">",
        "?",
        "%",
        "---",
        "\t",
        "é",
        "\u{feff}",
        "\u{85}",
        "\r",
        "0",
        "-1.5e3",
        "null",
        "\\u0000",
        "\\ud83d",
        "<<",
        "~",
        "input: ",
        "@",
        "`",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

/// A good document with a few places changed.
fn mutations() -> impl Strategy<Value = String> {
    let good = documents("good").into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, fragments()), 1..4);
    (prop::sample::select(good), edits).prop_map(|(text, edits)| {
        edits.into_iter().fold(text, |text, (at, length, new)| {
            let chars: Vec<char> = text.chars().collect();
            let at = if chars.is_empty() { 0 } else { at.index(chars.len()) };
            let end = (at + length).min(chars.len());
            chars[..at].iter().chain(new.chars().take(9).collect::<Vec<_>>().iter()).chain(&chars[end..]).collect()
        })
    })
}

fn values() -> impl Strategy<Value = Value> {
    let keys = vec![
        "name",
        "activities",
        "id",
        "set",
        "switch",
        "when",
        "to",
        "next",
        "run",
        "handler",
        "variables",
        "x",
        "end",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        fragments().prop_map(Value::from),
        prop::sample::select(keys.clone()).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let entry = (prop::sample::select(keys.clone()), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            prop::collection::vec(entry, 0..8).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// The text is refused with problems that can be shown, or its stored form is accepted too.
fn assert_consistent(text: &str) {
    match Definition::parse(text) {
        Ok(parsed) => {
            assert!(parsed.warnings.iter().all(|problem| problem.severity == Severity::Warning));
            assert!(Definition::from_content(&parsed.content).is_ok());
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            for problem in problems {
                assert!(problem.line > 0 && problem.column > 0, "{problem:?}");
                render(&problem, "file", text);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_accepted(text in any::<String>()) {
        assert_consistent(&text);
    }

    #[test]
    fn any_fragments_are_refused_or_accepted(text in fragments()) {
        assert_consistent(&text);
    }

    #[test]
    fn any_edit_of_a_good_document_is_refused_or_accepted(text in mutations()) {
        assert_consistent(&text);
    }

    #[test]
    fn any_stored_value_is_refused_or_accepted(value in values()) {
        if let Err(problems) = Definition::from_content(&value) {
            prop_assert!(!problems.is_empty());
        }
    }
}
