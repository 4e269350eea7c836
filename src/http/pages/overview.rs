//! The first page: what runs, what waits, what is wrong, and how the last hour was. Every number leads to its list.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tokio::time::timeout;

use super::fault::Fault;
use super::icons::icon;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{charts, live, ui};
use crate::app::App;
use crate::broker::Queue;
use crate::http::ApiState;
use crate::store::overview::{self, COUNT_MAX, Figures, Minute};

/// The broker is asked for its queues for no longer.
const QUEUES_FOR: Duration = Duration::from_secs(1);
/// A timer or a row that is late by more is worth a look.
const LATE_AFTER: Duration = Duration::from_secs(10);

pub(super) async fn show(State(api): State<ApiState>, visitor: Visitor) -> Result<Response, Fault> {
    if visitor.is_clerk {
        return Ok(Redirect::to("/tasks").into_response());
    }
    let mut conn = api.app.store.background().await?;
    let figures = overview::figures(&mut conn).await?;
    let hour = overview::last_hour(&mut conn).await?;
    drop(conn);
    let depth = depth(&api.app).await;
    let content = html! {
        (numbers(&figures, depth))
        div.cards { (throughput(&hour)) (latency(&hour)) }
        @if figures.running + figures.suspended == 0 && hour.iter().all(|minute| minute.started == 0.0) {
            section.card { (ui::empty("Nothing has run in the last hour. Start something and watch it here:", Some("leveret instance start countdown --watch"))) }
        }
    };
    let body = ui::region("overview", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: "Overview", place: Place::Overview, live: live::lists(), body }))
}

/// Messages in the queues of commands and of the steps that this process knows; none if the broker does not answer in time.
async fn depth(app: &App) -> Option<u64> {
    let steps = app.config.worker.step_queues().into_iter().map(Queue::Steps);
    let queues: Vec<Queue> = [Queue::Commands, Queue::Urgent].into_iter().chain(steps).collect();
    let ask = async {
        let mut sum = 0;
        for queue in &queues {
            sum += app.broker.depth(queue).await.ok()?;
        }
        Some(sum)
    };
    timeout(QUEUES_FOR, ask).await.ok().flatten()
}

/// How a number is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Plain,
    Warn,
    Bad,
}

struct Stat<'a> {
    icon: &'a str,
    name: &'a str,
    value: String,
    note: &'a str,
    address: &'a str,
    mood: Mood,
}

fn numbers(figures: &Figures, depth: Option<u64>) -> Markup {
    let count = |number: i64| ui::count(number, COUNT_MAX);
    let warn = |is: bool, mood: Mood| if is { mood } else { Mood::Plain };
    let oldest = figures.oldest_unpublished();
    let lag = figures.timer_lag();
    let waiting = (figures.running - figures.ready).max(0);
    let plain = |icon, name, value, note, address| Stat { icon, name, value, note, address, mood: Mood::Plain };
    let stats = [
        plain("running", "Running", count(figures.running), "instances", "/instances?filter=status%3Arunning"),
        plain(
            "suspended",
            "Waiting",
            count(waiting),
            "running, nothing to do now",
            "/instances?filter=status%3Arunning",
        ),
        Stat {
            mood: warn(figures.incidents > 0, Mood::Bad),
            ..plain("incidents", "Incidents", count(figures.incidents), "wait for an operator", "/incidents")
        },
        plain("tasks", "Tasks", count(figures.tasks), "wait for people", "/tasks?whose=all"),
        plain("targets", "Calls", count(figures.calls), "under way or due", "/targets"),
        Stat {
            mood: warn(figures.dead_letters > 0, Mood::Warn),
            ..plain("letters", "Dead letters", count(figures.dead_letters), "could not be handled", "/dead-letters")
        },
        Stat {
            mood: warn(oldest.is_some_and(|age| age > LATE_AFTER), Mood::Warn),
            ..plain(
                "bulk",
                "Oldest unpublished",
                oldest.map_or("none".into(), ui::span),
                "row of the outbox",
                "/system#outbox",
            )
        },
        Stat {
            mood: warn(lag > LATE_AFTER, Mood::Warn),
            ..plain(
                "schedules",
                "Timer lag",
                if lag.is_zero() { "none".into() } else { ui::span(lag) },
                "of the latest timer",
                "/system#timers",
            )
        },
        plain(
            "system",
            "Queue depth",
            depth.map_or("unknown".into(), |depth| ui::grouped(i64::try_from(depth).unwrap_or(i64::MAX))),
            "messages in work queues",
            "/system#queues",
        ),
    ];
    html! { section.stats aria-label="Figures" { @for stat in &stats { (number(stat)) } } }
}

fn number(stat: &Stat<'_>) -> Markup {
    let look = match stat.mood {
        Mood::Plain => "stat",
        Mood::Warn => "stat is-warn",
        Mood::Bad => "stat is-bad",
    };
    html! {
        a class=(look) href=(stat.address) {
            span.name { (icon(stat.icon)) (stat.name) }
            span.value { (stat.value) }
            span.remark { (stat.note) }
        }
    }
}

fn ends() -> Markup {
    html! { p.chart-ends { span { "an hour ago" } span { "now" } } }
}

fn throughput(hour: &[Minute]) -> Markup {
    let started: Vec<f64> = hour.iter().map(|minute| minute.started).collect();
    let sum: f64 = started.iter().sum();
    let most = started.iter().copied().fold(0.0, f64::max);
    html! {
        section.card {
            header { h2 { "Started per minute" } p.quiet { (ui::grouped(sum.round() as i64)) " in the last hour, at most " (ui::grouped(most.round() as i64)) " in a minute" } }
            (charts::bars(&format!("Instances started per minute in the last hour: {sum:.0} in all, at most {most:.0} in a minute"), &started))
            (ends())
        }
    }
}

fn latency(hour: &[Minute]) -> Markup {
    let median: Vec<Option<f64>> = hour.iter().map(|minute| minute.median).collect();
    let slow: Vec<Option<f64>> = hour.iter().map(|minute| minute.slow).collect();
    let last = |values: &[Option<f64>]| values.iter().rev().find_map(|value| *value).map_or("–".to_owned(), seconds);
    let most = charts::top(slow.iter().filter_map(|value| *value));
    html! {
        section.card {
            header { h2 { "From start to end" } p.quiet { @if slow.iter().any(Option::is_some) { "the axis ends at " (seconds(most)) } @else { "none has ended that was started in the last hour" } } }
            (charts::lines(&format!("Time from start to end in the last hour: median {}, 95th percentile {}", last(&median), last(&slow)), &median, &slow))
            (ends())
            ul.legend {
                li { span.swatch aria-hidden="true" {} "median " strong { (last(&median)) } }
                li { span.swatch.dashed aria-hidden="true" {} "95 % are below " strong { (last(&slow)) } }
            }
        }
    }
}

fn seconds(value: f64) -> String {
    ui::span(Duration::try_from_secs_f64(value).unwrap_or_default())
}
