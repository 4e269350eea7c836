//! Requests that leave: against servers that are slow, broken, endless, redirecting and lying.

mod answers;
mod bulkhead;
mod canary;
mod limits;
mod places;
mod queues;
mod security;
mod supplier;

use std::time::Duration;

use leveret::config::Outgoing;
use leveret::outgoing::{Client, Request, Response, SendError};
use leveret::time::clock::Clock;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings with which this machine may be asked.
fn settings() -> Outgoing {
    Outgoing { allow_addresses: vec!["127.0.0.1".parse().unwrap()], ..Outgoing::default() }
}

fn client(settings: &Outgoing) -> Client {
    Client::new(settings, Clock::default()).unwrap()
}

fn get(url: impl Into<String>) -> Request {
    let (url, method, headers) = (url.into(), "GET".into(), vec![]);
    Request { method, url, headers, body: None, timeout: Some(PATIENCE), response_max: 10_000 }
}

async fn send(request: Request) -> Result<Response, SendError> {
    client(&settings()).send(request).await
}

/// The code of a failure after which nothing can have happened.
fn not_sent(sent: Result<Response, SendError>) -> String {
    match sent {
        Err(SendError::NotSent { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// The code of a failure after which anything may have happened.
fn unknown(sent: Result<Response, SendError>) -> String {
    match sent {
        Err(SendError::Unknown { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}
