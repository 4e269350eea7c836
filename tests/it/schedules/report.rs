//! The example of a monthly report: its days in memory, and its start by the schedule that its comment shows.

use std::time::Duration;

use leveret::definition::Definition;
use leveret::engine::Status;
use leveret::testkit::Scenario;
use serde_json::{Value, json};

use super::{SOON, with_report};
use crate::support::{CommandLine, eventually};

const EXAMPLE: &str = include_str!("../../../examples/monthly-report.yaml");
const HOUR: Duration = Duration::from_secs(3_600);

fn example() -> Definition {
    Definition::parse(EXAMPLE).unwrap().definition
}

/// A scenario begins at midnight, UTC, of Thursday the first of January.
#[test]
fn the_report_of_december_is_published_at_nine_by_the_clock_of_its_zone() {
    let definition = example();
    let mut scenario = Scenario::new(&definition);
    scenario.start(json!({ "scheduled_at": "2026-01-01T05:00:00Z", "zone": "Asia/Kathmandu" })).unwrap();
    assert_eq!(scenario.standing(), Some("figures"));
    scenario.send("figures", "2025-12", json!({ "total": 7 })).unwrap();
    assert_eq!(scenario.standing(), Some("office-hours"));
    // 09:00 there is 03:15 in Greenwich.
    scenario.advance(3 * HOUR + 14 * HOUR / 60).unwrap();
    assert_eq!(scenario.standing(), Some("office-hours"));
    scenario.advance(HOUR / 60).unwrap();
    assert_eq!(
        (scenario.status(), scenario.output()),
        (Some(Status::Completed), Some(&json!({ "period": "2025-12", "total": 7 })))
    );
}

#[test]
fn a_report_without_figures_fails_after_three_days() {
    let definition = example();
    let mut scenario = Scenario::new(&definition);
    scenario.start(json!({ "scheduled_at": "2026-03-01T05:00:00Z" })).unwrap();
    scenario.advance(72 * HOUR).unwrap();
    assert_eq!(scenario.status(), Some(Status::Failed));
    assert_eq!(scenario.error().unwrap().message, "Nobody sent the figures of 2026-02");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_in_its_comment_starts_the_report() {
    let leveret = with_report().await;
    let command_line = CommandLine::on(&leveret.fresh);
    std::fs::create_dir(command_line.directory().join("examples")).unwrap();
    std::fs::write(command_line.directory().join("examples/monthly-report.yaml"), EXAMPLE).unwrap();
    for command in commands() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        command_line.run(&words[1..]).await.good();
    }
    let at = "leveret.instances WHERE definition = 'monthly-report'";
    let zone: Vec<Value> = leveret.lines("input->'zone'", at).await.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(zone, [json!("Europe/Berlin")]);
    let period =
        leveret.lines("to_char(date_trunc('month', started_at) - interval '1 day', 'YYYY-MM')", at).await.remove(0);
    let figures = json!({ "name": "figures", "key": period, "data": { "total": 12_800 } });
    let waits = async || leveret.count("leveret.bookmarks WHERE activity = 'figures' AND kind = 'message'").await == 1;
    eventually("it waits for figures", SOON, waits).await;
    leveret.post("/messages", &figures).await.ok(200);
    let due = "leveret.bookmarks WHERE activity = 'office-hours' AND consumed_at IS NULL";
    eventually("it waits for the morning", SOON, async || leveret.count(due).await == 1).await;
    let nine = leveret.lines("to_char(due_at AT TIME ZONE 'Europe/Berlin', 'HH24:MI')", due).await;
    assert_eq!(nine, ["09:00"]);
    leveret.close_schedules().await;
}

/// The commands of the comment, without the message.
fn commands() -> Vec<Vec<String>> {
    let text = EXAMPLE.replace("\\\n#", " ");
    let lines = text.lines().filter_map(|line| line.strip_prefix("#   ")).filter(|line| !line.contains("message send"));
    lines.map(|line| words(line.split(" # ").next().unwrap())).collect()
}

/// Words as a shell would split them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.trim().chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.push(String::new()),
            (c, _) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
