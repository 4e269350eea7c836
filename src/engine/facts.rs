//! What a decision requires beyond the instance, and the answers.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::definition::{Runs, VariableTypes};
use crate::expression::step_budget::StepBudget;

use super::call::ReportedOutcome;
use super::command::Message;
use super::instance::{BranchId, Failure};
use super::task::{Assignment, Task, TaskId};

/// Time, randomness, settings and budget of one decision, all as values.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The database's time; the same in the whole step.
    pub now: Timestamp,
    /// A random number from 0 (included) to 1 (excluded), for the jitter of retries.
    pub chance: f64,
    /// The environment variables that expressions may read.
    pub env: &'a Map<String, Value>,
    /// `limits.steps_max`: steps of a branch since its last wait.
    pub steps_max: u32,
    /// `limits.variables_max`: bytes of all variables as JSON.
    pub variables_max: usize,
    /// `timeouts.database`: the default timeout of a handler.
    pub handler_timeout: Duration,
    /// `timeouts.http`: the default timeout of an attempt over HTTP.
    pub http_timeout: Duration,
    /// `timeouts.activity`: the default timeout of an attempt by an external worker.
    pub call_timeout: Duration,
    /// `retry.*`: the policy of activities without a `retry`.
    pub retry: &'a crate::definition::Retry,
    /// What this one decision may spend on expressions and validations. If a brief one is spent, the decision counts for nothing.
    pub budget: StepBudget,
}

/// A fact that a decision requires.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// The outcome of a handler, which runs inside the step's transaction: [`Facts::handler`].
    Handler(HandlerCall),
    /// Kept messages, oldest first: [`Facts::messages`].
    Messages {
        /// Name and key of each message that is waited for.
        addresses: Vec<(String, String)>,
        /// Only messages kept after this one: those before it were read and do not fit.
        after: Option<i64>,
    },
    /// A task, under its lock: [`Facts::task`].
    Task(TaskId),
    /// The rank of each of these users, under the lock of the assignment: [`Facts::ranks`].
    Ranks(Assignment),
    /// What arrived while the instance was suspended: [`Facts::missed`].
    Missed,
    /// The types of the variables of the definition: [`Facts::variable_types`].
    VariableTypes,
}

/// One execution of a handler or statement.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerCall {
    /// The branch.
    pub branch: BranchId,
    /// The activity.
    pub activity: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The handler or statement, by its registered name.
    pub runs: Runs,
    /// Its input.
    pub input: Value,
    /// After this its connection is closed and the attempt fails with `timeout`.
    pub timeout: Option<Duration>,
}

/// The answers to [`Need`]s. A fact that is `None` was not looked up yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The outcome of the handler.
    pub handler: Option<Result<Value, Failure>>,
    /// Kept messages.
    pub messages: Option<KeptMessages>,
    /// The task; `Some(None)` if it does not exist.
    pub task: Option<Option<Task>>,
    /// The rank of each user: the number of the last turn, or of open tasks. A user who is missing has rank 0; the lowest rank is
    /// assigned.
    pub ranks: Option<Vec<(String, i64)>>,
    /// What arrived while the instance was suspended.
    pub missed: Option<Missed>,
    /// The types of the variables.
    pub variable_types: Option<VariableTypes>,
}

impl Facts {
    /// Adds what was looked up since. A newer page of messages takes the place of the one before it.
    pub fn add(&mut self, newer: Facts) {
        let Facts { handler, messages, task, ranks, missed, variable_types } = newer;
        let older = std::mem::take(self);
        *self = Facts {
            handler: handler.or(older.handler),
            messages: messages.or(older.messages),
            task: task.or(older.task),
            ranks: ranks.or(older.ranks),
            missed: missed.or(older.missed),
            variable_types: variable_types.or(older.variable_types),
        };
    }
}

/// One page of kept messages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeptMessages {
    /// The messages, oldest first.
    pub list: Vec<Message>,
    /// Whether there is another page.
    pub more: bool,
}

/// What arrived while an instance was suspended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Missed {
    /// Kept messages that open waits would have received, oldest first.
    pub messages: Vec<MissedMessage>,
    /// Outcomes of calls.
    pub outcomes: Vec<ReportedOutcome>,
}

/// A message that arrived for an open wait while its instance was suspended.
#[derive(Debug, Clone, PartialEq)]
pub struct MissedMessage {
    /// The wait's bookmark.
    pub bookmark: i64,
    /// When the message arrived.
    pub at: Timestamp,
    /// The kept message.
    pub message: Message,
}
