//! Incidents: a person resolves those of one instance, or notes something about a group of them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Error;
use super::audit::{Actor, Done, Operation};
use super::committed::{Applied, Executed};
use super::execution::{Ended, Execution, Undone, Written};
use super::once::{self, Answer, Origin};
use crate::app::App;
use crate::contract::check_name;
use crate::engine::{Audit, Command, Control, InstanceId, Refusal, Remedy};
use crate::fault::is_fingerprint;
use crate::store::incidents::{self, Changed, GroupChange, GroupNote};
use crate::store::{self, Transaction, Undo};
use crate::time::duration;

/// Bytes of a comment, and of a reason.
const COMMENT_MAX: usize = 4_096;
/// A group is muted for no longer, so that nothing is forgotten for ever.
const MUTE_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// How the incidents of an instance are resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum IncidentAction {
    /// The activities are tried again, after these variables were set.
    Retry(Map<String, Value>),
    /// The instance ends as failed, with the failure of its oldest incident.
    Fail,
    /// The instance is cancelled.
    Cancel,
}

impl IncidentAction {
    /// The action of this name; variables belong to `retry` alone.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn parse(name: &str, variables: Map<String, Value>) -> Result<Self, String> {
        match name {
            "retry" => Ok(Self::Retry(variables)),
            "fail" | "cancel" if !variables.is_empty() => Err("`variables` are allowed only with `retry`".into()),
            "fail" => Ok(Self::Fail),
            "cancel" => Ok(Self::Cancel),
            other => {
                let other: String = other.chars().take(60).collect();
                Err(format!("`{other}` does not resolve an incident: use retry, fail or cancel"))
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Retry(_) => "incident.retry",
            Self::Fail => "incident.fail",
            Self::Cancel => "incident.cancel",
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Retry(_) => Control::Retry.outcome(),
            Self::Fail => "failed",
            Self::Cancel => Control::Cancel.outcome(),
        }
    }

    fn command(&self, audit: Audit) -> Command {
        match self {
            Self::Retry(variables) => Command::Incident(Remedy::Retry { variables: variables.clone() }, audit),
            Self::Fail => Command::Incident(Remedy::Fail, audit),
            Self::Cancel => Command::Instance(Control::Cancel, audit),
        }
    }
}

/// Whether a command is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Execute,
    /// It is decided and written, and rolled back.
    Dry,
}

/// What was changed, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The status of the instance afterwards.
    pub status: &'static str,
    /// The activities of its branches afterwards.
    pub at: Vec<String>,
    /// The kinds of the new entries of its history.
    pub history: Vec<String>,
}

impl Resolved {
    fn of(written: &Written) -> Self {
        let write = written.planned();
        Self {
            status: write.instance.status.name(),
            at: write.instance.state.branches.iter().map(|branch| branch.activity.clone()).collect(),
            history: write.history.iter().map(|row| row.kind.clone()).collect(),
        }
    }
}

/// The end of the transaction, and what it would change.
struct Attempt {
    ended: Ended,
    resolved: Option<Resolved>,
}

/// Resolves the incidents of an instance.
///
/// # Errors
/// `NotFound` if there is no such instance, `Refused` with the engine's reason; nothing was changed then.
pub async fn resolve_incidents(
    app: &App,
    id: InstanceId,
    action: &IncidentAction,
    reason: Option<String>,
    seen: Option<i64>,
    run: Run,
    origin: &Origin,
) -> Result<Applied<Resolved>, Error> {
    if run == Run::Execute
        && let Some(answer) = once::known(app, origin).await?
    {
        return Ok(Applied::Repeated(answer));
    }
    let attempt = Transaction::run(app.store.steps().await?, async |transaction| {
        let command = action.command(Audit { by: Some(origin.person()), reason });
        let answer = Answer::of(action.outcome(), Some(id));
        let execution = Execution::from_outside(app, command, origin, action.name(), answer).if_at(seen);
        let ended = execution.in_transaction(transaction, id).await.map_err(undone)?;
        let resolved = match &ended {
            Ended::Written(written) => Some(Resolved::of(written)),
            Ended::Not(_) => None,
        };
        let attempt = Attempt { ended, resolved };
        match run {
            Run::Execute => Ok(attempt),
            Run::Dry => Err(Undo::Value(attempt)),
        }
    })
    .await;
    let attempt = match (attempt, run) {
        (Ok(attempt), _) => attempt,
        (Err(error @ Error::Store(_)), _) | (Err(error), Run::Dry) => return Err(error),
        (Err(error), Run::Execute) => return repeated(app, origin, error).await,
    };
    let error = match (attempt, run) {
        (Attempt { resolved: Some(resolved), .. }, Run::Dry) => return Ok(Applied::New(resolved)),
        (Attempt { ended, resolved }, _) => match (ended.publish(app), resolved) {
            (Executed::Committed(_), Some(resolved)) => return Ok(Applied::New(resolved)),
            (Executed::Refused(changed @ Refusal::Changed { .. }), _) => Error::Changed(changed.to_string()),
            (Executed::Refused(refusal), _) => Error::Refused(refusal.to_string()),
            (Executed::Conflict | Executed::Committed(_), _) => {
                store::Error::Busy("the instance is being changed by another process".into()).into()
            }
        },
    };
    repeated(app, origin, error).await
}

