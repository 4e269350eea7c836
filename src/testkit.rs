//! Runs a definition in memory, with a clock turned by hand: for tests of definitions, without any service.
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

use crate::definition::{Definition, Retry, Runs};
use crate::engine::{
    self, Audit, BookmarkKind, Command, Context, Control, Decision, Facts, Failure, HandlerCall, InstanceId, Internal,
    KeptMessages, Message, Missed, Need, Refusal, Start, Status,
};

pub mod calls;
mod memory;
mod people;
mod seen;

use memory::Memory;

/// One drive takes at most this many steps, so that a loop in a definition ends a test instead of stalling it.
const DRIVE_MAX: usize = 100_000;
/// Facts that one decision may require.
const NEEDS_MAX: usize = 4;
/// The clock begins on the first of January 2026.
const MIDNIGHT: i64 = 1_767_225_600;

/// Why a scenario cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused a command.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// Nothing was started yet.
    #[error("the scenario was not started")]
    NotStarted,
    /// The definition asks for a handler the scenario was not given.
    #[error("no handler is registered as `{0}`")]
    NoHandler(String),
    /// The definition asks for a statement the scenario was not given.
    #[error("no statement is registered as `{0}`")]
    NoStatement(String),
    /// There was no task yet.
    #[error("there was no task yet")]
    NoTask,
    /// It took too many steps without a wait.
    #[error("the instance still moves after {DRIVE_MAX} steps")]
    Endless,
    /// The engine asked for what a database would have refused: a defect of the engine.
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

/// What is set before the start.
impl Scenario {
    /// A scenario of a definition, with the settings a worker has by default and no chance in its waits.
    pub fn new(definition: &Definition) -> Self {
        let retry = Retry {
            attempts: 3,
            base: Duration::from_secs(2),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.0,
            codes: Vec::new(),
            within: None,
        };
        Self {
            definition: definition.clone(),
            handlers: HashMap::new(),
            statements: HashMap::new(),
            now: Timestamp::from_second(MIDNIGHT).unwrap_or(Timestamp::UNIX_EPOCH),
            chance: 0.0,
            key: None,
            env: Map::new(),
            retry,
            steps_max: 10_000,
            variables_max: 1024 * 1024,
            memory: Memory::default(),
        }
    }

    /// What a registered statement does: `{ count, rows }`, or how it fails.
    #[must_use]
    pub fn statement(
        mut self,
        name: &str,
        statement: impl FnMut(&HandlerCall) -> Result<Value, Failure> + 'static,
    ) -> Self {
        self.statements.insert(name.to_owned(), Box::new(statement));
        self
    }

    /// What a handler does.
    #[must_use]
    pub fn handler(
        mut self,
        name: &str,
        handler: impl FnMut(&HandlerCall) -> Result<Value, Failure> + 'static,
    ) -> Self {
        self.handlers.insert(name.to_owned(), Box::new(handler));
        self
    }

    /// What the clock shows.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// The business key of the instance.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// An environment variable that expressions may read.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// The number from 0 to 1 that decides how much of a wait the jitter of retries takes away.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }

    /// `limits.steps_max` and `limits.variables_max`.
    #[must_use]
    pub fn limits(mut self, steps_max: u32, variables_max: usize) -> Self {
        self.steps_max = steps_max;
        self.variables_max = variables_max;
        self
    }
}

