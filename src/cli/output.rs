//! The only place that prints: tables for people, JSON for programs, errors with a next step.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what a command line is for")]

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs; the form is stable.
    Json,
}

/// Prints one line.
pub(super) fn line(text: impl AsRef<str>) {
    println!("{}", escape(text.as_ref()));
}

/// Prints a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a table.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    println!("{}", draw(header, rows));
}

/// A table as text.
pub(super) fn draw(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| escape(cell)).collect::<Vec<_>>());
    }
    table.to_string()
}

/// Prints an error and what led to it.
pub(super) fn error(error: &anyhow::Error) {
    eprintln!("error: {}", escape(&format!("{error:#}")));
}

/// Says on standard error what is going on.
pub(super) fn progress(text: &str) {
    eprintln!("{text}");
}

/// A moment, to the millisecond.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// What came from outside must not steer the terminal.
fn escape(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_came_from_outside_does_not_steer_the_terminal() {
        assert_eq!(super::escape("a\u{1b}[31mb\r\n"), "a\u{fffd}[31mb\u{fffd}\n");
    }
}
