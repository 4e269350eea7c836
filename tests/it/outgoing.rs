//! The HTTP client against servers that are slow, broken, endless, redirecting or hostile.

mod addresses;
mod bulkhead;
mod canary;
mod groups;
mod limits;
mod responses;
mod security;
mod supplier;

use std::time::Duration;

use leveret::config::Outgoing;
use leveret::outgoing::{Client, Request, Response, SendError};
use leveret::time::clock::Clock;

/// Longer than any step of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings that allow requests to this machine.
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

/// The code of an error after which certainly nothing was processed.
fn not_sent(sent: Result<Response, SendError>) -> String {
    match sent {
        Err(SendError::NotSent { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// The code of an error after which the request may have been processed.
fn unknown(sent: Result<Response, SendError>) -> String {
    match sent {
        Err(SendError::Unknown { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}
