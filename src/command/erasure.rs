//! Erases the data of a person, by instance or by business key. Only what has ended is erased: what lives needs its data.

use serde_json::json;

use super::Error;
use super::audit::{Actor, Done, Operation};
use crate::app::App;
use crate::contract::json as reader;
use crate::engine::InstanceId;
use crate::store::erasure::{self, Candidate, Erased};
use crate::store::{Transaction, Undo};

/// Instances that are looked up at once.
const INSTANCES_MAX: i64 = 100;
/// Rows of history that one statement erases.
const HISTORY_MAX: i64 = 5_000;
/// Kept messages that one statement deletes.
const MESSAGES_MAX: i64 = 500;
/// Dead letters whose bodies are read at once: each may have a MiB.
const LETTERS_MAX: i64 = 20;
/// Instances that live and are told one by one.
const ALIVE_MAX: usize = 20;

/// Whose data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Of one instance.
    Instance(InstanceId),
    /// Of a business key: its instances, and messages and dead letters with it.
    Key {
        /// The key.
        key: String,
        /// Only instances of this definition; then messages and dead letters with the key are kept.
        definition: Option<String>,
    },
}

/// Whether something is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is counted.
    Preview,
    /// It is erased.
    Erase,
}

/// What was erased, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Ended instances.
    pub instances: usize,
    /// What belonged to them.
    pub of_instances: Erased,
    /// Kept messages with the key.
    pub messages: i64,
    /// Instances that live, and were left as they are: the first of them.
    pub alive: Vec<InstanceId>,
    /// How many there are.
    pub alive_count: usize,
}

impl Report {
    fn add(&mut self, erased: Erased) {
        self.instances += 1;
        self.of_instances.history += erased.history;
        self.of_instances.tasks += erased.tasks;
        self.of_instances.calls += erased.calls;
        self.of_instances.dead_letters += erased.dead_letters;
    }
}

/// Erases the data of a person, or counts it. It can be repeated: what was erased before is not found again.
///
/// # Errors
/// `NotFound` if there is no such instance. After an error of the database what was erased before stays erased.
pub async fn erase(app: &App, whose: &Whose, mode: Mode, reason: Option<&str>, actor: &Actor) -> Result<Report, Error> {
    let mut report = Report::default();
    let by = By { mode, reason, actor };
    match whose {
        Whose::Instance(id) => {
            let found = erasure::find(&mut *app.store.background().await?, *id).await?;
            let candidate = found.ok_or_else(|| Error::NotFound(format!("there is no instance {id}")))?;
            one(app, candidate, &by, &mut report).await?;
        }
        Whose::Key { key, definition } => {
            let mut after = None;
            loop {
                let mut conn = app.store.background().await?;
                let page = erasure::find_by_key(&mut conn, key, definition.as_deref(), after, INSTANCES_MAX).await?;
                drop(conn);
                let full = page.len() as i64 == INSTANCES_MAX;
                for candidate in page {
                    after = Some(candidate.id);
                    one(app, candidate, &by, &mut report).await?;
                }
                if !full {
                    break;
                }
            }
            if definition.is_none() {
                messages(app, key, &by, &mut report).await?;
                letters(app, key, &by, &mut report).await?;
            }
        }
    }
    Ok(report)
}

/// Who erases, why, and whether.
struct By<'a> {
    mode: Mode,
    reason: Option<&'a str>,
    actor: &'a Actor,
}

impl<'a> By<'a> {
    /// The key itself is data, and is not noted.
    fn operation(&self, subject: &'static str, object: &'a str) -> Operation<'a> {
        Operation { actor: self.actor, action: "erase", subject, object, reason: self.reason }
    }
}

