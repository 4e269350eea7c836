//! The start of an instance: one statement writes the instance and the inbox row.

use std::sync::Arc;

use jiff::Timestamp;

use super::Error;
use super::committed::{Applied, Committed, Follow, Next};
use super::execution::Written;
use super::once::{self, Answer, Origin};
use super::{admission, effort, fail_point, rows};
use crate::app::App;
use crate::contract::{self, OnConflict};
use crate::definition::Definition;
use crate::engine::{self, Audit, Command, Control, Decision, Facts, Instance, InstanceId, Refusal};
use crate::store::commit::{self, Asked, Guarded};
use crate::store::inbox::{self, InboxRow};
use crate::store::write::Write;
use crate::store::{self, Transaction, Undo, definitions, instances, outbox};

/// Attempts at one start while versions of its definition are being applied.
const TRIES_MAX: u32 = 3;

/// How a start ended.
#[derive(Debug)]
pub enum Started {
    /// A new instance.
    New(Box<Committed>),
    /// A live instance has the key, and the sender asked for it with `on_conflict: return`.
    Existing(InstanceId),
}

/// A start whose rows are complete.
struct PlannedStart {
    write: Write,
    next: Next,
    inbox: InboxRow,
}

impl PlannedStart {
    fn publish(self, app: &App, now: Timestamp) -> Applied<Started> {
        let committed = Written::new(self.write, now, self.next, "start").publish(app);
        Applied::New(Started::New(Box::new(committed)))
    }
}

/// Starts an instance of the newest active version, or of the version named.
///
/// # Errors
/// `Refused`, `Invalid` and `NotFound`; nothing was written then.
pub async fn start(app: &App, command: contract::Start, origin: &Origin) -> Result<Applied<Started>, Error> {
    let asked = if command.version.is_some() { Asked::Named } else { Asked::Newest };
    // Held until the start is committed.
    let mut seats = None;
    // The remembered version may be outdated. A version that was just read is outdated only by an apply at the same time.
    for _ in 0..TRIES_MAX {
        let remembered = app.newest_version(&command.definition).filter(|_| asked == Asked::Newest);
        let (version, now) = match remembered {
            Some(version) => (version, app.clock.now()),
            None => match look_up(app, &command, origin).await? {
                Found::Startable(version, now) => (version, now),
                Found::Known(answer) => return Ok(Applied::Repeated(answer)),
            },
        };
        let definition = app.definition(&command.definition, version).await?;
        if seats.is_none() {
            match admission::admit(app, &command.definition, definition.limits, origin).await {
                Ok(taken) => seats = Some(taken),
                Err(limited @ Error::Limited { .. }) => {
                    // A repetition gets the same answer, whatever is full.
                    return once::known(app, origin).await?.map(Applied::Repeated).ok_or(limited);
                }
                Err(error) => return Err(error),
            }
        }
        let planned = match plan_start(app, &definition, &command, origin, version, now).await {
            // A newer version may take the input that the remembered one refuses.
            Err(Error::Invalid { .. }) if remembered.is_some() => {
                app.forget_newest(&command.definition);
                continue;
            }
            planned => planned?,
        };
        fail_point("step::before_commit");
        let mut conn = app.store.steps().await?;
        let started = commit::start(&mut conn, &planned.write, &planned.inbox, asked).await?;
        drop(conn);
        return match started {
            commit::Started::Committed(now) => Ok(planned.publish(app, now)),
            commit::Started::Duplicate(row) => origin.repeated(row).map(Applied::Repeated),
            commit::Started::KeyTaken => match command.on_conflict {
                OnConflict::Reject => Err(Error::Refused(taken(&command))),
                OnConflict::Return => existing(app, &command, origin).await,
                OnConflict::Replace => replace(app, &command, origin, planned).await,
            },
            commit::Started::Outdated => {
                app.forget_newest(&command.definition);
                continue;
            }
        };
    }
    Err(store::Error::Busy("the definition is being changed".into()).into())
}

enum Found {
    Startable(i32, Timestamp),
    Known(Answer),
}

async fn look_up(app: &App, command: &contract::Start, origin: &Origin) -> Result<Found, Error> {
    let mut conn = app.store.steps().await?;
    let found = definitions::find_startable(&mut conn, &command.definition, command.version).await?;
    drop(conn);
    if let Some((version, now)) = found {
        app.clock.observe(now);
        if command.version.is_none() {
            app.remember_newest(&command.definition, version);
        }
        return Ok(Found::Startable(version, now));
    }
    // A repetition gets the same answer, even if the definition is no longer active.
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Found::Known(answer));
    }
    Err(Error::NotFound(match command.version {
        Some(version) => format!("there is no version {version} of a definition `{}`", command.definition),
        None => format!("there is no active definition `{}`", command.definition),
    }))
}

async fn plan_start(
    app: &App,
    definition: &Arc<Definition>,
    command: &contract::Start,
    origin: &Origin,
    version: i32,
    now: Timestamp,
) -> Result<PlannedStart, Error> {
    let id = InstanceId(app.new_id());
    let start = || engine::Start {
        id,
        version,
        key: command.key.clone(),
        priority: command.priority,
        input: once::input(command.input.clone()),
        by: Some(command.user.clone().unwrap_or_else(|| origin.app_id.clone())),
        user_id: origin.user_id.clone(),
        trace: origin.trace.clone(),
    };
    let answer = Answer::of("started", Some(id));
    let mut step = effort::start(app, definition, start, now).await?.map_err(invalid)?;
    step.sign(&origin.sender());
    let (mut write, next) = rows::plan(app, None, step, now, origin.follow)?;
    write.outbox.extend(origin.reply(app, &answer));
    if app.config.limits.live_per_sender > 0 {
        write.counted_sender = Some(origin.app_id.clone());
    }
    let inbox = origin.inbox("start", &answer);
    Ok(PlannedStart { write, next, inbox })
}

