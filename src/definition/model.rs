//! The document as the engine reads it: already checked, so that invalid values cannot exist here.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use super::schema::Schema;
use crate::expression::{Data, Expression, Template};

mod outside;
mod task;

pub use outside::*;
pub use task::*;

/// An immutable version of a workflow document.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The name instances are started by.
    pub name: String,
    /// What a person reads instead of the name.
    pub title: Option<String>,
    /// A longer text for people.
    pub description: Option<String>,
    /// JSON Schema of the input, checked when an instance starts.
    pub input: Option<Schema>,
    /// Every name an assignment may bear, with the value it starts with.
    pub variables: BTreeMap<String, Value>,
    /// The instance's output on reaching its end.
    pub output: Option<Data>,
    /// How long an instance may take in all; the error `timeout` of the instance afterwards.
    pub timeout: Option<Template>,
    /// What the activities did not match is asked of these (`on_timeout` is the first of them).
    pub on_error: Vec<OnError>,
    /// What happens to an error nobody matched.
    pub on_failure: OnFailure,
    /// Which events are published.
    pub events: Events,
    /// The queue of step commands instances of this definition go through.
    pub queue: String,
    /// Higher goes first where there is a choice.
    pub priority: i16,
    /// Free text for filters.
    pub labels: BTreeMap<String, String>,
    /// Typed attributes to search by.
    pub search: Vec<(String, Expression)>,
    /// The nodes, in the order of the document.
    pub activities: Vec<Activity>,
    /// Where each id stands in `activities`.
    pub index: HashMap<String, usize>,
}

impl Definition {
    /// The activity an instance starts at. A definition has at least one.
    pub fn first(&self) -> &Activity {
        &self.activities[0]
    }

    /// The activity of that id, if the definition has one.
    pub fn activity(&self, id: &str) -> Option<&Activity> {
        self.index.get(id).map(|at| &self.activities[*at])
    }

    /// The activity a branch goes on to when nothing else is said: the next one in the list.
    pub fn following(&self, id: &str) -> Option<&Activity> {
        self.index.get(id).and_then(|at| self.activities.get(at + 1))
    }
}

/// One node of a definition.
#[derive(Debug, Clone)]
pub struct Activity {
    /// Unique in the document.
    pub id: String,
    /// What a person reads instead of the id.
    pub title: Option<Template>,
    /// Skipped unless this holds.
    pub when: Option<Expression>,
    /// What is done here.
    pub work: Work,
    /// Assignments made with the `result`, all from the values before.
    pub output: Vec<Assignment>,
    /// Where the branch goes afterwards.
    pub next: Next,
    /// Per attempt for `run`, `http` and `call`; for the whole wait elsewhere.
    pub timeout: Timeout,
    /// First match wins; `on_timeout` is the first of them.
    pub on_error: Vec<OnError>,
    /// When and how often it is tried again.
    pub retry: Retries,
    /// Free text for filters.
    pub labels: BTreeMap<String, String>,
    /// How much of its target it may take, for `http` and `call`.
    pub limits: Option<Limits>,
}

/// What an activity does: exactly one of these.
#[derive(Debug, Clone)]
pub enum Work {
    /// Assign variables.
    Set(Vec<Assignment>),
    /// Choose where to go on.
    Switch(Vec<Choice>),
    /// Code or SQL inside the step's own transaction.
    Run {
        /// Which.
        runs: Runs,
        /// What it receives; the parameters of a statement.
        input: Data,
    },
    /// Publish `<definition>.<event>`.
    Emit {
        /// The event's own name.
        event: String,
        /// What it says.
        body: Data,
    },
    /// Let time pass.
    Wait(Wait),
    /// Wait for the first of these messages.
    Receive(Vec<Receive>),
    /// Fail with a code of the author's.
    Raise {
        /// The error's code.
        code: Template,
        /// A sentence for people.
        message: Option<Template>,
        /// Anything more, for `on_error`.
        data: Option<Data>,
    },
    /// End the whole instance.
    End(End),
    /// Wait for a person.
    Task(Box<Task>),
    /// Send a request over HTTP.
    Http(Box<Http>),
    /// Ask a worker outside.
    Call(Box<Call>),
}