/// The answer of the same command that another process has executed meanwhile, or else the error.
async fn repeated(app: &App, origin: &Origin, error: Error) -> Result<Applied<Resolved>, Error> {
    once::known(app, origin).await?.map(Applied::Repeated).ok_or(error)
}

fn undone(undone: Undone) -> Undo<Attempt, Error> {
    match undone {
        Undo::Value(ended) => Undo::Value(Attempt { ended, resolved: None }),
        Undo::Error(error) => Undo::Error(error),
    }
}

/// Who changes a group of incidents, and why.
#[derive(Debug, Clone, Default)]
pub struct Author {
    /// The user; else the sender.
    pub user: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Assigns, comments or mutes a group of incidents, once for each identity of the command.
///
/// # Errors
/// `NotFound` if no open incident has the fingerprint, `Refused` if a text is too long or a time is too far.
pub async fn change_group(
    app: &App,
    fingerprint: &str,
    change: GroupChange,
    author: Author,
    origin: &Origin,
) -> Result<(), Error> {
    let missing = || Error::NotFound(format!("no open incident has the fingerprint `{fingerprint}`"));
    if !is_fingerprint(fingerprint) {
        return Err(Error::NotFound("a fingerprint has 16 letters of 0-9 and a-f: see `incident groups`".into()));
    }
    check(app, &change)?;
    let Author { user, reason } = author;
    bounded("the reason", reason.as_deref().unwrap_or_default())?;
    if let Some(user) = &user {
        check_name(user).map_err(|error| Error::Refused(format!("`user` {error}")))?;
    }
    let note = GroupNote {
        change,
        by: user.unwrap_or_else(|| origin.app_id.clone()),
        reason,
        app_id: origin.app_id.clone(),
        message_id: origin.message_id.clone(),
    };
    let actor = Actor::naming(origin, Some(&note.by).filter(|by| **by != origin.app_id).map(String::as_str));
    let (action, reason) = (note.change.action(), note.reason.as_deref());
    let operation = Operation { actor: &actor, action, subject: "incident", object: fingerprint, reason };
    let change = async |transaction: &mut Transaction| -> Result<_, Undo<(), Error>> {
        match incidents::change(transaction, fingerprint, &note).await? {
            Changed::Now => {
                let details = note.change.value().map(|value| json!({ "value": value }));
                Ok(Done::Changed { value: (), outcome: note.change.kind(), details })
            }
            Changed::Before => Ok(Done::Unchanged(())),
            Changed::NoIncident => Err(Undo::Error(missing())),
        }
    };
    operation.run(app, change).await
}

fn check(app: &App, change: &GroupChange) -> Result<(), Error> {
    match change {
        GroupChange::Assign(None) | GroupChange::Mute(None) => Ok(()),
        GroupChange::Assign(Some(assignee)) => {
            check_name(assignee).map_err(|error| Error::Refused(format!("`assignee` {error}")))
        }
        GroupChange::Comment(text) if text.trim().is_empty() => Err(Error::Refused("the comment is empty".into())),
        GroupChange::Comment(text) => bounded("the comment", text),
        GroupChange::Mute(Some(until)) => {
            let now = app.clock.now();
            let too_far = now.checked_add(MUTE_MAX).is_ok_and(|latest| *until > latest);
            match (*until <= now, too_far) {
                (true, _) => Err(Error::Refused(format!("{until} has passed: mute a group until a time to come"))),
                (false, true) => {
                    let longest = duration::format(MUTE_MAX);
                    Err(Error::Refused(format!("a group can be muted for {longest} at most")))
                }
                (false, false) => Ok(()),
            }
        }
    }
}

fn bounded(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > COMMENT_MAX {
        return Err(Error::Refused(format!("{what} has {} bytes; at most {COMMENT_MAX} are allowed", text.len())));
    }
    Ok(())
}