async fn one(app: &App, candidate: Candidate, by: &By<'_>, report: &mut Report) -> Result<(), Error> {
    let Candidate { id, has_ended } = candidate;
    if !has_ended {
        report.alive_count += 1;
        if report.alive.len() < ALIVE_MAX {
            report.alive.push(id);
        }
        return Ok(());
    }
    if by.mode == Mode::Preview {
        report.add(erasure::count(&mut *app.store.background().await?, id).await?);
        return Ok(());
    }
    let mut history = 0;
    // The history first: its instance is still found by the key if the process ends in between.
    loop {
        let rows = erasure::history(app.store.background().await?, id, HISTORY_MAX).await?;
        history += rows as i64;
        if rows < HISTORY_MAX as usize {
            break;
        }
    }
    let object = id.to_string();
    let operation =
        Operation { actor: by.actor, action: "erase", subject: "instance", object: &object, reason: by.reason };
    let rest = async |transaction: &mut Transaction| -> Result<_, Undo<Erased, Error>> {
        let Some(erased) = erasure::instance(transaction, id).await? else {
            return Err(Undo::Error(Error::NotFound(format!("instance {id} has just been deleted"))));
        };
        let erased = Erased { history, ..erased };
        let details = Some(json!({
            "history": history, "tasks": erased.tasks, "calls": erased.calls, "dead_letters": erased.dead_letters,
        }));
        Ok(Done::Changed { value: erased, outcome: "erased", details })
    };
    report.add(operation.run(app, rest).await?);
    Ok(())
}

async fn messages(app: &App, key: &str, by: &By<'_>, report: &mut Report) -> Result<(), Error> {
    if by.mode == Mode::Preview {
        report.messages = erasure::count_messages(&mut *app.store.background().await?, key).await?;
        return Ok(());
    }
    let operation = by.operation("messages", "");
    loop {
        let batch = async |transaction: &mut Transaction| -> Result<_, Undo<usize, Error>> {
            Ok(match erasure::messages(transaction, key, MESSAGES_MAX).await? {
                0 => Done::Unchanged(0),
                count => Done::Changed { value: count, outcome: "erased", details: Some(json!({ "messages": count })) },
            })
        };
        let count = operation.run(app, batch).await?;
        report.messages += count as i64;
        if count < MESSAGES_MAX as usize {
            return Ok(());
        }
    }
}

/// Dead letters whose body has the key as `key`.
async fn letters(app: &App, key: &str, by: &By<'_>, report: &mut Report) -> Result<(), Error> {
    let operation = by.operation("dead_letter", "");
    // As JSON writes it: without its quotes, so that it is found however the rest is spelt.
    let written = reader::text(&json!(key));
    let text = written.trim_matches('"');
    let mut after = 0;
    loop {
        let mut conn = app.store.background().await?;
        let page = erasure::letters_with(&mut conn, text.as_bytes(), after, LETTERS_MAX).await?;
        drop(conn);
        let full = page.len() as i64 == LETTERS_MAX;
        after = page.last().map_or(after, |(id, _)| *id);
        let found: Vec<i64> = page.iter().filter(|(_, body)| has_key(body, key)).map(|(id, _)| *id).collect();
        if by.mode == Mode::Preview || found.is_empty() {
            report.of_instances.dead_letters += found.len() as i64;
        } else {
            let batch = async |transaction: &mut Transaction| -> Result<_, Undo<usize, Error>> {
                let count = erasure::letters(transaction, &found).await?;
                Ok(Done::Changed { value: count, outcome: "erased", details: Some(json!({ "dead_letters": found })) })
            };
            report.of_instances.dead_letters += operation.run(app, batch).await? as i64;
        }
        if !full {
            return Ok(());
        }
    }
}

/// Whether the body of a dead letter is about a key. One that cannot be read, and contains the key, is.
fn has_key(body: &[u8], key: &str) -> bool {
    reader::read(body).map_or(true, |value| value["key"] == *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_about_a_key_if_it_says_so_or_cannot_be_read() {
        assert!(has_key(br#"{"key":"A-1"}"#, "A-1"));
        assert!(!has_key(br#"{"key":"A-12","note":"A-1"}"#, "A-1"));
        assert!(has_key(br#"{"key":"A-1"#, "A-1"));
    }
}
