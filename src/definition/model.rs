//! A checked document, as the engine reads it; invalid values cannot exist here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::schema::Schema;
use crate::expression::{Data, Expression, Template};
use crate::time::retention::Retention;

mod failure;
mod limits;
mod outside;
mod search;
mod task;

pub use failure::*;
pub use limits::*;
pub use outside::*;
pub use search::*;
pub use task::*;

/// An immutable version of a workflow document.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The name by which instances are started.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// A description for people.
    pub description: Option<String>,
    /// JSON Schema of the input, checked when an instance starts.
    pub input: Option<Schema>,
    /// The declared variables with their initial values.
    pub variables: BTreeMap<String, Value>,
    /// The output of an instance that completes.
    pub output: Option<Data>,
    /// The longest total time of an instance; afterwards the instance has the error `timeout`.
    pub timeout: Option<Template>,
    /// Handlers of errors that no activity handled; `on_timeout` is the first.
    pub on_error: Vec<OnError>,
    /// What an error that no handler matched does.
    pub on_failure: OnFailure,
    /// The event that is published when an incident opens, or the instance ends by such an error.
    pub notify: Option<String>,
    /// How long its ended instances are kept; none for the default of the settings.
    pub retention: Option<Retention>,
    /// Which events are published.
    pub events: Events,
    /// The queue of the step commands of its instances.
    pub queue: String,
    /// Higher numbers come first.
    pub priority: i16,
    /// How many instances may start, and live.
    pub limits: StartLimits,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Search attributes, by name.
    pub search: Vec<SearchAttribute>,
    /// The activities in the order of the document.
    pub activities: Vec<Activity>,
    /// The position of each id in `activities`.
    pub index: HashMap<String, usize>,
    /// The members of `env` and `secrets` that it requires.
    pub settings: SettingsRead,
}

/// What a definition reads of the settings of the process that runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsRead {
    /// The names of `env.NAME`.
    pub env: BTreeSet<String>,
    /// The names of `secrets.NAME`.
    pub secrets: BTreeSet<String>,
}

impl Definition {
    /// The activity at which an instance starts. A definition has at least one.
    pub fn first(&self) -> &Activity {
        &self.activities[0]
    }

    /// The activity with this id, if there is one.
    pub fn activity(&self, id: &str) -> Option<&Activity> {
        self.index.get(id).map(|at| &self.activities[*at])
    }

    /// The activity after this one in the list, where a branch continues by default.
    pub fn following(&self, id: &str) -> Option<&Activity> {
        self.index.get(id).and_then(|at| self.activities.get(at + 1))
    }
}

/// One activity of a definition.
#[derive(Debug, Clone)]
pub struct Activity {
    /// Unique in the document.
    pub id: String,
    /// A name for people.
    pub title: Option<Template>,
    /// The activity is skipped unless this is true.
    pub when: Option<Expression>,
    /// What the activity does.
    pub work: Work,
    /// Assignments after the work, which can read `result`; all read the values from before.
    pub output: Vec<Assignment>,
    /// Where the branch continues.
    pub next: Next,
    /// For each attempt of a `run`, `http` or `call`; for the whole wait of other kinds.
    pub timeout: Timeout,
    /// Error handlers, of which the first match is used; `on_timeout` is the first.
    pub on_error: Vec<OnError>,
    /// When and how often failed work is retried.
    pub retry: Retries,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Rate and concurrency limits of an `http` or `call`.
    pub limits: Option<Limits>,
}

/// The work of an activity.
#[derive(Debug, Clone)]
pub enum Work {
    /// Assign variables.
    Set(Vec<Assignment>),
    /// Choose where to continue.
    Switch(Vec<Choice>),
    /// Code or SQL inside the step's own transaction.
    Run {
        /// The handler or statement.
        runs: Runs,
        /// The input of a handler, or the parameters of a statement.
        input: Data,
    },
    /// Publish `<definition>.<event>`.
    Emit {
        /// The event's own name.
        event: String,
        /// The body of the event.
        body: Data,
    },
    /// Wait for a duration or until a time.
    Wait(Wait),
    /// Wait for the first of these messages.
    Receive(Vec<Receive>),
    /// Fail with an error.
    Raise {
        /// The error's code.
        code: Template,
        /// The message for people.
        message: Option<Template>,
        /// Additional data for `on_error`.
        data: Option<Data>,
    },
    /// End the whole instance.
    End(End),
    /// Wait for a person.
    Task(Box<Task>),
    /// Send an HTTP request.
    Http(Box<Http>),
    /// Send a request to an external worker.
    Call(Box<Call>),
}

impl Work {
    /// The key of this work in a document, also used as a label of metrics.
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

/// What a `run` runs, by its registered name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// A Rust handler.
    Handler(String),
    /// An SQL statement from the settings.
    Statement(String),
}

impl Runs {
    /// Its name in the registry or the settings.
    pub fn name(&self) -> &str {
        match self {
            Runs::Handler(name) | Runs::Statement(name) => name,
        }
    }
}

/// How long a `wait` lasts.
#[derive(Debug, Clone)]
pub enum Wait {
    /// For a duration.
    For(Template),
    /// Until a time; a time in the past does not wait.
    Until(Template),
    /// Until a cron expression next matches in a zone; UTC by default.
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
    /// The message's key; by default the key of the instance.
    pub key: Option<Template>,
    /// Only messages for which this is true; it can read `data`.
    pub when: Option<Expression>,
}

/// The outcome that an `end` gives the instance.
#[derive(Debug, Clone)]
pub enum End {
    /// Completed, with this output or else the definition's.
    Completed(Option<Data>),
    /// Failed with an error.
    Failed {
        /// The error's code.
        code: Template,
        /// The message for people.
        message: Option<Template>,
        /// Additional data.
        data: Option<Data>,
    },
    /// Cancelled.
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
    /// The entry matches if this is true; without it, always.
    pub when: Option<Expression>,
    /// The target.
    pub to: Target,
}

/// The target of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The activity with this id.
    Activity(String),
    /// Completes the instance, as its last activity would.
    Exit,
}

/// Where a branch continues after an activity.
#[derive(Debug, Clone)]
pub enum Next {
    /// At the next activity in the list.
    Following,
    /// At this target.
    To(Target),
    /// At the target of the first entry that matches.
    Choose(Vec<Choice>),
    /// By the name of the message after a `receive`, by the decision after a `task`. Each value is `To` or `Choose`.
    ByName(BTreeMap<String, Next>),
}

/// The key `timeout` of an activity.
#[derive(Debug, Clone)]
pub enum Timeout {
    /// Not written: the default of the kind of work.
    Default,
    /// `none`: no limit.
    None,
    /// A duration.
    After(Template),
}

/// Which events of the instances of a definition are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// `started`, `completed`, `failed`, `cancelled`, `suspended`, `resumed`. On by default.
    pub instance: bool,
    /// One for every activity that ends. Off by default.
    pub activity: bool,
    /// Events of tasks: `task_opened`, `task_assigned`, `task_reminded`, `task_overdue`, `task_escalated`,
    /// `task_completed`, `task_closed`. On by default.
    pub task: bool,
}