impl Work {
    /// The key it is written under in a document; also a label of metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Work::Set(_) => "set",
            Work::Switch(_) => "switch",
            Work::Run { .. } => "run",
            Work::Emit { .. } => "emit",
            Work::Wait(_) => "wait",
            Work::Receive(_) => "receive",
            Work::Raise { .. } => "raise",
            Work::End(_) => "end",
            Work::Task(_) => "task",
            Work::Http(_) => "http",
            Work::Call(_) => "call",
        }
    }
}

/// What a `run` runs, by the name it was registered under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// A Rust handler of the program.
    Handler(String),
    /// A statement of the settings.
    Statement(String),
}

/// How long a `wait` lasts.
#[derive(Debug, Clone)]
pub enum Wait {
    /// For a duration.
    For(Template),
    /// Until a moment; one in the past is now.
    Until(Template),
    /// Until the next moment a cron expression names in a zone; UTC when none is written.
    Cron {
        /// The expression.
        cron: Template,
        /// The zone's name.
        zone: Option<Template>,
    },
}

/// One message a `receive` waits for.
#[derive(Debug, Clone)]
pub struct Receive {
    /// The message's name.
    pub name: Template,
    /// The message's key; the instance's own key when left out.
    pub key: Option<Template>,
    /// Only messages for which this holds; sees `data`.
    pub when: Option<Expression>,
}

/// How an `end` leaves the instance.
#[derive(Debug, Clone)]
pub enum End {
    /// Well. The output, or the definition's own.
    Completed(Option<Data>),
    /// With an error.
    Failed {
        /// The error's code.
        code: Template,
        /// A sentence for people.
        message: Option<Template>,
        /// Anything more.
        data: Option<Data>,
    },
    /// Called off.
    Cancelled,
}

/// `name: expression` of a `set` or an `output`.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The declared variable.
    pub name: String,
    /// Its new value.
    pub value: Data,
}

/// One entry of a `switch` or of a `next` list.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Taken if this holds; without it, always.
    pub when: Option<Expression>,
    /// Where to.
    pub to: Target,
}

/// Where a branch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To the activity of that id.
    Activity(String),
    /// The scope ends as its last activity would end it.
    Exit,
}

/// Where a branch goes after an activity.
#[derive(Debug, Clone)]
pub enum Next {
    /// To the next activity in the list.
    Following,
    /// There.
    To(Target),
    /// To the first entry that holds.
    Choose(Vec<Choice>),
    /// After a `receive` of several by the name of the message that came, after a `task` by its decision. Each value is
    /// `To` or `Choose`.
    ByName(BTreeMap<String, Next>),
}

/// The key `timeout` of an activity.
#[derive(Debug, Clone)]
pub enum Timeout {
    /// Not written: the default of the kind.
    Default,
    /// `none`: no limit.
    None,
    /// A duration.
    After(Template),
}

/// The key `retry` of an activity.
#[derive(Debug, Clone)]
pub enum Retries {
    /// Not written: the configured policy.
    Default,
    /// `none`: one attempt.
    None,
    /// The first policy whose codes match applies; each counts its own.
    Policies(Vec<Retry>),
}

/// One entry of an `on_error` list.
#[derive(Debug, Clone)]
pub struct OnError {
    /// Codes it matches, see [`super::codes::matches`]; empty: all.
    pub codes: Vec<String>,
    /// Only if this holds; sees `error`.
    pub when: Option<Expression>,
    /// Assignments; see `error`.
    pub output: Vec<Assignment>,
    /// Where to; without it the branch goes on as after success.
    pub to: Option<Target>,
}

/// What happens to an error nobody matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// An incident opens where the instance stands.
    Suspend,
    /// The instance ends as failed.
    Fail,
}

/// Which events of instances of a definition are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// `started`, `completed`, `failed`, `cancelled`, `suspended`, `resumed`. On by default.
    pub instance: bool,
    /// One for every activity that ends. Off by default.
    pub activity: bool,
    /// What becomes of tasks: `task_opened`, `task_assigned`, `task_reminded`, `task_overdue`, `task_escalated`,
    /// `task_completed`, `task_closed`. On by default.
    pub task: bool,
}

/// When and how often an activity is tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The wait before the second attempt.
    pub base: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// Each wait is this many times the one before.
    pub factor: f64,
    /// The share of a wait that chance may take away, 0 to 1.
    pub jitter: f64,
    /// Codes it applies to; empty: the transient ones, see [`super::codes::is_transient`].
    pub codes: Vec<String>,
    /// No attempt begins later than this after the first one.
    pub within: Option<Duration>,
}
