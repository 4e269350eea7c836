//! Work outside the database, as a definition describes it: requests over HTTP, and workers over RabbitMQ.

use crate::expression::{Data, Expression, Template};
use crate::limits::rate::Rate;

/// A request over HTTP.
#[derive(Debug, Clone)]
pub struct Http {
    /// In capitals.
    pub method: &'static str,
    /// Where to.
    pub url: Template,
    /// Appended to the URL, percent-encoded; null is left out, a list repeats its name.
    pub query: Vec<(String, Data)>,
    /// Names in small letters.
    pub headers: Vec<(String, Template)>,
    /// What is sent.
    pub body: Body,
    /// Statuses that are answers too, beside 200 to 299.
    pub accept: Vec<Statuses>,
    /// Whether it may be sent again when nobody knows whether it was carried out; by its method when left out.
    pub idempotent: Option<bool>,
    /// What happens when nobody knows whether it was carried out; by the above when left out.
    pub on_unknown: Option<OnUnknown>,
    /// How the target is asked whether it was carried out.
    pub probe: Option<Box<Probe>>,
    /// Whether it ends with a callback and not with the response.
    pub callback: bool,
}

impl Http {
    /// What happens when nobody knows whether it was carried out.
    pub fn on_unknown(&self) -> OnUnknown {
        let idempotent = self.idempotent.unwrap_or(self.is_harmless());
        self.on_unknown.unwrap_or(if idempotent { OnUnknown::Retry } else { OnUnknown::Suspend })
    }

    /// Whether its method can be repeated without harm, whatever key comes with it.
    pub fn is_harmless(&self) -> bool {
        IDEMPOTENT.contains(&self.method)
    }
}

/// Methods that can be repeated without harm, by RFC 9110.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"];

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON.
    Json(Data),
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, Data)>),
    /// A text.
    Text(Template),
}

/// One status, or a hundred of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

/// What happens when nobody knows whether outside work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is tried again, as after an error, with the same idempotency key.
    Retry,
    /// The target is asked.
    Probe,
    /// A person finds out.
    Suspend,
    /// It counts as failed, and is not tried again.
    Fail,
}

impl OnUnknown {
    /// Every way.
    pub const ALL: [OnUnknown; 4] = [OnUnknown::Retry, OnUnknown::Probe, OnUnknown::Suspend, OnUnknown::Fail];

    /// The word of the language.
    pub fn name(self) -> &'static str {
        match self {
            OnUnknown::Retry => "retry",
            OnUnknown::Probe => "probe",
            OnUnknown::Suspend => "suspend",
            OnUnknown::Fail => "fail",
        }
    }
}

/// A `GET` that tells whether a request was carried out.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where to.
    pub url: Template,
    /// As those of the request.
    pub query: Vec<(String, Data)>,
    /// As those of the request.
    pub headers: Vec<(String, Template)>,
    /// Statuses that are answers too, beside 200 to 299.
    pub accept: Vec<Statuses>,
    /// Whether it was, seeing the answer as `result`.
    pub done: Expression,
}

/// A request to a worker outside.
#[derive(Debug, Clone)]
pub struct Call {
    /// The work's name; the queue is `leveret.work.<name>`.
    pub name: String,
    /// What the worker receives.
    pub input: Data,
    /// A worker silent for longer has died over it.
    pub heartbeat: Option<Template>,
    /// Whether it may be asked again when nobody knows whether it was done. Yes when left out: what comes over a broker may
    /// come twice anyway.
    pub idempotent: Option<bool>,
    /// What happens when nobody knows whether it was done; by the above when left out.
    pub on_unknown: Option<OnUnknown>,
}

impl Call {
    /// What happens when nobody knows whether it was done.
    pub fn on_unknown(&self) -> OnUnknown {
        let idempotent = self.idempotent.unwrap_or(true);
        self.on_unknown.unwrap_or(if idempotent { OnUnknown::Retry } else { OnUnknown::Suspend })
    }
}

/// How much of a target an activity may take, across all processes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts that may begin in a time.
    pub rate: Option<Rate>,
    /// Attempts that may run at once.
    pub concurrency: Option<u32>,
    /// What the limits are counted for, beside the target; for the whole target when left out.
    pub key: Option<Template>,
}
