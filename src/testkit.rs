//! Runs a definition in memory, with a clock that the test sets: for tests of definitions, without any service.
//!
//! ```
//! use leveret::definition::Definition;
//! use leveret::engine::Status;
//! use leveret::testkit::Scenario;
//! use serde_json::json;
//! use std::time::Duration;
//!
//! let parsed = Definition::parse(
//!     "
//! name: reminder
//! variables: { text: null }
//! output: ${ text }
//! activities:
//!   - { id: write, run: { handler: write, input: { to: Ada } }, output: { text: result.text } }
//!   - { id: pause, wait: { for: 1d } }
//!   - { id: answer, receive: { name: answered }, timeout: 2d, on_timeout: exit }
//! ",
//! );
//! let definition = parsed.expect("a valid document").definition;
//!
//! let mut scenario = Scenario::new(&definition)
//!     .key("ada")
//!     .handler("write", |call| Ok(json!({ "text": format!("Dear {}", call.input["to"].as_str().unwrap_or("?")) })));
//! scenario.start(json!({}))?;
//! assert_eq!(scenario.standing(), Some("pause"));
//!
//! scenario.advance(Duration::from_secs(86_400))?;
//! assert_eq!(scenario.standing(), Some("answer"));
//!
//! scenario.send("answered", "ada", json!({}))?;
//! assert_eq!(scenario.status(), Some(Status::Completed));
//! assert_eq!(scenario.output(), Some(&json!("Dear Ada")));
//! # Ok::<(), leveret::testkit::Error>(())
//! ```

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::definition::{Definition, Retry};
use crate::engine::{
    self, Audit, BookmarkKind, Command, Context, Control, Decision, Facts, Failure, HandlerCall, InstanceId, Internal,
    Message, Refusal, Start, Status,
};
use crate::expression::step_budget::StepBudget;

pub mod calls;
mod facts;
mod memory;
mod people;
mod seen;
mod setup;

use memory::Memory;

/// The most steps of one [`Scenario::drive`], so that a loop in a definition fails a test instead of stalling it.
const DRIVE_MAX: usize = 100_000;
/// Facts that one decision may require.
const NEEDS_MAX: usize = 4;

/// Why a scenario cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused a command.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The scenario was not started.
    #[error("the scenario was not started: call `start` first")]
    NotStarted,
    /// The definition needs a handler that the scenario does not have.
    #[error("no handler is registered as `{0}`")]
    NoHandler(String),
    /// The definition needs a statement that the scenario does not have.
    #[error("no statement is registered as `{0}`")]
    NoStatement(String),
    /// The scenario has not opened a task.
    #[error("the scenario has not opened a task")]
    NoTask,
    /// The instance took too many steps without a wait.
    #[error("the instance does not wait or end after {DRIVE_MAX} steps")]
    Endless,
    /// The engine returned a step that a database would refuse: a defect of the engine.
    #[error("the engine broke a rule: {0}")]
    Broken(String),
}

type Handler = Box<dyn FnMut(&HandlerCall) -> Result<Value, Failure>>;

/// One instance of a definition, in memory.
pub struct Scenario {
    definition: Definition,
    handlers: HashMap<String, Handler>,
    statements: HashMap<String, Handler>,
    now: Timestamp,
    chance: f64,
    key: Option<String>,
    env: Map<String, Value>,
    retry: Retry,
    steps_max: u32,
    variables_max: usize,
    memory: Memory,
}

/// Commands. Most of them then take steps until the instance waits or has ended.
impl Scenario {
    /// Starts the instance.
    ///
    /// # Errors
    /// [`Error::Refused`] if the input does not fit; and the errors of [`Scenario::apply`].
    pub fn start(&mut self, input: Value) -> Result<(), Error> {
        self.begin(input)?;
        self.drive()
    }

    /// Starts the instance and takes no step yet.
    ///
    /// # Errors
    /// As for [`Scenario::start`].
    pub fn begin(&mut self, input: Value) -> Result<(), Error> {
        let id = InstanceId(Uuid::from_u128(1));
        let start = Start {
            id,
            version: 1,
            key: self.key.clone(),
            priority: None,
            input,
            by: None,
            user_id: None,
            trace: None,
        };
        let step = engine::start(&self.definition, start, &self.context())?;
        self.memory.absorb(step)
    }

    /// Sends a message: it is delivered to the oldest wait whose filter holds, or kept.
    ///
    /// # Errors
    /// Those of [`Scenario::apply`].
    pub fn send(&mut self, name: &str, key: &str, data: Value) -> Result<(), Error> {
        let message = Message { name: name.to_owned(), key: key.to_owned(), data, kept: None, sender: None };
        let address = Some((message.name.clone(), message.key.clone()));
        let waits: Vec<i64> =
            self.memory.open.values().filter(|wait| wait.message == address).map(|wait| wait.number).collect();
        for bookmark in waits {
            match self.apply(Internal::Deliver { bookmark, message: message.clone() }) {
                // A suspended instance gets it when it continues.
                Err(Error::Refused(Refusal::NotMatching | Refusal::Suspended)) => {}
                other => return other.and_then(|()| self.drive()),
            }
        }
        self.memory.keep(message, self.now);
        Ok(())
    }

