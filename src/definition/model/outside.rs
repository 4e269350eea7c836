//! Work outside the database: HTTP requests, and calls of external workers over RabbitMQ.

use crate::expression::{Data, Expression, Template};
use crate::limits::rate::Rate;

/// An HTTP request.
#[derive(Debug, Clone)]
pub struct Http {
    /// The method in upper case.
    pub method: &'static str,
    /// The address.
    pub url: Template,
    /// Query parameters, percent-encoded; null is left out, a list repeats its name.
    pub query: Vec<(String, Data)>,
    /// Headers with names in lower case.
    pub headers: Vec<(String, Template)>,
    /// The body.
    pub body: Body,
    /// Accepted statuses besides 200 to 299.
    pub accept: Vec<Statuses>,
    /// Whether it may be sent again if its outcome is unknown; by default depends on the method.
    pub idempotent: Option<bool>,
    /// What happens if its outcome is unknown; by default depends on `idempotent`.
    pub on_unknown: Option<OnUnknown>,
    /// How to ask the target whether the request took effect.
    pub probe: Option<Box<Probe>>,
    /// Whether a callback, not the response, completes it.
    pub callback: bool,
}

impl Http {
    /// What happens if its outcome is unknown.
    pub fn on_unknown(&self) -> OnUnknown {
        let idempotent = self.idempotent.unwrap_or(self.is_harmless());
        self.on_unknown.unwrap_or(if idempotent { OnUnknown::Retry } else { OnUnknown::Suspend })
    }

    /// Whether its method is idempotent by RFC 9110.
    pub fn is_harmless(&self) -> bool {
        IDEMPOTENT.contains(&self.method)
    }
}

/// Methods that are idempotent by RFC 9110.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"];

/// The body of a request.
#[derive(Debug, Clone)]
pub enum Body {
    /// No body.
    None,
    /// JSON.
    Json(Data),
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, Data)>),
    /// Plain text.
    Text(Template),
}

/// A range of HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// The first status.
    pub from: u16,
    /// The last status.
    pub to: u16,
}

/// What happens if the outcome of a request or call is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OnUnknown {
    /// It is retried, as after an error, with the same idempotency key.
    Retry,
    /// The target is asked with the probe.
    Probe,
    /// An incident opens, and a person decides.
    Suspend,
    /// It fails and is not retried.
    Fail,
}

impl OnUnknown {
    /// All values.
    pub const ALL: &[OnUnknown] = <Self as strum::VariantArray>::VARIANTS;

    /// The value in a definition.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A `GET` that reports whether a request took effect.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The address.
    pub url: Template,
    /// Query parameters, as in a request.
    pub query: Vec<(String, Data)>,
    /// Headers, as in a request.
    pub headers: Vec<(String, Template)>,
    /// Accepted statuses besides 200 to 299.
    pub accept: Vec<Statuses>,
    /// True if the request took effect; it can read the answer as `result`.
    pub done: Expression,
}

/// A call of an external worker.
#[derive(Debug, Clone)]
pub struct Call {
    /// The work's name; the queue is `leveret.work.<name>`.
    pub name: Template,
    /// The input for the worker.
    pub input: Data,
    /// A worker that is silent for longer has lost the attempt.
    pub heartbeat: Option<Template>,
    /// Whether it may be sent again if its outcome is unknown. By default it may: a broker may deliver a message twice anyway.
    pub idempotent: Option<bool>,
    /// What happens if its outcome is unknown; by default depends on `idempotent`.
    pub on_unknown: Option<OnUnknown>,
}

impl Call {
    /// What happens if its outcome is unknown.
    pub fn on_unknown(&self) -> OnUnknown {
        let idempotent = self.idempotent.unwrap_or(true);
        self.on_unknown.unwrap_or(if idempotent { OnUnknown::Retry } else { OnUnknown::Suspend })
    }
}

/// Limits on the attempts of an activity, across all processes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts that may begin per unit of time.
    pub rate: Option<Rate>,
    /// Attempts that may run at the same time.
    pub concurrency: Option<u32>,
    /// Limits are counted for each value of this key within the target; by default for the whole target.
    pub key: Option<Template>,
}
