//! `leveret instance top`: what lives, what waits and what fails, on one screen that is drawn again every two seconds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;

use super::output::{self, Output};
use crate::app::App;
use crate::contract::api::{IncidentGroupView, InstanceSummary};
use crate::contract::filter::Filter;
use crate::store::overview::{self, COUNT_MAX, Figures, Minute};
use crate::store::{incidents, views};
use crate::time::duration;

/// The pause between two looks.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The causes and the instances that fit on a screen.
const GROUPS_MAX: i64 = 5;
const INSTANCES_MAX: i64 = 12;

/// One look.
struct Seen {
    figures: Figures,
    hour: Vec<Minute>,
    groups: Vec<IncidentGroupView>,
    newest: Vec<InstanceSummary>,
    at: Timestamp,
}

/// Draws until Ctrl-C; for programs it prints one look, and ends.
pub(super) async fn run(app: &App, output: Output) -> Result<ExitCode> {
    if output == Output::Json {
        let seen = look(app).await?;
        output::json(&json!({
            "at": seen.at,
            "running": seen.figures.running, "ready": seen.figures.ready, "suspended": seen.figures.suspended,
            "incidents": seen.figures.incidents, "tasks": seen.figures.tasks, "calls": seen.figures.calls,
            "dead_letters": seen.figures.dead_letters, "unpublished": seen.figures.unpublished,
            "oldest_unpublished_seconds": seen.figures.oldest_unpublished().map(|age| age.as_secs_f64()),
            "timer_lag_seconds": seen.figures.timer_lag().as_secs_f64(),
            "started_per_minute": seen.hour.iter().map(|minute| minute.started).collect::<Vec<_>>(),
            "groups": seen.groups, "newest": seen.newest,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        output::begin_frame();
        match look(app).await {
            Ok(seen) => draw(&seen),
            // The servers may be back at the next look.
            Err(error) => output::line(format!("error: {error:#}")),
        }
        output::end_frame();
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn look(app: &App) -> Result<Seen> {
    let mut conn = app.store.background().await?;
    let figures = overview::figures(&mut conn).await?;
    let hour = overview::last_hour(&mut conn).await?;
    let filter = incidents::Filter { limit: GROUPS_MAX, ..incidents::Filter::default() };
    let groups = incidents::groups(&mut conn, &filter).await?.items;
    let at = app.clock.now();
    let live = Filter::read("status:running,suspended")?;
    let newest = views::found(&mut conn, &live, None, INSTANCES_MAX, at).await?.items;
    Ok(Seen { figures, hour, groups, newest, at })
}

fn draw(seen: &Seen) {
    let figures = &seen.figures;
    output::line(format!("leveret · {}", output::moment(seen.at)));
    output::line("");
    output::line(format!(
        "running {}   ready {}   suspended {}   incidents {}   tasks {}   calls {}   dead letters {}",
        count(figures.running),
        count(figures.ready),
        count(figures.suspended),
        count(figures.incidents),
        count(figures.tasks),
        count(figures.calls),
        count(figures.dead_letters),
    ));
    let oldest = figures.oldest_unpublished().map(|age| format!(", the oldest for {}", short(age))).unwrap_or_default();
    let lag = figures.timer_lag();
    output::line(format!("unpublished {}{oldest}   timers late by {}", count(figures.unpublished), short(lag)));
    let started: Vec<f64> = seen.hour.iter().map(|minute| minute.started).collect();
    let last = started.last().copied().unwrap_or_default();
    output::line(format!("started in a minute {} {last:.0}", bars(&started)));
    let slow: Vec<f64> = seen.hour.iter().map(|minute| minute.slow.unwrap_or_default()).collect();
    let latest = seen.hour.iter().rev().find_map(|minute| minute.median.zip(minute.slow));
    let latest = latest.map(|(median, slow)| format!("p50 {} p95 {}", seconds(median), seconds(slow)));
    output::line(format!(
        "start to end, p95   {} {}",
        bars(&slow),
        latest.unwrap_or_else(|| "nothing has ended".into())
    ));
    if !seen.groups.is_empty() {
        output::line("");
        let rows = seen.groups.iter().map(|group| {
            vec![group.count.to_string(), group.code.clone(), group.message.clone(), group.fingerprint.clone()]
        });
        output::table(&["incidents", "code", "message", "fingerprint"], rows.collect());
    }
    output::line("");
    if seen.newest.is_empty() {
        return output::line("nothing lives: leveret instance start NAME begins something");
    }
    let rows = seen.newest.iter().map(|one| {
        let age = Duration::try_from(seen.at.duration_since(one.started_at)).unwrap_or_default();
        let name = format!("{} v{}", one.definition, one.version);
        vec![
            one.id.to_string(),
            name,
            one.key.clone().unwrap_or_default(),
            one.status.clone(),
            one.at.join(", "),
            short(age),
        ]
    });
    output::table(&["instance", "definition", "key", "status", "activity", "since"], rows.collect());
}

/// A count, of which nobody knows how much more it is.
fn count(number: i64) -> String {
    if number > COUNT_MAX { format!("{COUNT_MAX}+") } else { number.to_string() }
}

fn seconds(value: f64) -> String {
    short(Duration::try_from_secs_f64(value).unwrap_or_default())
}

/// A time with the two units that matter.
fn short(time: Duration) -> String {
    let step = match time.as_secs() {
        0..10 => Duration::from_millis(1),
        10..3_600 => Duration::from_secs(1),
        3_600..86_400 => Duration::from_secs(60),
        _ => Duration::from_secs(3_600),
    };
    let steps = time.as_millis() / step.as_millis();
    duration::format(step * u32::try_from(steps).unwrap_or(u32::MAX))
}

/// Values as bars, the greatest of them the highest.
fn bars(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        if most <= 0.0 || *value <= 0.0 {
            return ' ';
        }
        let limits = (1..BARS.len()).map(|at| f64::from(u8::try_from(at).unwrap_or(u8::MAX)) / 8.0);
        BARS[limits.filter(|limit| *value > limit * most).count()]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_values() {
        assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        assert_eq!(bars(&[0.0, 0.0]), "  ");
        assert_eq!(bars(&[]), "");
    }

    #[test]
    fn a_time_has_two_units_at_most() {
        let short = |millis| short(Duration::from_millis(millis));
        assert_eq!((short(1_234), short(61_234), short(3_723_000)), ("1s234ms".into(), "1m1s".into(), "1h2m".into()));
    }

    #[test]
    fn what_is_not_counted_any_more_is_told_as_more() {
        assert_eq!((count(COUNT_MAX), count(COUNT_MAX + 1)), ("10000".into(), "10000+".into()));
    }
}
