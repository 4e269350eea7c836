//! The audit log: an action of an operator is noted in the transaction that does it, here and nowhere else.
//!
//! A command to an instance is noted by the pipeline, when it writes what was decided ([`noted`]). Everything else that an operator can
//! do is an [`Operation`]. Starts, messages, steps and the daily work of people with their tasks are not noted: the history has them.

use serde_json::{Value, json};

use super::committed::Applied;
use super::once::{Answer, Origin};
use super::{Error, bulk};
use crate::app::App;
use crate::engine::{Act, Audit, CallReport, Command, InstanceId};
use crate::store::audit::{self, Entry};
use crate::store::{self, Transaction, Undo, inbox};

pub use crate::store::audit::Door;

/// The senders of the doors that are Leveret's own; others cannot take these names.
const HTTP: &str = "leveret.http";
/// What comes before the name of an authenticated caller over HTTP.
const CALLER: &str = "leveret.http/";
const CLI: &str = "leveret.cli";
const BULK: &str = bulk::SENDER;

/// Who does something, and through which door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A person where the door knows one, or else the verified user of RabbitMQ, or the sender of the command.
    pub who: String,
    /// The door.
    pub door: Door,
    /// Who was authenticated and acts for that person, if it is somebody else.
    pub via: Option<String>,
}

impl Actor {
    /// The sender of a command.
    pub fn of(origin: &Origin) -> Self {
        let door = match origin.app_id.as_str() {
            HTTP => Door::Http,
            caller if caller.starts_with(CALLER) => Door::Http,
            CLI => Door::Cli,
            BULK => Door::Bulk,
            _ => Door::Broker,
        };
        let who = origin.by.as_ref().or(origin.user_id.as_ref()).unwrap_or(&origin.app_id);
        Actor { who: who.clone(), door, via: origin.via.clone() }
    }

    /// The sender of a command which names a person: who is named counts where the door knows nobody. A sender over RabbitMQ is known.
    pub(super) fn naming(origin: &Origin, named: Option<&str>) -> Self {
        let actor = Self::of(origin);
        match named.filter(|_| origin.by.is_none() && actor.door != Door::Broker) {
            Some(named) => Actor { who: named.to_owned(), ..actor },
            None => actor,
        }
    }
}

/// What is noted of a command to an instance; none if no operator acts.
pub(super) fn noted(
    command: &Command,
    instance: InstanceId,
    origin: &Origin,
    kind: &str,
    answer: &Answer,
) -> Option<Entry> {
    let named = |audit: &Audit| Actor::naming(origin, audit.by.as_deref());
    let (subject, object, reason, Actor { who, door, via }) = match command {
        Command::Instance(_, audit) | Command::Incident(_, audit) => {
            ("instance", None, audit.reason.clone(), named(audit))
        }
        Command::Call(call) => match &call.report {
            CallReport::Resolved { audit, .. } => {
                ("call", answer.call.map(|id| id.to_string()), audit.reason.clone(), named(audit))
            }
            CallReport::Completed { .. } | CallReport::GivenUp { .. } | CallReport::Progress { .. } => return None,
        },
        Command::Task(task) => match &task.act {
            Act::Reassign { comment, .. } => {
                let actor = Actor { who: task.person.user.clone(), ..Actor::of(origin) };
                ("task", answer.task.map(|id| id.to_string()), comment.clone(), actor)
            }
            Act::Complete { .. }
            | Act::Claim { .. }
            | Act::Extend { .. }
            | Act::Release
            | Act::Delegate { .. }
            | Act::Draft { .. } => return None,
        },
        Command::Internal(_) => return None,
    };
    Some(Entry {
        actor: who,
        door,
        action: kind.to_owned(),
        subject,
        object: object.unwrap_or_else(|| instance.to_string()),
        reason,
        outcome: answer.outcome.clone(),
        details: with_via(None, via.as_deref()),
    })
}

/// The facts of an entry, with the one who acted for the person.
fn with_via(details: Option<Value>, via: Option<&str>) -> Option<Value> {
    let Some(via) = via else { return details };
    let mut details = details.unwrap_or_else(|| json!({}));
    if let Some(facts) = details.as_object_mut() {
        facts.insert("via".into(), via.into());
    }
    Some(details)
}

/// How an action of an operator is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// By whom.
    pub actor: &'a Actor,
    /// As which request, if it has an identity: a repetition is then recognised.
    pub origin: Option<&'a Origin>,
    /// The revision of the object that was seen, if it is compared.
    pub seen: Option<i64>,
}

impl<'a> From<&'a Actor> for Asked<'a> {
    fn from(actor: &'a Actor) -> Self {
        Self { actor, origin: None, seen: None }
    }
}

/// An action of an operator beside the commands to one instance.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// Who does it.
    pub actor: &'a Actor,
    /// What is done.
    pub action: &'static str,
    /// The kind of the object.
    pub subject: &'static str,
    /// The id or name of the object.
    pub object: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
}

