//! Each bound that the documents promise names the tests at its edge: a bound without one is not held.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{read, root};

/// The sections with bounds, and where they end.
const TABLES: [(&str, &str, &str); 2] =
    [("docs/security.md", "## Bounds", "\n## "), ("docs/language.md", "### Bounds", "\n## ")];

/// The first column of each row, and the functions that test it at its edge.
const TESTED: &[(&str, &[&str])] = &[
    // HTTP
    (
        "connections of a process",
        &["connections_beyond_the_bound_wait", "deliveries_and_connections_at_once_are_as_many_as_is_said"],
    ),
    ("requests with `?wait=`, at once", &["a_wait_beyond_the_bound_starts_nothing_and_may_come_again"]),
    ("time of a `?wait=`", &["a_longer_wait_ends_after_a_minute"]),
    (
        "head of a request",
        &["a_head_may_be_as_large_as_is_said", "a_head_and_a_body_that_do_not_arrive_end_their_connection"],
    ),
    ("body of a command", &["names_and_bodies_of_commands_may_be_as_large_as_is_said"]),
    ("body of a document", &["a_document_may_be_as_large_as_is_said"]),
    ("time in which a body arrives", &["a_head_and_a_body_that_do_not_arrive_end_their_connection"]),
    ("time in which a request is answered", &["a_request_that_takes_too_long_is_answered_and_still_ends"]),
    (
        "bodies that are received or handled, all together",
        &[
            "a_body_without_room_is_not_read",
            "bodies_that_are_sent_by_half_take_no_more_than_all_may_and_hold_up_no_other_request",
        ],
    ),
    ("time in which a client takes some part of a response", &["a_client_that_does_not_read_loses_its_connection"]),
    ("groups of incidents that a list looks at", &["a_list_looks_at_as_many_groups_as_is_said"]),
    ("a comment or a reason about a group of incidents", &["what_is_noted_about_a_group_is_bounded"]),
    ("rows of a page of any list", &["every_list_shows_at_most_as_many_rows_as_is_said"]),
    (
        "contents of a page of messages, schedules or timers",
        &[
            "a_page_of_large_rows_ends_before_it_takes_too_much_memory",
            "a_page_of_timers_does_not_load_what_their_instances_hold_without_a_bound",
        ],
    ),
    ("names, keys, message ids", &["names_and_bodies_of_commands_may_be_as_large_as_is_said"]),
    ("protocol", &["only_http_1_is_spoken"]),
    ("a stop", &["a_stop_waits_for_what_is_handled_and_not_for_what_is_half_sent"]),
    // AMQP
    ("headers that are read of a message", &["number_and_size_of_headers_are_bounded"]),
    (
        "depth of JSON",
        &[
            "a_value_of_the_deepest_nesting_passes_and_a_deeper_one_does_not",
            "an_input_may_be_as_large_and_deep_as_is_said",
        ],
    ),
    ("life of a message that no instance waits for", &["a_message_without_a_wait_is_deleted_after_its_time_to_live"]),
    ("deliveries handled at once", &["deliveries_and_connections_at_once_are_as_many_as_is_said"]),
    ("the longest of these lives", &["a_message_is_kept_for_the_longest_ttl_and_no_longer"]),
    ("such messages of one name and key", &["the_messages_kept_for_one_key_and_for_one_sender_are_counted"]),
    ("such messages of one sender", &["the_messages_kept_for_one_key_and_for_one_sender_are_counted"]),
    (
        "crashes at one step, at one command, or at the end of one call",
        &[
            "crashes_leave_the_step_command_valid_until_there_are_too_many",
            "a_start_that_kills_its_workers_is_answered_after_six_and_a_repetition_kills_none",
            "an_overdue_call_whose_end_kills_the_caller_is_left_to_a_person_and_others_end",
        ],
    ),
    // Definitions
    ("document", &["a_document_may_be_as_large_as_is_said"]),
    ("steps of a branch without a wait", &["a_branch_may_take_as_many_steps_without_a_wait_as_is_said"]),
    ("variables of an instance", &["variables_may_be_as_large_as_is_said"]),
    ("one expression", &["a_document_may_be_as_large_as_is_said", "each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("all expressions of one step", &["the_expressions_of_a_step_have_one_budget"]),
    ("schemas", &["schemas_that_multiply_are_refused_with_their_place", "a_document_may_be_as_large_as_is_said"]),
    ("patterns", &["patterns_are_bounded_each_and_together"]),
    ("a validation of an input or a form", &["many_values_times_many_schemas_are_too_many_looks"]),
    ("checks of documents, at once", &["a_flood_of_documents_is_refused_in_part_and_delays_nobody"]),
    ("rows of a statement", &["a_statement_may_return_as_much_as_is_said"]),
    ("a handler or a statement", &["a_statement_takes_no_longer_than_the_settings_say"]),
    // Expressions, documents and validations, as the language tells them
    (
        "source of an expression",
        &["a_too_large_expression_is_refused", "the_deepest_valid_expressions_can_be_evaluated"],
    ),
    ("steps of one evaluation", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("memory that one evaluation builds", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    (
        "steps of all evaluations of one step of an instance, in all its expressions: `when`, the work, `output`, `next`",
        &["the_expressions_of_a_step_have_one_budget"],
    ),
    ("memory that all of them build", &["the_expressions_of_a_step_have_one_budget"]),
    (
        "the same for an `on_error` of a step that has spent them, if its failure is handled",
        &["a_spent_budget_leaves_something_for_one_error_handler", "the_expressions_of_a_step_have_one_budget"],
    ),
    ("the same for the input of a schedule", &["the_expressions_of_an_input_have_one_brief_budget"]),
    ("elements of a list that a function builds", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("nested loops (`map`, `filter`, `all`, `exists` and others)", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("format of `formatTime`", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("digits after the point in `format`", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("a pattern of `matches` when it is compiled", &["each_bound_of_an_evaluation_holds_at_its_edge"]),
    ("its text", &["a_document_may_be_as_large_as_is_said"]),
    ("a pattern of a schema", &["patterns_are_bounded_each_and_together"]),
    ("patterns of all its schemas", &["patterns_are_bounded_each_and_together"]),
    (
        "all patterns when they are compiled, those written in `matches` among them",
        &["patterns_are_bounded_each_and_together"],
    ),
    ("schemas inside of its schemas", &["a_document_may_be_as_large_as_is_said"]),
    (
        "schemas that apply to one value, every `$ref`, `allOf`, `anyOf` and `oneOf` followed",
        &["schemas_that_multiply_are_refused_with_their_place"],
    ),
    ("schemas with an `$id` in one schema", &["several_ids_with_dynamic_references_are_refused"]),
    (
        "looks at values: every schema looks at each value it applies to, and a pattern or a format at its text, the longer the more often",
        &["many_values_times_many_schemas_are_too_many_looks", "a_long_text_and_a_costly_pattern_are_bounded"],
    ),
    ("defaults and nulls that are filled in", &["defaults_that_are_filled_in_take_no_more_than_is_said"]),
    ("problems that are told", &["an_input_may_be_as_large_and_deep_as_is_said"]),
    // Calls
    ("requests at once", &["requests_at_once_are_as_many_as_is_said"]),
    ("request", &["a_request_may_be_as_large_as_is_said", "a_body_that_is_too_long_is_not_sent"]),
    ("response", &["a_response_may_be_as_large_as_is_said"]),
    ("time of an attempt", &["an_attempt_takes_no_longer_than_the_settings_say"]),
    ("redirects", &["redirects_are_followed_as_often_as_is_said"]),
    ("`Retry-After`", &["a_target_cannot_ask_for_a_longer_pause_than_is_said"]),
    ("secret", &["a_secret_may_be_as_long_as_is_said_and_is_redacted_from_six_bytes_on"]),
    // Database
    ("a statement", &["a_statement_takes_no_longer_than_the_settings_say"]),
    ("a wait for a lock", &["a_lock_is_awaited_no_longer_than_is_said"]),
];

/// The first column of every row of a table of bounds. Rows in bold are headings.
fn bounds(document: &str, heading: &str, end: &str) -> Vec<String> {
    let text = read(document);
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{document}: {heading}"));
    let section = section.split(end).next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|line| line.split(" |").next());
    rows.map(str::to_owned).filter(|row| !row.starts_with("**") && row != "What" && !row.starts_with("Bound")).collect()
}

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_bound_names_the_tests_at_its_edge() {
    let mut text = String::new();
    sources(&root().join("src"), &mut text);
    sources(&root().join("tests/it"), &mut text);
    let mut told = BTreeSet::new();
    for (document, heading, end) in TABLES {
        let bounds = bounds(document, heading, end);
        assert!(bounds.len() > 5, "{document}: {bounds:?}");
        for bound in bounds {
            let tests = TESTED.iter().find(|(row, _)| *row == bound).map(|(_, tests)| *tests).unwrap_or_default();
            assert!(
                !tests.is_empty(),
                "{document}: `{bound}` names no test at its edge: add one to tests/documents/bounds.rs"
            );
            for test in tests {
                assert!(text.contains(&format!("fn {test}(")), "{document}: `{bound}`: there is no test `{test}`");
            }
            told.insert(bound);
        }
    }
    for (row, _) in TESTED {
        assert!(told.contains(*row), "no document tells the bound `{row}`");
    }
}

/// Settings whose documents say how small or large they may be: a value at the edge, and one beyond it.
const EDGES: &[(&str, &str, &str)] = &[
    ("database.background_pool_max", "2", "1"),
    ("broker.publishers", "16", "17"),
    ("worker.concurrency", "1000", "1001"),
    ("timeouts.database", "'50s'", "'50001ms'"),
    ("access.session_for", "'1m'", "'59s'"),
    ("oidc.clock_skew", "'5m'", "'301s'"),
    ("limits.message_max", "1024", "1023"),
    ("http.waits_max", "1024", "1025"),
    ("outgoing.retry_after_max", "'1h'", "'3601s'"),
    ("breaker.of", "64", "65"),
];
/// Settings that are bounded without an error, and the tests that hold them to it.
const CLAMPED: &[(&str, &str)] = &[("http.connections_max", "connections_beyond_the_bound_wait")];

/// The setting of each row of the table that names a bound of its value.
fn bounded_settings() -> Vec<String> {
    let text = read("docs/operations.md");
    let (_, rest) = text.split_once("| Key | Default | Meaning |").unwrap();
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with("| `"));
    let bounded =
        |line: &&str| ["at most", "at least", "from 1 to", "never more"].iter().any(|word| line.contains(word));
    rows.filter(bounded).filter_map(|line| line.split('`').nth(1)).map(str::to_owned).collect()
}

fn loads(setting: &str, value: &str) -> bool {
    let (section, key) = setting.split_once('.').unwrap();
    let path = std::env::temp_dir().join(format!("leveret-edges-{}-{setting}.toml", std::process::id()));
    fs::write(&path, format!("[{section}]\n{key} = {value}\n")).unwrap();
    let loaded = leveret::config::Config::load(Some(&path));
    fs::remove_file(&path).unwrap();
    loaded.is_ok()
}

#[test]
fn every_setting_is_refused_beyond_the_bound_that_is_told() {
    let told = bounded_settings();
    assert!(told.len() > 5, "{told:?}");
    for setting in &told {
        if CLAMPED.iter().any(|(clamped, _)| clamped == setting) {
            continue;
        }
        let edge = EDGES.iter().find(|(known, _, _)| known == setting);
        let (_, within, beyond) = edge.unwrap_or_else(|| panic!("`{setting}` has no values at its edge"));
        assert!(loads(setting, within), "{setting} = {within}");
        assert!(!loads(setting, beyond), "{setting} = {beyond}");
    }
}
