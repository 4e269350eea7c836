//! Plans a commit: turns the effects of a step into rows of history, bookmarks, events, wake-ups and the step command.

use jiff::Timestamp;
use uuid::Uuid;

use super::committed::{Follow, Next, serves};
use super::dispatch;
use super::publish::{self, encode, step_command, step_queue_of};
use crate::app::App;
use crate::contract::{self, CloudEvent, Exchange};
use crate::engine::{Branch, Effect, Event, Instance, Step};
use crate::store::outbox::OutboxRow;
use crate::store::write::Write;
use crate::store::{self};

/// The rows of a step, and who takes the next one.
pub(super) fn plan(
    app: &App,
    before: Option<&Instance>,
    step: Step,
    now: Timestamp,
    follow: Follow,
) -> Result<(Write, Next), store::Error> {
    let mut rows = Vec::new();
    let mut opened = Vec::new();
    for effect in &step.effects {
        match effect {
            Effect::Publish(event) => rows.push(self::event(app, &step.instance, event)?),
            Effect::Open(bookmark) => {
                if let Some(due_at) = bookmark.due_at.filter(|due_at| is_near(app, now, *due_at)) {
                    rows.push(fire(app, &step.instance, bookmark.number, due_at)?);
                }
            }
            Effect::Remind { bookmark, due_at } => rows.push(fire(app, &step.instance, *bookmark, *due_at)?),
            Effect::Record(_)
            | Effect::Index(_)
            | Effect::Consume(_)
            | Effect::Close(_)
            | Effect::TakeMessage(_)
            | Effect::OpenTask(_)
            | Effect::ChangeTask(_)
            | Effect::OfferTask(_)
            | Effect::CloseTask { .. }
            | Effect::AdvanceRoundRobin { .. }
            | Effect::ChangeCall { .. }
            | Effect::CloseCall { .. } => {}
            Effect::OpenCall(call) => opened.push(dispatch::opened(app, &step.instance, call, now)?),
        }
    }
    let mut write = Write::from_step(before, step, now, app.config.timers.broker_horizon)?;
    for call in opened {
        rows.extend(call.row);
        if let Some((id, sent)) = call.begun {
            write.send_at_once(id, sent);
        }
    }
    write.outbox = rows;
    if before.is_none() {
        let definition = app.cached_definition(&write.instance.definition, write.instance.version);
        write.counted = definition.is_some_and(|definition| definition.limits.live.is_some());
    }
    let next = match write.instance.ready_branch() {
        None => Next::Rest,
        Some(branch) if follow == Follow::IfNeeded && is_served_here(app, &write.instance, branch) => {
            Next::Here(branch.id)
        }
        Some(_) => {
            if let Some(continuation) = publish::continuation(&write.instance) {
                write.outbox.push(step_command(app, &step_queue_of(&write.instance), "continue", &continuation, None)?);
            }
            Next::HandedOn
        }
    };
    Ok((write, next))
}

fn is_served_here(app: &App, instance: &Instance, branch: &Branch) -> bool {
    // The decision has just used the definition, so it is cached; if it was evicted, a step command is the safe answer.
    app.cached_definition(&instance.definition, instance.version)
        .is_some_and(|definition| serves(app, &definition, instance, branch))
}

/// Whether a timer is due within `timers.broker_horizon`: then a delayed message fires it.
fn is_near(app: &App, now: Timestamp, due_at: Timestamp) -> bool {
    due_at.duration_since(now).unsigned_abs() <= app.config.timers.broker_horizon || due_at <= now
}

/// The command that a timer may be due.
fn fire(app: &App, instance: &Instance, bookmark: i64, due_at: Timestamp) -> Result<OutboxRow, store::Error> {
    let body = contract::Fire { instance: instance.id.0, bookmark, due_at };
    Ok(step_command(app, &step_queue_of(instance), "fire", &body, Some(due_at))?.with_instance(instance.id))
}

fn event(app: &App, instance: &Instance, event: &Event) -> Result<OutboxRow, store::Error> {
    let id: Uuid = app.new_id();
    let kind = format!("{}.{}", instance.definition, event.name);
    let body = CloudEvent {
        specversion: "1.0".into(),
        id: id.to_string(),
        source: format!("leveret/{}", instance.definition),
        kind: kind.clone(),
        subject: instance.id.to_string(),
        time: event.at,
        datacontenttype: "application/json".into(),
        data: event.data.clone(),
    };
    let mut row = OutboxRow::new(id, Exchange::Events, &kind, &kind, encode(&body)?)
        .with_app_id("leveret")
        .with_instance(instance.id)
        .with_claimable(app.claimable());
    if let Some(trace) = &instance.trace {
        row = row.with_header("traceparent", trace);
    }
    if let Some(key) = &instance.key {
        row = row.with_header("key", key);
    }
    Ok(row)
}
