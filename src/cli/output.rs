//! The only place that prints: tables for people, JSON for programs, errors and progress on standard error.
#![expect(clippy::print_stderr, reason = "this is what a command line is for")]

use std::io::Write as _;

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::contract::{self, check_name};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs; the shape is stable.
    Json,
}

/// The values of `--limit`, as over HTTP.
pub(super) const LIMITS: std::ops::RangeInclusive<i64> = 1..=500;

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
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
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
    eprintln!("{text}");
}

/// A time, to the millisecond.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// Replaces control characters: text from outside must not control the terminal.
fn escape(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(super::escape("a\u{1b}[31mb\r\n"), "a\u{fffd}[31mb\u{fffd}\n");
    }
}