/// What happens to the instance. Each of these runs it until it waits or has ended.
impl Scenario {
    /// Starts the instance.
    ///
    /// # Errors
    /// [`Error::Refused`] if the input does not fit; and what [`Scenario::apply`] says.
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
        let start = Start { id, version: 1, key: self.key.clone(), input, by: None, trace: None };
        let step = engine::start(&self.definition, start, &self.context())?;
        self.memory.absorb(step)
    }

    /// Sends a message: to the wait that is longest open and whose filter holds, or else it is kept.
    ///
    /// # Errors
    /// What [`Scenario::apply`] says.
    pub fn send(&mut self, name: &str, key: &str, data: Value) -> Result<(), Error> {
        let message = Message { name: name.to_owned(), key: key.to_owned(), data, kept: None };
        let address = Some((message.name.clone(), message.key.clone()));
        let waits: Vec<i64> =
            self.memory.open.values().filter(|wait| wait.message == address).map(|wait| wait.number).collect();
        for bookmark in waits {
            match self.apply(Internal::Deliver { bookmark, message: message.clone() }) {
                // Suspended, it is told when it goes on.
                Err(Error::Refused(Refusal::NotMatching | Refusal::Suspended)) => {}
                other => return other.and_then(|()| self.drive()),
            }
        }
        self.memory.keep(message, self.now);
        Ok(())
    }

    /// Keeps a message as if it had come when nobody waited for it.
    pub fn keep(&mut self, name: &str, key: &str, data: Value) {
        let message = Message { name: name.to_owned(), key: key.to_owned(), data, kept: None };
        self.memory.keep(message, self.now);
    }

    /// Turns the clock on; timers fire at their moments, in their order.
    ///
    /// # Errors
    /// What [`Scenario::apply`] says.
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

    /// Turns the clock on and fires nothing: the timers are late.
    ///
    /// # Errors
    /// [`Error::Broken`] at the end of all calendars.
    pub fn pass(&mut self, by: Duration) -> Result<(), Error> {
        self.now = self.now.checked_add(by).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(())
    }

    /// Tries again what failed for good.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no incident; and what [`Scenario::apply`] says.
    pub fn retry(&mut self) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Retry, Audit::default()))?;
        self.drive()?;
        self.advance(Duration::ZERO)
    }

    /// Lets the instance stand still.
    ///
    /// # Errors
    /// [`Error::Refused`] if it stands still already or has ended; and what [`Scenario::apply`] says.
    pub fn suspend(&mut self, reason: &str) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Suspend, audit(reason)))
    }

    /// Lets it go on; what it missed meanwhile happens in its order.
    ///
    /// # Errors
    /// [`Error::Refused`] if it was not suspended by hand; and what [`Scenario::apply`] says.
    pub fn resume(&mut self, reason: &str) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Resume, audit(reason)))?;
        self.drive()?;
        self.advance(Duration::ZERO)
    }

    /// Calls the instance off.
    ///
    /// # Errors
    /// [`Error::Refused`] if it has ended; and what [`Scenario::apply`] says.
    pub fn cancel(&mut self, reason: &str) -> Result<(), Error> {
        self.apply(Command::Instance(Control::Cancel, audit(reason)))
    }

    /// Takes steps until the instance waits or has ended.
    ///
    /// # Errors
    /// What [`Scenario::apply`] says; [`Error::Endless`] if it never rests.
    pub fn drive(&mut self) -> Result<(), Error> {
        for _ in 0..DRIVE_MAX {
            let Some(command) = self.next_step() else { return Ok(()) };
            self.apply(command)?;
        }
        Err(Error::Endless)
    }

    /// Takes one step, with one command, and does not go on.
    ///
    /// # Errors
    /// [`Error::Refused`] if the command changes nothing; [`Error::NoHandler`] if the handler it needs is not there;
    /// [`Error::Broken`] if the engine is wrong.
    pub fn apply(&mut self, command: impl Into<Command>) -> Result<(), Error> {
        let command = command.into();
        let instance = self.memory.instance.clone().ok_or(Error::NotStarted)?;
        let mut facts = Facts::default();
        for _ in 0..NEEDS_MAX {
            match engine::decide(&self.definition, &instance, &command, facts, &self.context()) {
                Decision::Commit(step) => return self.memory.absorb(step),
                Decision::Refuse(refusal) => return Err(refusal.into()),
                Decision::Need(need) => facts = self.answer(need)?,
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

    fn answer(&mut self, need: Need) -> Result<Facts, Error> {
        match need {
            Need::Handler(call) => {
                let found = match &call.runs {
                    Runs::Handler(name) => self.handlers.get_mut(name),
                    Runs::Statement(name) => self.statements.get_mut(name),
                };
                match (found, call.runs.clone()) {
                    (Some(handler), _) => Ok(Facts { handler: Some(handler(&call)), ..Facts::default() }),
                    (None, Runs::Handler(name)) => Err(Error::NoHandler(name)),
                    (None, Runs::Statement(name)) => Err(Error::NoStatement(name)),
                }
            }
            Need::Messages { addresses, .. } => {
                let fits = |message: &&Message| {
                    addresses.iter().any(|(name, key)| *name == message.name && *key == message.key)
                };
                let list = self.memory.kept.values().filter(fits).cloned().collect();
                Ok(Facts { messages: Some(KeptMessages { list, more: false }), ..Facts::default() })
            }
            Need::Task(id) => Ok(Facts { task: Some(self.memory.tasks.get(&id).cloned()), ..Facts::default() }),
            Need::Ranks(asked) => Ok(Facts { ranks: Some(self.memory.ranks(&asked)), ..Facts::default() }),
            Need::Missed => {
                let (messages, outcomes) = (self.memory.missed(), self.memory.reported());
                Ok(Facts { missed: Some(Missed { messages, outcomes }), ..Facts::default() })
            }
        }
    }
}

fn audit(reason: &str) -> Audit {
    Audit { by: None, reason: Some(reason.to_owned()) }
}
