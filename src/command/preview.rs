//! Rehearsals: what a command would change. It is decided under the same locks as the command itself, and rolled back.

use serde_json::Map;

use super::committed::Executed;
use super::control::{audit, refused, resolve};
use super::execution::{Ended, Execution};
use super::once::{Answer, Origin};
use super::{Error, rerun};
use crate::app::App;
use crate::contract;
use crate::contract::api::{ControlPreview, DoneView, EntryPlace, EntryView, NewInstanceView, Transition, WaitPreview};
use crate::engine::{Branch, Command, Control, Effect, Instance, InstanceId, Step, TaskTimer, TimerKind, Wait, WaitOn};
use crate::store::history::HistoryRow;
use crate::store::{self, Transaction, Undo, history};

/// History rows that are read to find what was done since an activity was begun.
const HISTORY_MAX: i64 = 1_000;
/// Of these, rows that are listed.
const DONE_MAX: usize = 100;

/// What a command would change. Nothing is written, not even that it was asked.
///
/// # Errors
/// The refusals of [`super::control`].
pub async fn preview(
    app: &App,
    what: Control,
    target: &contract::Target,
    origin: &Origin,
) -> Result<ControlPreview, Error> {
    let mut found = None;
    let ended: Result<Ended, Error> = Transaction::run(app.store.background().await?, async |transaction| {
        let id = resolve(transaction, target).await?;
        let from = if let Control::Rerun { from } = &what { Some(from.clone()) } else { None };
        let ended = if from.is_some() { rerun::find_ended(transaction, id).await? } else { None };
        let mut preview = match (ended, &from) {
            (Some(ended), Some(from)) => {
                let before = ended.instance.clone();
                let step = rerun::plan(app, ended, from, target, origin).await?;
                as_new(&before, &step)
            }
            (Some(_) | None, _) => {
                let (name, answer) = (what.name(), Answer::of(what.outcome(), Some(id)));
                let command = Command::Instance(what, audit(target, origin));
                let execution = Execution::from_outside(app, command, origin, name, answer).if_at(target.revision);
                let (before, step) = execution.rehearse(transaction, id).await?;
                changes(&before, &step)
            }
        };
        if let Some(from) = &from {
            preview.done_since = Some(done_since(transaction, id, from).await?);
        }
        found = Some(preview);
        // Whatever was locked or read: nothing is committed.
        Err(Undo::Value(Ended::Not(Executed::Conflict)))
    })
    .await;
    match (found, ended?) {
        (Some(preview), _) => Ok(preview),
        (None, Ended::Not(Executed::Refused(refusal))) => Err(refused(refusal)),
        (None, Ended::Not(_) | Ended::Written(_)) => {
            Err(store::Error::Busy("the instance is being changed by another process".into()).into())
        }
    }
}

/// What a step changes.
fn changes(before: &Instance, step: &Step) -> ControlPreview {
    let after = &step.instance;
    let changed = after.variables.iter().filter(|(name, value)| before.variables.get(*name) != Some(*value));
    let (had, has) = (waits(before), waits(after));
    let without = |some: &[WaitPreview], others: &[WaitPreview]| {
        some.iter().filter(|one| others.iter().all(|other| other.bookmark != one.bookmark)).cloned().collect()
    };
    ControlPreview {
        id: before.id.0,
        dry_run: true,
        revision: before.revision,
        status: Transition { from: before.status.name().to_owned(), to: after.status.name().to_owned() },
        at: Transition { from: activities(before), to: activities(after) },
        queue: Transition { from: before.queue.clone(), to: after.queue.clone() },
        priority: Transition { from: before.priority, to: after.priority },
        variables: changed.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ends: without(&had, &has),
        opens: without(&has, &had),
        history: entries(step),
        events: events(step),
        starts: None,
        done_since: None,
    }
}

/// What the rerun of an ended instance starts: the ended one stays as it is.
fn as_new(ended: &Instance, step: &Step) -> ControlPreview {
    let same = |text: &str| Transition { from: text.to_owned(), to: text.to_owned() };
    let new = &step.instance;
    ControlPreview {
        id: ended.id.0,
        dry_run: true,
        revision: ended.revision,
        status: same(ended.status.name()),
        at: Transition::default(),
        queue: same(&ended.queue),
        priority: Transition { from: ended.priority, to: ended.priority },
        variables: Map::new(),
        ends: Vec::new(),
        opens: Vec::new(),
        history: entries(step),
        events: events(step),
        starts: Some(NewInstanceView {
            definition: new.definition.clone(),
            version: new.version,
            key: new.key.clone(),
            at: activities(new),
            variables: new.variables.clone(),
        }),
        done_since: None,
    }
}

