//! The settings of a scenario.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Scenario;
use super::memory::Memory;
use crate::definition::{Definition, Retry};
use crate::engine::{Failure, HandlerCall};

/// The clock begins on the first of January 2026.
const MIDNIGHT: i64 = 1_767_225_600;

/// Settings before the start.
impl Scenario {
    /// A scenario of a definition, with the default settings of a worker and without jitter.
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

    /// Registers a statement: it returns `{ count, rows }`, or fails.
    #[must_use]
    pub fn statement(
        mut self,
        name: &str,
        statement: impl FnMut(&HandlerCall) -> Result<Value, Failure> + 'static,
    ) -> Self {
        self.statements.insert(name.to_owned(), Box::new(statement));
        self
    }

    /// Registers a handler.
    #[must_use]
    pub fn handler(
        mut self,
        name: &str,
        handler: impl FnMut(&HandlerCall) -> Result<Value, Failure> + 'static,
    ) -> Self {
        self.handlers.insert(name.to_owned(), Box::new(handler));
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Sets the business key of the instance.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Sets an environment variable that expressions may read.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the number from 0 to 1 by which the jitter shortens the delay of retries.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }

    /// Sets `limits.steps_max` and `limits.variables_max`.
    #[must_use]
    pub fn limits(mut self, steps_max: u32, variables_max: usize) -> Self {
        self.steps_max = steps_max;
        self.variables_max = variables_max;
        self
    }
}
