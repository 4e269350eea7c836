//! What a text from outside can do to the terminal of the person who looks at it.

use serde_json::json;

use crate::support::{CommandLine, InProcess};

/// Clears a screen in two ways, turns the order of writing, hides letters.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\u{202e}b\u{2066}c\u{200b}\u{7f}d";

fn controls(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{200b}".contains(c))
}

#[tokio::test]
async fn neither_tables_nor_json_contain_what_controls_a_terminal() {
    let leveret = InProcess::new().await;
    let message = json!({ "name": "paid", "key": HOSTILE, "data": { HOSTILE: HOSTILE } });
    leveret.post("/messages", &message).await.ok(202);
    let command_line = CommandLine::on(&leveret.fresh);
    let table = command_line.say("message list").await.good();
    assert!(table.contains("2J") && !controls(&table), "{table:?}");
    let text = command_line.say("message list -o json").await.good();
    assert!(!controls(&text), "{text:?}");
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&read["items"][0]["key"], &read["items"][0]["data"][HOSTILE]), (&json!(HOSTILE), &json!(HOSTILE)));
    leveret.stop().await;
}

#[tokio::test]
async fn every_list_has_one_limit_and_its_help_names_it() {
    let command_line = CommandLine::nowhere();
    let lists =
        ["instance", "message", "task", "call", "timer", "incident", "dead-letter", "definition", "target", "schedule"];
    for list in lists {
        let help = command_line.say(&format!("{list} list --help")).await.good();
        assert!(help.contains("--limit <LIMIT>") && help.contains("up to 500"), "{help}");
        let refused = command_line.say(&format!("{list} list --limit 501")).await;
        assert!(refused.code == 2 && refused.err.contains("1..=500"), "{}", refused.err);
    }
}
