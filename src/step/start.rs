//! The planned of an instance: one statement, fed from the inbox row.

use jiff::Timestamp;

use super::origin::{self, Answer, Origin};
use super::{Error, Follow, Position, fail_point, publish_committed, rows};
use crate::app::App;
use crate::contract::{self, OnConflict};
use crate::engine::{self, Command, Facts, InstanceId, Refusal};
use crate::store::commit::{self, Asked, Guarded};
use crate::store::inbox::InboxRow;
use crate::store::write::Write;
use crate::store::{self, Transaction, definitions, inbox, instances, outbox};

/// Tries of one start over changes of its definition.
const TRIES_MAX: u32 = 3;

/// How a start ended.
#[derive(Debug)]
pub enum Started {
    /// A new instance.
    New(Box<Position>),
    /// A live instance has the key, and the sender said `return`: it was told which.
    Existing(InstanceId),
    /// The same message was handled before.
    Known(Answer),
}

/// What a start comes to once the definition has been asked.
struct PlannedStart {
    write: Write,
    followed: bool,
    answer: Answer,
    inbox: InboxRow,
}

/// Starts an instance of the newest active version, or of the version named.
///
/// # Errors
/// `Refused` and `NotFound` say what is wrong with the command; nothing was written then.
pub async fn start(app: &App, command: contract::Start, origin: &Origin) -> Result<Started, Error> {
    let asked = if command.version.is_some() { Asked::Named } else { Asked::Newest };
    // What the statement finds outdated was remembered; asked for anew, only an apply at the same moment can outdate it.
    for _ in 0..TRIES_MAX {
        let remembered = app.newest_version(&command.definition).filter(|_| asked == Asked::Newest);
        let (version, now) = match remembered {
            Some(version) => (version, app.clock.now()),
            None => match look_up(app, &command, origin).await? {
                Found::Startable(version, now) => (version, now),
                Found::Known(answer) => return Ok(Started::Known(answer)),
            },
        };
        let planned = match plan_start(app, &command, origin, version, now).await {
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
        fail_point("step::after_commit");
        return match started {
            commit::Started::Committed(now) => {
                Ok(Started::New(Box::new(publish_committed(app, planned.write, now, planned.followed, "start"))))
            }
            commit::Started::Duplicate(row) => origin.again(row).map(Started::Known),
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
    // What was answered once is answered the same way, whatever became of the definition.
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Found::Known(answer));
    }
    Err(Error::NotFound(match command.version {
        Some(version) => format!("there is no version {version} of a definition `{}`", command.definition),
        None => format!("there is no active definition `{}`", command.definition),
    }))
}

async fn plan_start(
    app: &App,
    command: &contract::Start,
    origin: &Origin,
    version: i32,
    now: Timestamp,
) -> Result<PlannedStart, Error> {
    let definition = app.definition(&command.definition, version).await?;
    let start = engine::Start {
        id: InstanceId(app.new_id()),
        version,
        key: command.key.clone(),
        input: origin::object(command.input.clone()),
        by: Some(origin.app_id.clone()),
        trace: origin.trace.clone(),
    };
    let answer = Answer::of("started", Some(start.id));
    let step = engine::start(&definition, start, &app.context(now)).map_err(invalid)?;
    let (mut write, followed) = rows::write(app, None, step, now, origin.follow)?;
    write.outbox.extend(origin.reply(app, &answer));
    let inbox = origin.inbox("start", &answer);
    Ok(PlannedStart { write, followed, answer, inbox })
}

fn invalid(refusal: Refusal) -> Error {
    let why = refusal.to_string();
    let faults = if let Refusal::Input(faults) = refusal { faults } else { Vec::new() };
    Error::Invalid { why, faults }
}

fn taken(command: &contract::Start) -> String {
    let key = command.key.as_deref().unwrap_or_default();
    format!(
        "a live instance of `{}` has the key `{key}`; `on_conflict` can be `return` or `replace`",
        command.definition
    )
}

/// Answers with the live instance that has the key.
async fn existing(app: &App, command: &contract::Start, origin: &Origin) -> Result<Started, Error> {
    let key = command.key.as_deref().unwrap_or_default();
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let Some(id) = instances::find_by_key(&mut transaction, &command.definition, key).await? else {
        transaction.rollback().await;
        // It ended in between: the next try will find the key free.
        return Err(store::Error::Busy("the instance that had the key has just ended".into()).into());
    };
    let answer = Answer::of("existing", Some(id));
    if !inbox::insert(&mut transaction, &origin.inbox("start", &answer)).await? {
        transaction.rollback().await;
        return match origin::known(app, origin).await? {
            Some(answer) => Ok(Started::Known(answer)),
            None => Err(store::Error::Busy("the inbox row has just gone".into()).into()),
        };
    }
    let replies: Vec<_> = origin.reply(app, &answer).into_iter().collect();
    outbox::push(&mut transaction, &replies).await?;
    transaction.commit().await?;
    app.publish(replies);
    Ok(Started::Existing(id))
}

/// Cancels the live instance that has the key and starts the new one, in one transaction.
async fn replace(
    app: &App,
    command: &contract::Start,
    origin: &Origin,
    planned: PlannedStart,
) -> Result<Started, Error> {
    let key = command.key.as_deref().unwrap_or_default();
    let busy = |what: &str| Error::from(store::Error::Busy(what.into()));
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let Some(id) = instances::find_by_key(&mut transaction, &command.definition, key).await? else {
        transaction.rollback().await;
        return Err(busy("the instance that had the key has just ended"));
    };
    let Some(loaded) = instances::lock(&mut transaction, id).await? else {
        transaction.rollback().await;
        return Err(busy("the instance that had the key has just gone"));
    };
    let old = app.definition(&loaded.instance.definition, loaded.instance.version).await?;
    let reason = format!("replaced by {}", planned.write.instance.id);
    let cancel = Command::Cancel { by: Some(origin.app_id.clone()), reason: Some(reason) };
    let Ok(step) = engine::step(&old, &loaded.instance, cancel, Facts::default(), &app.context(loaded.now)) else {
        transaction.rollback().await;
        return Err(busy("the instance that had the key has just ended"));
    };
    let (cancelled, _) = rows::write(app, Some(&loaded.instance), step, loaded.now, Follow::IfNeeded)?;
    match commit::guarded(&mut transaction, &cancelled, None).await? {
        Guarded::Committed(_) => {}
        Guarded::Conflict | Guarded::Duplicate(_) => {
            transaction.rollback().await;
            return Err(busy("the instance that had the key has just moved"));
        }
    }
    match commit::guarded(&mut transaction, &planned.write, Some(&planned.inbox)).await {
        Ok(Guarded::Committed(now)) => {
            transaction.commit().await?;
            app.publish(cancelled.outbox);
            tracing::debug!(replaced = %id, by = ?planned.answer.instance, "an instance was replaced");
            Ok(Started::New(Box::new(publish_committed(app, planned.write, now, planned.followed, "start"))))
        }
        Ok(Guarded::Duplicate(row)) => {
            transaction.rollback().await;
            origin.again(row).map(Started::Known)
        }
        Ok(Guarded::Conflict) => {
            transaction.rollback().await;
            Err(busy("another start has just come in between"))
        }
        Err(error) => {
            transaction.rollback().await;
            Err(if error.is_key_taken() { busy("another start has just taken the key") } else { error.into() })
        }
    }
}