/// What an action has done.
#[derive(Debug)]
pub enum Done<T> {
    /// It changed something: this is noted.
    Changed {
        /// The result.
        value: T,
        /// In one word.
        outcome: &'static str,
        /// Further facts.
        details: Option<Value>,
    },
    /// Everything was so already.
    Unchanged(T),
}

impl<T> Done<T> {
    /// A change without further facts.
    pub fn changed(value: T, outcome: &'static str) -> Self {
        Done::Changed { value, outcome, details: None }
    }
}

impl Operation<'_> {
    /// Does it in a transaction of its own, with the entry.
    ///
    /// # Errors
    /// Those of the body and of the commit; nothing is written then.
    pub async fn run<T, E: From<store::Error>>(
        &self,
        app: &App,
        body: impl AsyncFnOnce(&mut Transaction) -> Result<Done<T>, Undo<T, E>>,
    ) -> Result<T, E> {
        Transaction::run(app.store.background().await?, async |transaction| match body(transaction).await? {
            Done::Changed { value, outcome, details } => {
                audit::append(transaction, &self.entry(outcome, details)).await?;
                Ok(value)
            }
            Done::Unchanged(value) => Ok(value),
        })
        .await
    }

    /// The same, once for each identity: the inbox has the answer, which a repetition gets again.
    ///
    /// # Errors
    /// Those of the body and of the commit; that the identity was used for another request.
    pub async fn run_once<T, E: From<store::Error> + From<Error>>(
        &self,
        app: &App,
        origin: Option<&Origin>,
        answer: &Answer,
        body: impl AsyncFnOnce(&mut Transaction) -> Result<Done<T>, Undo<T, E>>,
    ) -> Result<Applied<T>, E> {
        let Some(origin) = origin else { return self.run(app, body).await.map(Applied::New) };
        Transaction::run(app.store.background().await?, async |transaction| {
            // Before the body: of two at the same time, the second waits here for the first.
            if !inbox::insert(transaction, &origin.inbox(self.action, answer)).await? {
                let known = inbox::find(transaction, &origin.app_id, &origin.message_id).await?;
                let known = known.ok_or(store::Error::Conflict)?;
                let answer = origin.repeated(known).map_err(|error| Undo::Error(error.into()))?;
                return Err(Undo::Value(Applied::Repeated(answer)));
            }
            match body(transaction).await {
                Ok(Done::Changed { value, outcome, details }) => {
                    audit::append(transaction, &self.entry(outcome, details)).await?;
                    Ok(Applied::New(value))
                }
                Ok(Done::Unchanged(value)) => Ok(Applied::New(value)),
                Err(Undo::Value(value)) => Err(Undo::Value(Applied::New(value))),
                Err(Undo::Error(error)) => Err(Undo::Error(error)),
            }
        })
        .await
    }

    /// Notes what is done in several transactions: by itself, before them and after them.
    ///
    /// # Errors
    /// As for any query.
    pub async fn note(&self, app: &App, outcome: &str, details: Option<Value>) -> Result<(), store::Error> {
        audit::append(&mut *app.store.background().await?, &self.entry(outcome, details)).await
    }

    pub(super) fn entry(&self, outcome: &str, details: Option<Value>) -> Entry {
        Entry {
            actor: self.actor.who.clone(),
            door: self.actor.door,
            action: self.action.to_owned(),
            subject: self.subject,
            object: self.object.to_owned(),
            reason: self.reason.map(str::to_owned),
            outcome: outcome.to_owned(),
            details: with_via(details, self.actor.via.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Follow;

    #[test]
    fn the_actor_is_a_person_before_a_user_of_the_broker_before_a_sender() {
        let mut origin = Origin::new("shop", "m", b"", Follow::Always);
        let who = |origin: &Origin| Actor::of(origin);
        assert_eq!(who(&origin), Actor { who: "shop".into(), door: Door::Broker, via: None });
        origin.user_id = Some("shop-user".into());
        assert_eq!(who(&origin).who, "shop-user");
        let person = Origin { by: Some("ann".into()), ..Origin::new(HTTP, "m", b"", Follow::Always) };
        assert_eq!(who(&person), Actor { who: "ann".into(), door: Door::Http, via: None });
        let by = Some("ann".into());
        let for_ann =
            Origin { by, via: Some("inbox".into()), ..Origin::new("leveret.http/inbox", "m", b"", Follow::Always) };
        assert_eq!(who(&for_ann), Actor { who: "ann".into(), door: Door::Http, via: Some("inbox".into()) });
        assert_eq!(with_via(Some(json!({ "count": 1 })), Some("inbox")), Some(json!({ "count": 1, "via": "inbox" })));
        assert_eq!(with_via(None, None), None);
        assert_eq!(who(&Origin::new(CLI, "m", b"", Follow::Always)).door, Door::Cli);
    }
}