fn activities(instance: &Instance) -> Vec<String> {
    instance.state.branches.iter().map(|branch| branch.activity.clone()).collect()
}

fn entries(step: &Step) -> Vec<EntryView> {
    let entry = |effect: &Effect| {
        let Effect::Record(entry) = effect else { return None };
        let (kind, activity, details) = (entry.kind.name().to_owned(), entry.activity.clone(), entry.details.clone());
        Some(EntryView { kind, activity, details })
    };
    step.effects.iter().filter_map(entry).collect()
}

fn events(step: &Step) -> Vec<String> {
    let event = |effect: &Effect| {
        let Effect::Publish(event) = effect else { return None };
        Some(format!("{}.{}", step.instance.definition, event.name))
    };
    step.effects.iter().filter_map(event).collect()
}

fn waits(instance: &Instance) -> Vec<WaitPreview> {
    let of = |branch: &Branch| {
        let activity = branch.activity.clone();
        let preview = move |wait: &Wait| WaitPreview {
            bookmark: wait.bookmark,
            kind: kind(&wait.on).to_owned(),
            activity: activity.clone(),
            due_at: wait.due_at,
        };
        branch.waits().iter().map(preview).collect::<Vec<_>>()
    };
    instance.state.branches.iter().flat_map(of).collect()
}

fn kind(on: &WaitOn) -> &'static str {
    match on {
        WaitOn::Timer(TimerKind::Wait) => "timer",
        WaitOn::Timer(TimerKind::Timeout) => "timeout",
        WaitOn::Timer(TimerKind::Retry) => "retry",
        WaitOn::Timer(TimerKind::Task(
            TaskTimer::Overdue | TaskTimer::Reminder { .. } | TaskTimer::Escalation { .. },
        )) => "task_timer",
        WaitOn::Message { .. } => "message",
        WaitOn::Intervention { .. } => "intervention",
        WaitOn::Task => "task",
        WaitOn::Call { .. } => "call",
    }
}

/// The activities that were completed since one was begun for the last time, itself included: a rerun does not undo them.
async fn done_since(transaction: &mut Transaction, id: InstanceId, from: &str) -> Result<DoneView, store::Error> {
    let newest = history::newest(transaction, id, HISTORY_MAX).await?;
    Ok(since(newest, from))
}

/// The same, of rows with the newest first.
fn since(newest: Vec<HistoryRow>, from: &str) -> DoneView {
    let is_from = |row: &&HistoryRow| row.activity.as_deref() == Some(from);
    let after = newest.iter().take_while(|row| !is_from(row)).count();
    // Its own entries, with those of the whole instance between them.
    let own = newest[after..].iter().take_while(|row| row.activity.is_none() || is_from(row)).count();
    let is_whole = after + own < newest.len() || newest.last().is_none_or(|row| row.number == 1);
    let mut items: Vec<_> = newest
        .into_iter()
        .take(after + own)
        .filter(|row| row.kind == "ActivityCompleted")
        .map(|row| (row.number, row.at, row.activity.unwrap_or_default()))
        .collect();
    let more = !is_whole || items.len() > DONE_MAX;
    items.truncate(DONE_MAX);
    items.reverse();
    let items = items.into_iter().map(|(number, at, activity)| EntryPlace { number, at, activity });
    DoneView { items: items.collect(), more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64, kind: &str, activity: Option<&str>) -> HistoryRow {
        HistoryRow {
            number,
            at: jiff::Timestamp::UNIX_EPOCH,
            kind: kind.into(),
            activity: activity.map(str::to_owned),
            branch: None,
            details: None,
            salt: None,
            digest: Vec::new(),
            previous_hash: Vec::new(),
        }
    }

    #[test]
    fn what_was_completed_since_an_activity_was_begun_last_is_listed_with_it() {
        let rows = [
            row(1, "InstanceStarted", None),
            row(2, "ActivityCompleted", Some("pay")),
            row(3, "ActivityCompleted", Some("ship")),
            row(4, "WaitOpened", Some("pay")),
            row(5, "ActivityCompleted", Some("pay")),
            row(6, "ActivityCompleted", Some("ship")),
            row(7, "IncidentOpened", Some("mail")),
        ];
        let newest: Vec<_> = rows.into_iter().rev().collect();
        let told = |from: &str| {
            let done = since(newest.clone(), from);
            assert!(!done.more);
            done.items.into_iter().map(|item| (item.number, item.activity)).collect::<Vec<_>>()
        };
        assert_eq!(told("pay"), [(5, "pay".to_owned()), (6, "ship".to_owned())]);
        assert_eq!(told("mail"), []);
        let beyond = since(newest[..3].to_vec(), "other");
        assert!(beyond.more, "an older row may be about it");
    }
}
