//! The registry of Rust handlers, and what one receives: the connection of the step's own transaction.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::{Failure, InstanceId};
use crate::store::{Connection, QueryError};

/// What a handler is told.
#[derive(Debug, Clone)]
pub struct Call {
    /// The evaluated `input` of the activity.
    pub input: Value,
    /// The instance it is run for.
    pub instance: InstanceId,
    /// The instance's business key.
    pub key: Option<String>,
    /// The activity it is run for.
    pub activity: String,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// How a handler fails: data for `retry` and `on_error`, with the code `handler.<code>` or `database.<kind>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    code: String,
    message: String,
    data: Value,
}

impl Error {
    /// A failure of the handler's own; authors match it as `handler.<code>`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: format!("handler.{code}"), message: message.into(), data: Value::Null }
    }

    /// The same with data that `on_error` can read as `error.data`.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        let (kind, message) = crate::store::describe(&error);
        Self { code: format!("database.{kind}"), message, data: Value::Null }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { code: error.code, message: error.message, data: error.data }
    }
}

/// What a handler returns: the activity's `result`, or a failure.
pub type Outcome = Result<Value, Error>;

type Boxed<'c> = Pin<Box<dyn Future<Output = Outcome> + Send + 'c>>;
type Stored = dyn for<'c> Fn(&'c mut Connection, Call) -> Boxed<'c> + Send + Sync;

/// `async fn(&mut Connection, Call) -> Outcome`, as a bound; nobody implements it by hand.
// Spelled as a trait because the future borrows the connection, which `Fn(..) -> Fut` alone cannot say.
pub trait Handler<'c>: Send + Sync + 'static {
    /// The future the function returns.
    type Future: Future<Output = Outcome> + Send + 'c;
    /// Calls the function.
    fn call(&self, conn: &'c mut Connection, call: Call) -> Self::Future;
}

impl<'c, F, Fut> Handler<'c> for F
where
    F: Fn(&'c mut Connection, Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'c,
{
    type Future = Fut;
    fn call(&self, conn: &'c mut Connection, call: Call) -> Fut {
        self(conn, call)
    }
}

type Starting<'c> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'c>>;
type OnStart = dyn for<'c> Fn(&'c mut Connection) -> Starting<'c> + Send + Sync;

/// `async fn(&mut Connection) -> Result<(), Error>`, as a bound; nobody implements it by hand.
pub trait Start<'c>: Send + Sync + 'static {
    /// The future the function returns.
    type Future: Future<Output = Result<(), Error>> + Send + 'c;
    /// Calls the function.
    fn call(&self, conn: &'c mut Connection) -> Self::Future;
}

impl<'c, F, Fut> Start<'c> for F
where
    F: Fn(&'c mut Connection) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'c,
{
    type Future = Fut;
    fn call(&self, conn: &'c mut Connection) -> Fut {
        self(conn)
    }
}

/// Handlers by the name definitions use.
#[derive(Clone, Default)]
pub struct Handlers {
    by_name: HashMap<String, Arc<Stored>>,
    on_start: Option<Arc<OnStart>>,
}

impl Handlers {
    /// No handlers: what the stock binary runs with.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler. What it does through the connection happens exactly once, with the step; what it does elsewhere may
    /// happen again. It is given `timeouts.database` at most; longer work is not a handler's.
    #[must_use]
    pub fn register<F>(mut self, name: &str, handler: F) -> Self
    where
        F: for<'c> Handler<'c>,
    {
        self.by_name.insert(name.to_owned(), Arc::new(move |conn, call| Box::pin(handler.call(conn, call))));
        self
    }

    /// Runs once before a process begins to work: the place for migrations of the handlers' own tables. Several processes may
    /// run it at once.
    #[must_use]
    pub fn on_start<F>(mut self, start: F) -> Self
    where
        F: for<'c> Start<'c>,
    {
        self.on_start = Some(Arc::new(move |conn| Box::pin(start.call(conn))));
        self
    }

    /// Does what [`Handlers::on_start`] was given.
    ///
    /// # Errors
    /// What that returns.
    pub async fn start(&self, conn: &mut Connection) -> Result<(), Error> {
        match &self.on_start {
            Some(start) => start(conn).await,
            None => Ok(()),
        }
    }

    /// Whether a handler of that name is registered here.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The registered names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Stored>> {
        self.by_name.get(name).cloned()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.names()).finish()
    }
}
