//! The only place that prints: tables for people, JSON for programs, errors and progress on standard error.
#![expect(clippy::print_stderr, reason = "this is what a command line is for")]

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::contract::{self, LIST_MAX, check_name};

/// How results are printed, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs: one JSON value; the shape is stable.
    Json,
    /// For programs that read line by line: each item of a list is a line.
    Jsonl,
    /// The same shape as JSON, for people and files.
    Yaml,
}

/// Whom results are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs, as JSON in the [chosen](choose) format.
    Json,
}

impl From<Format> for Output {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Output::Table,
            Format::Json | Format::Jsonl | Format::Yaml => Output::Json,
        }
    }
}

static FORMAT: OnceLock<Format> = OnceLock::new();
/// What is printed while a frame is open.
static FRAME: Mutex<Option<String>> = Mutex::new(None);

/// Chooses the format of this process, once.
pub(super) fn choose(format: Format) {
    FORMAT.get_or_init(|| format);
}

/// From now on what is printed is collected.
pub(super) fn begin_frame() {
    *FRAME.lock().unwrap_or_else(PoisonError::into_inner) = Some(String::new());
}

/// Prints what was collected: on a terminal in place of the frame before.
pub(super) fn end_frame() {
    let frame = FRAME.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    if !std::io::stdout().is_terminal() {
        return say(frame.trim_end());
    }
    // Home; after each line the rest of it is erased, and in the end the rest of the screen: nothing flickers.
    let lines: Vec<String> = frame.lines().map(|line| format!("{line}\x1b[K")).collect();
    say(&format!("\x1b[H{}\x1b[J", lines.join("\n")));
}

/// The values of `--limit`, as over HTTP.
pub(super) const LIMITS: std::ops::RangeInclusive<i64> = 1..=LIST_MAX;

/// What `--limit` is.
pub(super) fn limit() -> String {
    format!("The most rows, up to {LIST_MAX}")
}

/// Says that a list was longer than `--limit`.
pub(super) fn more(limit: i64) {
    line(format!("there are more than {limit}; --limit shows up to {LIST_MAX}"));
}

/// The width of a table that is not printed on a terminal: the longest cell would widen every line.
const WIDTH: u16 = 120;

/// Parses a name or key, with the same limit as every other API.
pub(super) fn named(text: &str) -> Result<String, String> {
    check_name(text).map_err(|error| format!("it {error}"))?;
    Ok(text.to_owned())
}

/// Reads the JSON of an option, with the same limits as every other API.
pub(super) fn value(option: &str, text: &str) -> anyhow::Result<Value> {
    let value = contract::json::read(text.as_bytes()).map_err(|refused| anyhow::anyhow!("{option} {refused}"))?;
    contract::refuse_unfit(&value).map_err(|problem| anyhow::anyhow!("{option} cannot be stored: {problem}"))?;
    Ok(value)
}

/// Prints one line.
pub(super) fn line(text: impl AsRef<str>) {
    say(&escape(text.as_ref()));
}

/// A closed pipe (`| head`) is not an error: the reader has enough.
fn say(text: &str) {
    if let Some(frame) = FRAME.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        frame.push_str(text);
        frame.push('\n');
        return;
    }
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a value for programs: as indented JSON if no other format was chosen.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    match FORMAT.get() {
        Some(Format::Jsonl) => lines(&serde_json::to_value(value)?).iter().try_for_each(compact),
        Some(Format::Yaml) => yaml(value),
        Some(Format::Json | Format::Table) | None => {
            say(&escape_json(&serde_json::to_string_pretty(value)?));
            Ok(())
        }
    }
}

/// Prints one value of many that follow each other: as one line of JSON, or as one document of YAML.
pub(super) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    if FORMAT.get() == Some(&Format::Yaml) {
        say("---");
        return yaml(value);
    }
    compact(value)
}

fn compact(value: &impl Serialize) -> anyhow::Result<()> {
    say(&escape_json(&serde_json::to_string(value)?));
    Ok(())
}

fn yaml(value: &impl Serialize) -> anyhow::Result<()> {
    say(escape(&serde_saphyr::to_string(value)?).trim_end());
    Ok(())
}

/// The lines of a value: the items of a list, then where it continues; anything else is one line.
fn lines(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Object(page) => match page.get("items").and_then(Value::as_array) {
            Some(items) => {
                let next = page.get("next").filter(|next| !next.is_null()).map(|next| json!({ "next": next }));
                items.iter().cloned().chain(next).collect()
            }
            None => vec![value.clone()],
        },
        other => vec![other.clone()],
    }
}

/// Prints a script as it is.
pub(super) fn script(text: &str) {
    say(text.trim_end());
}

/// Prints a table.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    say(&draw(header, rows));
}

/// A table as text.
pub(super) fn draw(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if header.iter().any(|name| !name.is_empty()) {
        table.set_header(header.to_vec());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| escape(cell)).collect::<Vec<_>>());
    }
    // Ids are copied from tables: they must not wrap.
    for (at, _) in header.iter().enumerate().filter(|(_, name)| matches!(**name, "id" | "instance" | "call")) {
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    table.to_string()
}

/// Prints an error with its causes.
pub(super) fn error(error: &anyhow::Error) {
    eprintln!("error: {}", escape(&format!("{error:#}")));
}

/// Prints progress on standard error.
pub(super) fn progress(text: &str) {
    eprintln!("{}", escape(text));
}

/// A time, to the millisecond.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// Replaces what could control a terminal: text from outside must not.
fn escape(text: &str) -> String {
    text.chars().map(|c| if controls(c) { '\u{fffd}' } else { c }).collect()
}

/// The same JSON: what could control a terminal is escaped, which stands in texts and names only.
fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match controls(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}"))),
            false => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character controls a terminal, or shows a text in another order than it is written, or not at all.
fn controls(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Marks, embeddings, overrides and isolates of the direction of writing; ends of lines and paragraphs; tags.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Without width.
        '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_line_for_each_item_and_one_for_where_it_continues() {
        assert_eq!(lines(&json!({ "items": [1, 2], "next": "c" })), [json!(1), json!(2), json!({ "next": "c" })]);
        assert_eq!(lines(&json!({ "items": [], "next": null })), Vec::<Value>::new());
        assert_eq!(lines(&json!([{ "a": 1 }])), [json!({ "a": 1 })]);
        assert_eq!(lines(&json!({ "id": 1 })), [json!({ "id": 1 })]);
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(escape("a\u{1b}[31mb\r\n"), "a\u{fffd}[31mb\u{fffd}\n");
        assert_eq!(
            escape("a\u{9b}31m\u{202e}b\u{2066}\u{200f}\u{e0041}"),
            "a\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}\u{fffd}"
        );
        // Letters that join, and people of several parts, stay.
        assert_eq!(escape("می\u{200c}خواهم 👩\u{200d}🔬\té"), "می\u{200c}خواهم 👩\u{200d}🔬\té");
    }

    #[test]
    fn json_stays_the_same_and_controls_nothing() {
        let value = json!({ "\u{202e}k": "\u{7f}\u{1b}[2J\u{9b}\u{2028}\u{2067}é\n\t", "tag": "\u{e0041}" });
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let escaped = escape_json(&text);
            assert!(!escaped.chars().any(controls), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
    }
}
