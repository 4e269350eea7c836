//! Outages: servers are killed, wiped and restarted under load, while Leveret keeps running.

mod answers;
mod broker;
mod cancels;
mod codes;
mod database;
mod link;
mod load;
mod outbox;
mod replies;

use std::time::Duration;

/// Delayed instances have ended within this after the server is back.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
