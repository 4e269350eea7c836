//! The system: processes, connections, queues with their workers, the outbox, timers, and every setting with its origin.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use tokio::time::timeout;

use super::fault::Fault;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{live, ui};
use crate::app::App;
use crate::broker::{Load, Queue};
use crate::config::{Shown, Source};
use crate::http::ApiState;
use crate::http::problem::Problem;
use crate::store::overview::{self, COUNT_MAX, Figures, Process};

/// The broker is asked for its queues for no longer.
const QUEUES_FOR: Duration = Duration::from_secs(2);

pub(super) async fn show(State(api): State<ApiState>, visitor: Visitor) -> Result<Response, Fault> {
    let mut conn = api.app.store.background().await?;
    let figures = overview::figures(&mut conn).await?;
    let processes = overview::processes(&mut conn).await?;
    drop(conn);
    let queues = queues(&api.app).await;
    let settings = api.app.config.listed().map_err(|error| Problem::internal(error.to_string()))?;
    let now = api.app.clock.now();
    let content = html! {
        (this_process(&api.app))
        (running(&processes, now))
        (queue_table(queues.as_deref()))
        div.cards { (outbox(&figures)) (timers(&figures)) }
    };
    let body = html! { (ui::region("system", &visitor.address, &content)) (setting_table(&settings)) };
    Ok(shell::render(&visitor, Page { title: "System", place: Place::System, live: live::lists(), body }))
}

/// The queues that this process knows, with what waits in each; none if the broker does not answer in time.
async fn queues(app: &App) -> Option<Vec<(String, Option<Load>)>> {
    let steps = app.config.worker.step_queues().into_iter().map(Queue::Steps);
    let known = [Queue::Commands, Queue::Urgent].into_iter().chain(steps).chain([Queue::Calls, Queue::Dead]);
    let ask = async {
        let mut found = Vec::new();
        for queue in known {
            found.push((queue.name(), app.broker.load(&queue).await.ok()?));
        }
        Some(found)
    };
    timeout(QUEUES_FOR, ask).await.ok().flatten()
}

fn this_process(app: &App) -> Markup {
    let [steps, background] = app.store.in_use();
    let (connected, blocked) = (app.broker.is_connected(), app.broker.is_blocked());
    let broker = if blocked {
        ("waiting", "blocked")
    } else if connected {
        ("active", "connected")
    } else {
        ("failed", "away")
    };
    html! {
        section.card {
            header { h2 { "This process" } p.quiet { "Leveret " (env!("CARGO_PKG_VERSION")) ", process " (std::process::id()) } }
            dl.facts {
                (ui::fact("Database", &html! { (ui::badge("active")) " answers" }))
                (ui::fact("Broker", &html! { (ui::badge(broker.0)) " " (broker.1) }))
                (ui::fact("Connections for steps", &html! { (steps.lent) " of " (steps.max) " in use" }))
                (ui::fact("Connections for the rest", &html! { (background.lent) " of " (background.max) " in use" }))
                (ui::fact("Queues in trouble", &html! { @let troubled = app.broker.troubled(); @if troubled.is_empty() { "none" } @else { (troubled.join(", ")) } }))
            }
        }
    }
}

fn running(processes: &[Process], now: Timestamp) -> Markup {
    html! {
        section.card {
            header { h2 { "Processes" } p.quiet { "those that are connected to the database" } }
            div.scroll tabindex="0" role="region" aria-label="Processes" {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "From" } th.number scope="col" { "Connections" } th scope="col" { "Since" } } }
                    tbody { @for process in processes { tr {
                        td { (process.name) } td { (process.address.as_deref().unwrap_or("this machine")) } td.number { (process.connections) }
                        td.nowrap { (ui::when(process.since(), now)) }
                    } } }
                }
            }
        }
    }
}

fn queue_table(queues: Option<&[(String, Option<Load>)]>) -> Markup {
    html! {
        section.card #queues {
            header { h2 { "Queues" } p.quiet { "a worker is a consumer of a queue of steps" } }
            @match queues {
                None => p.note.is-suspended { "The broker does not answer: what it holds is unknown. Nothing is lost; the outbox keeps what it could not take." },
                Some(queues) => div.scroll tabindex="0" role="region" aria-label="Queues" {
                    table {
                        thead { tr { th scope="col" { "Queue" } th.number scope="col" { "Messages" } th.number scope="col" { "Consumers" } } }
                        tbody { @for (name, load) in queues { tr {
                            td { code { (name) } }
                            td.number { (load.map_or("–".into(), |load| ui::grouped(i64::try_from(load.messages).unwrap_or(i64::MAX)))) }
                            td.number { (load.map_or("not declared".into(), |load| load.consumers.to_string())) }
                        } } }
                    }
                }
            }
        }
    }
}

fn outbox(figures: &Figures) -> Markup {
    html! {
        section.card #outbox {
            header { h2 { "Outbox" } }
            dl.facts {
                (ui::fact("Rows not published", &html! { (ui::count(figures.unpublished, COUNT_MAX)) }))
                (ui::fact("The oldest of them", &html! { (figures.oldest_unpublished().map_or("none".into(), ui::span)) }))
            }
        }
    }
}

fn timers(figures: &Figures) -> Markup {
    let lag = figures.timer_lag();
    html! {
        section.card #timers {
            header { h2 { "Timers" } }
            dl.facts { (ui::fact("The latest is late by", &html! { @if lag.is_zero() { "nothing" } @else { (ui::span(lag)) } })) }
        }
    }
}

fn setting_table(settings: &[Shown]) -> Markup {
    let of = |source: Source| settings.iter().filter(|one| one.source == source).collect::<Vec<&Shown>>();
    let (set, default) = (of(Source::Set), of(Source::Default));
    html! {
        section.card {
            header { h2 { "Settings" } p.quiet { "from the file or the environment; passwords and secrets are not shown" } }
            @if set.is_empty() { p.quiet { "Nothing is set: every setting is the default." } } @else { (setting_rows("Settings that are set", &set)) }
            details #defaults { summary { (default.len()) " settings are the default" } (setting_rows("Settings that are the default", &default)) }
        }
    }
}

fn setting_rows(label: &str, settings: &[&Shown]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } } }
                tbody { @for one in settings { tr {
                    td.nowrap { code { (one.name) } }
                    td.wide { code { (ui::cell(&one.value.as_str().map_or_else(|| one.value.to_string(), str::to_owned))) } }
                } } }
            }
        }
    }
}
