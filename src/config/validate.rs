//! Validates settings once, before anything is started.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Config, Error, HANDLER_FOR_MAX};
use crate::contract::step_queue::URGENT;

/// The shortest time: loops do not spin, and no limit of PostgreSQL is rounded to "no limit".
const TIME_MIN: Duration = Duration::from_millis(1);
/// The most connections to the API that can be set.
const CONNECTIONS_MAX: usize = 1_000_000;
/// The most channels with publisher confirms: more make nothing faster, and each is one of the connection's.
const PUBLISHERS_MAX: usize = 16;
/// The longest name of a queue in a definition, in bytes.
const QUEUE_MAX: usize = 127;

impl Config {
    pub(super) fn validate(&self) -> Result<(), Error> {
        self.check_counts()?;
        self.check_times()?;
        self.check_names()?;
        self.check_access()?;
        if EnvFilter::try_new(&self.log.filter).is_err() {
            return invalid("`log.filter` is invalid: write it like info,leveret=debug,lapin=off");
        }
        self.outgoing.validate()?;
        self.export.validate()?;
        self.secrets.validate()?;
        self.breaker.validate()?;
        self.registered().map(drop)
    }

    fn check_counts(&self) -> Result<(), Error> {
        if self.worker.concurrency == 0 || self.worker.concurrency > 1_000 {
            return invalid("`worker.concurrency` must be from 1 to 1000");
        }
        if self.worker.steps_per_delivery_max == 0 {
            return invalid("`worker.steps_per_delivery_max` must be at least 1; 1 means one step per delivery");
        }
        if self.database.pool_max == 0 || self.database.background_pool_max < 2 {
            return invalid("`database.pool_max` must be at least 1 and `database.background_pool_max` at least 2");
        }
        if self.calls.concurrency == 0 || self.calls.per_target == 0 {
            return invalid("`calls.concurrency` and `calls.per_target` must be at least 1");
        }
        if !(1..=PUBLISHERS_MAX).contains(&self.broker.publishers) {
            return invalid(&format!("`broker.publishers` must be from 1 to {PUBLISHERS_MAX}"));
        }
        if self.outbox.publish_queue_max == 0 || self.outbox.attempts_max < 1 {
            return invalid("`outbox.publish_queue_max` and `outbox.attempts_max` must be at least 1");
        }
        if self.http.waits_max == 0 || !(1..=CONNECTIONS_MAX).contains(&self.http.connections_max) {
            return invalid(&format!(
                "`http.connections_max` must be from 1 to {CONNECTIONS_MAX}, and `http.waits_max` at least 1"
            ));
        }
        // Each of them holds a connection; the others are for requests that do not wait.
        if self.http.waits_max > self.http.connections_max / 2 {
            return invalid("`http.waits_max` must be at most half of `http.connections_max`");
        }
        if self.limits.steps_max == 0 || self.retry.attempts == 0 {
            return invalid("`limits.steps_max` and `retry.attempts` must be at least 1");
        }
        if self.messages.per_key_max == 0 || self.messages.per_sender_max == 0 {
            return invalid("`messages.per_key_max` and `messages.per_sender_max` must be at least 1");
        }
        // Step commands have the same limit, and would be refused.
        if self.limits.message_max < 1_024 {
            return invalid("`limits.message_max` must be at least 1024");
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), Error> {
        let times = [
            ("database.statement_timeout", self.database.statement_timeout),
            ("database.lock_timeout", self.database.lock_timeout),
            ("broker.confirm_timeout", self.broker.confirm_timeout),
            ("worker.hold_delivery_for", self.worker.hold_delivery_for),
            ("outbox.sweep_every", self.outbox.sweep_every),
            ("outbox.publish_queue_for", self.outbox.publish_queue_for),
            ("timers.sweep_every", self.timers.sweep_every),
            ("recovery.after", self.recovery.after),
            ("recovery.after_max", self.recovery.after_max),
            ("timeouts.database", self.timeouts.database),
            ("timeouts.http", self.timeouts.http),
            ("timeouts.activity", self.timeouts.activity),
            ("calls.sweep_every", self.calls.sweep_every),
            ("tasks.lease_for", self.tasks.lease_for),
            ("tasks.lease_max", self.tasks.lease_max),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| *time < TIME_MIN) {
            return invalid(&format!("`{name}` must be at least 1ms"));
        }
        if self.messages.ttl > self.messages.ttl_max {
            return invalid("`messages.ttl` must be at most `messages.ttl_max`");
        }
        if self.timeouts.database > HANDLER_FOR_MAX {
            return invalid(
                "`timeouts.database` must be at most 50s: the database ends a session that is idle in a transaction for 60s",
            );
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Error> {
        if self.worker.queues.is_empty() {
            return invalid("`worker.queues` must name at least one queue");
        }
        if let Some(queue) = self.worker.queues.iter().find(|queue| queue.is_empty() || queue.len() > QUEUE_MAX) {
            return invalid(&format!("`worker.queues`: the name `{queue}` must have from 1 to {QUEUE_MAX} bytes"));
        }
        if let Some(queue) = self.worker.queues.iter().find_map(|queue| queue.strip_suffix(URGENT)) {
            return invalid(&format!(
                "`worker.queues`: `{queue}{URGENT}` is the queue for urgent instances of `{queue}`: write `{queue}`, and the worker consumes both"
            ));
        }
        let prefix = &self.broker.prefix;
        if prefix.is_empty()
            || prefix.len() > 100
            || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return invalid("`broker.prefix` must consist of letters, digits, `-`, `_` and `.`, at most 100 of them");
        }
        if let Some(host) = self.http.hosts.iter().find(|host| !is_host(host)) {
            return invalid(&format!(
                "`http.hosts`: `{host}` is not a name: write it without scheme and path, as flows.example.org or flows.example.org:8443"
            ));
        }
        Ok(())
    }
}

/// Whether it is a host, with or without a port, as in the header `Host`.
fn is_host(text: &str) -> bool {
    // The last colon begins the port in `[::1]:80` and `host:80`, but not in `[::1]`.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_named = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    };
    is_named && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn invalid(what: &str) -> Result<(), Error> {
    Err(Error(what.to_owned()))
}