    /// Keeps a message as if it had arrived before its wait.
    pub fn keep(&mut self, name: &str, key: &str, data: Value) {
        let message = Message { name: name.to_owned(), key: key.to_owned(), data, kept: None, sender: None };
        self.memory.keep(message, self.now);
    }

    /// Advances the clock; timers fire when they are due, in order.
    ///
    /// # Errors
    /// Those of [`Scenario::apply`].
    pub fn advance(&mut self, by: Duration) -> Result<(), Error> {
        let until = self.now.checked_add(by).map_err(|error| Error::Broken(error.to_string()))?;
        while let Some((due_at, bookmark)) = self.next_timer(until) {
            self.now = self.now.max(due_at);
            self.apply(Internal::Fire { bookmark })?;
            self.drive()?;
        }
        self.now = until;
        Ok(())
    }

    /// Advances the clock without firing timers: they are late.
    ///
    /// # Errors
    /// [`Error::Broken`] after the year 9999.
    pub fn pass(&mut self, by: Duration) -> Result<(), Error> {
        self.now = self.now.checked_add(by).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(())
    }

    /// Sends `retry`.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no incident; and the errors of [`Scenario::apply`].
    pub fn retry(&mut self) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Retry, Audit::default()))?;
        self.drive()?;
        self.advance(Duration::ZERO)
    }

    /// Sends `suspend`.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is suspended already or has ended; and the errors of [`Scenario::apply`].
    pub fn suspend(&mut self, reason: &str) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Suspend, audit(reason)))
    }

    /// Sends `resume`; what the instance missed is replayed in order.
    ///
    /// # Errors
    /// [`Error::Refused`] if it was not suspended by a command; and the errors of [`Scenario::apply`].
    pub fn resume(&mut self, reason: &str) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Resume, audit(reason)))?;
        self.drive()?;
        self.advance(Duration::ZERO)
    }

    /// Sends `cancel`.
    ///
    /// # Errors
    /// [`Error::Refused`] if it has ended; and the errors of [`Scenario::apply`].
    pub fn cancel(&mut self, reason: &str) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Cancel, audit(reason)))
    }

    /// Takes steps until the instance waits or has ended.
    ///
    /// # Errors
    /// Those of [`Scenario::apply`]; [`Error::Endless`] if it never waits or ends.
    pub fn drive(&mut self) -> Result<(), Error> {
        for _ in 0..DRIVE_MAX {
            let Some(command) = self.next_step() else { return Ok(()) };
            self.apply(command)?;
        }
        Err(Error::Endless)
    }

    /// Executes one command as one step, and takes no further step.
    ///
    /// # Errors
    /// [`Error::Refused`] if the command changes nothing; [`Error::NoHandler`] if the handler it needs is missing;
    /// [`Error::Broken`] after a defect of the engine.
    pub fn apply(&mut self, command: impl Into<Command>) -> Result<(), Error> {
        let command = command.into();
        let instance = self.memory.instance.clone().ok_or(Error::NotStarted)?;
        let mut facts = Facts::default();
        for _ in 0..NEEDS_MAX {
            match engine::decide(&self.definition, &instance, &command, facts.clone(), &self.context()) {
                Decision::Commit(step) => return self.memory.absorb(step),
                Decision::Refuse(refusal) => return Err(refusal.into()),
                Decision::Need(need) => facts.add(self.look_up(need)?),
            }
        }
        Err(Error::Broken(format!("the decision requires more than {NEEDS_MAX} facts")))
    }
}

impl Scenario {
    fn context(&self) -> Context<'_> {
        Context {
            now: self.now,
            chance: self.chance,
            env: &self.env,
            steps_max: self.steps_max,
            variables_max: self.variables_max,
            handler_timeout: Duration::from_secs(30),
            http_timeout: Duration::from_secs(120),
            call_timeout: Duration::from_secs(300),
            retry: &self.retry,
            budget: StepBudget::whole(),
        }
    }

    fn next_step(&self) -> Option<Command> {
        let branch = self.memory.instance.as_ref()?.ready_branch()?;
        Some(Internal::Continue { branch: branch.id, sequence: branch.sequence }.into())
    }

    fn next_timer(&self, until: Timestamp) -> Option<(Timestamp, i64)> {
        let instance = self.memory.instance.as_ref()?;
        if instance.status == Status::Suspended {
            return None;
        }
        let timers = self.memory.open.values().filter(|bookmark| bookmark.kind == BookmarkKind::Timer);
        timers.filter_map(|timer| Some((timer.due_at?, timer.number))).filter(|(due_at, _)| *due_at <= until).min()
    }
}

fn audit(reason: &str) -> Audit {
    Audit { by: None, reason: Some(reason.to_owned()) }
}