fn invalid(refusal: Refusal) -> Error {
    let why = refusal.to_string();
    let problems = if let Refusal::Input(problems) = refusal { problems } else { Vec::new() };
    Error::Invalid { why, problems }
}

fn taken(command: &contract::Start) -> String {
    let key = command.key.as_deref().unwrap_or_default();
    format!(
        "a live instance of `{}` has the key `{key}`: use another key, or set `on_conflict` to `return` or `replace`",
        command.definition
    )
}

/// Answers with the live instance that has the key.
async fn existing(app: &App, command: &contract::Start, origin: &Origin) -> Result<Applied<Started>, Error> {
    let key = command.key.as_deref().unwrap_or_default();
    let found = Transaction::run(app.store.steps().await?, async |transaction| {
        let Some(id) = instances::find_by_key(transaction, &command.definition, key).await? else {
            // It ended in between: the next try will find the key free.
            return Err(Undo::Error(busy("the instance that had the key has just ended")));
        };
        let answer = Answer::of("existing", Some(id));
        if !inbox::insert(transaction, &origin.inbox("start", &answer)).await? {
            return Err(Undo::Value(None));
        }
        let replies: Vec<_> = origin.reply(app, &answer).into_iter().collect();
        outbox::push(transaction, &replies).await?;
        Ok(Some((id, replies)))
    })
    .await?;
    match found {
        Some((id, replies)) => {
            app.publish(replies);
            Ok(Applied::New(Started::Existing(id)))
        }
        None => match once::known(app, origin).await? {
            Some(answer) => Ok(Applied::Repeated(answer)),
            None => Err(busy("the inbox row was just deleted")),
        },
    }
}

/// How the transaction of a replacement ended.
enum Replaced {
    /// The old instance is cancelled and the new one started.
    Now { cancelled: Box<Write>, started_at: Timestamp },
    /// The same command was executed before.
    Before(Answer),
}

/// Cancels the live instance that has the key and starts the new one, in one transaction.
async fn replace(
    app: &App,
    command: &contract::Start,
    origin: &Origin,
    planned: PlannedStart,
) -> Result<Applied<Started>, Error> {
    let replaced = Transaction::run(app.store.steps().await?, async |transaction| {
        let cancelled = cancel_old(app, transaction, command, origin, &planned.write.instance).await?;
        match commit::guarded(transaction, &planned.write, Some(&planned.inbox)).await {
            Ok(Guarded::Committed(started_at)) => Ok(Replaced::Now { cancelled: Box::new(cancelled), started_at }),
            Ok(Guarded::Duplicate(row)) => Err(Undo::Value(Replaced::Before(origin.repeated(row)?))),
            Ok(Guarded::Conflict) => Err(Undo::Error(busy("another start has just come in between"))),
            Err(error) if error.is_key_taken() => Err(Undo::Error(busy("another start has just taken the key"))),
            Err(error) => Err(Undo::Error(error.into())),
        }
    })
    .await?;
    match replaced {
        Replaced::Now { cancelled, started_at } => {
            let (replaced, by) = (cancelled.instance.id, planned.write.instance.id);
            app.publish(cancelled.outbox);
            app.endings.ended(replaced);
            tracing::debug!(%replaced, %by, "an instance was replaced");
            Ok(planned.publish(app, started_at))
        }
        Replaced::Before(answer) => Ok(Applied::Repeated(answer)),
    }
}

/// Locks and cancels the live instance that has the key.
async fn cancel_old(
    app: &App,
    transaction: &mut Transaction,
    command: &contract::Start,
    origin: &Origin,
    new: &Instance,
) -> Result<Write, Undo<Replaced, Error>> {
    let busy = |what: &str| Undo::Error(busy(what));
    let key = command.key.as_deref().unwrap_or_default();
    let Some(id) = instances::find_by_key(transaction, &command.definition, key).await? else {
        return Err(busy("the instance that had the key has just ended"));
    };
    let Some(loaded) = instances::lock(transaction, id).await? else {
        return Err(busy("the instance that had the key was just deleted"));
    };
    let definition = app.definition(&loaded.instance.definition, loaded.instance.version).await?;
    let audit = Audit { by: Some(origin.person()), reason: Some(format!("replaced by {}", new.id)) };
    let cancel = Command::Instance(Control::Cancel, audit);
    let decided = effort::decide(app, &definition, &loaded.instance, &cancel, Facts::default(), loaded.now);
    let mut step = match decided.await? {
        Decision::Commit(step) => step,
        Decision::Refuse(_) | Decision::Need(_) => return Err(busy("the instance that had the key has just ended")),
    };
    step.sign(&origin.sender());
    let (cancelled, _) = rows::plan(app, Some(&loaded.instance), step, loaded.now, Follow::IfNeeded)?;
    match commit::guarded(transaction, &cancelled, None).await? {
        Guarded::Committed(_) => Ok(cancelled),
        Guarded::Conflict | Guarded::Duplicate(_) => Err(busy("the instance that had the key has just changed")),
    }
}

fn busy(what: &str) -> Error {
    store::Error::Busy(what.into()).into()
}
