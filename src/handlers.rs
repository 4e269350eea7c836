//! Rust handlers: their registry, their input, and the connection of the step's transaction that they receive.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::{Failure, InstanceId};
use crate::store::{Connection, QueryError};

/// The input of a handler.
#[derive(Debug, Clone)]
pub struct HandlerInput {
    /// The evaluated `input` of the activity.
    pub input: Value,
    /// The id of the instance.
    pub instance: InstanceId,
    /// The business key of the instance.
    pub key: Option<String>,
    /// The id of the activity.
    pub activity: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
}

/// The error of a handler: data for `retry` and `on_error`, with the code `handler.<code>` or `database.<kind>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    code: String,
    message: String,
    data: Value,
}

impl Error {
    /// An error of the handler itself; documents match it as `handler.<code>`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: format!("handler.{code}"), message: message.into(), data: Value::Null }
    }

    /// Adds data, which `on_error` reads as `error.data`.
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

/// The result of a handler: the `result` of the activity, or an error.
pub type HandlerResult = Result<Value, Error>;

type Boxed<'c> = Pin<Box<dyn Future<Output = HandlerResult> + Send + 'c>>;
type Stored = dyn for<'c> Fn(&'c mut Connection, HandlerInput) -> Boxed<'c> + Send + Sync;

/// `async fn(&mut Connection, HandlerInput) -> HandlerResult` as a trait bound; implemented for functions.
// A trait, because the future borrows the connection, which `Fn(..) -> Fut` alone cannot express.
pub trait Handler<'c>: Send + Sync + 'static {
    /// The future the function returns.
    type Future: Future<Output = HandlerResult> + Send + 'c;
    /// Calls the function.
    fn call(&self, conn: &'c mut Connection, input: HandlerInput) -> Self::Future;
}

impl<'c, F, Fut> Handler<'c> for F
where
    F: Fn(&'c mut Connection, HandlerInput) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'c,
{
    type Future = Fut;
    fn call(&self, conn: &'c mut Connection, input: HandlerInput) -> Fut {
        self(conn, input)
    }
}

type Starting<'c> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'c>>;
type OnStart = dyn for<'c> Fn(&'c mut Connection) -> Starting<'c> + Send + Sync;

/// `async fn(&mut Connection) -> Result<(), Error>` as a trait bound; implemented for functions.
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

/// Handlers by the name that definitions use.
#[derive(Clone, Default)]
pub struct Handlers {
    by_name: HashMap<String, Arc<Stored>>,
    on_start: Option<Arc<OnStart>>,
}

impl Handlers {
    /// An empty registry, as in the stock binary.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler. Its writes through the connection are committed exactly once, with the step; its other effects may be
    /// repeated. Its time limit is `timeouts.database`; longer work belongs in a `call`.
    #[must_use]
    pub fn register<F>(mut self, name: &str, handler: F) -> Self
    where
        F: for<'c> Handler<'c>,
    {
        self.by_name.insert(name.to_owned(), Arc::new(move |conn, input| Box::pin(handler.call(conn, input))));
        self
    }

    /// Runs once before a worker starts, for migrations of the handlers' tables. Several processes may run it at the same time.
    #[must_use]
    pub fn on_start<F>(mut self, start: F) -> Self
    where
        F: for<'c> Start<'c>,
    {
        self.on_start = Some(Arc::new(move |conn| Box::pin(start.call(conn))));
        self
    }

    /// Runs the function given to [`Handlers::on_start`].
    ///
    /// # Errors
    /// The error of that function.
    pub async fn start(&self, conn: &mut Connection) -> Result<(), Error> {
        match &self.on_start {
            Some(start) => start(conn).await,
            None => Ok(()),
        }
    }

    /// Whether a handler with this name is registered.
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
