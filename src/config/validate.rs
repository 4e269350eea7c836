//! What is wrong with settings that can be read: found once, before anything is started.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Config, Error, HANDLER_FOR_MAX};

/// No loop rests for less, and no limit that PostgreSQL is told is rounded to none at all.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The longest name a definition can give its lane.
const LANE_MAX: usize = 127;

impl Config {
    pub(super) fn validate(&self) -> Result<(), Error> {
        self.check_counts()?;
        self.check_times()?;
        self.check_names()?;
        if EnvFilter::try_new(&self.log.filter).is_err() {
            return wrong("`log.filter` cannot be read; it looks like info,leveret=debug,lapin=off");
        }
        self.outgoing.validate()?;
        self.secrets.validate()?;
        self.breaker.validate()?;
        self.registered().map(drop)
    }

    fn check_counts(&self) -> Result<(), Error> {
        if self.worker.concurrency == 0 || self.worker.concurrency > 1_000 {
            return wrong("`worker.concurrency` must be from 1 to 1000");
        }
        if self.worker.stride_max == 0 {
            return wrong("`worker.stride_max` must be at least 1; 1 means one step per delivery");
        }
        if self.database.pool_max == 0 || self.database.duties_pool_max < 2 {
            return wrong("`database.pool_max` must be at least 1 and `database.duties_pool_max` at least 2");
        }
        if self.calls.concurrency == 0 || self.calls.per_target == 0 {
            return wrong("`calls.concurrency` and `calls.per_target` must be at least 1");
        }
        if self.broker.publishers == 0 || self.outbox.handed_over_max == 0 || self.outbox.attempts_max < 1 {
            return wrong("`broker.publishers`, `outbox.handed_over_max` and `outbox.attempts_max` must be at least 1");
        }
        if self.limits.steps_max == 0 || self.retry.attempts == 0 {
            return wrong("`limits.steps_max` and `retry.attempts` must be at least 1");
        }
        // Step commands pass the same door, and would be refused there.
        if self.limits.message_max < 1_024 {
            return wrong("`limits.message_max` must be at least 1024");
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), Error> {
        let times = [
            ("database.statement_timeout", self.database.statement_timeout),
            ("database.lock_timeout", self.database.lock_timeout),
            ("broker.confirm_timeout", self.broker.confirm_timeout),
            ("worker.stride_for", self.worker.stride_for),
            ("outbox.sweep_every", self.outbox.sweep_every),
            ("outbox.handed_over_for", self.outbox.handed_over_for),
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
            return wrong(&format!("`{name}` must be at least 1ms"));
        }
        if self.timeouts.database > HANDLER_FOR_MAX {
            return wrong(
                "`timeouts.database` must be at most 50s: the database ends a session that is idle in a transaction for 60s",
            );
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Error> {
        if self.worker.lanes.is_empty() {
            return wrong("`worker.lanes` must name at least one lane");
        }
        if let Some(lane) = self.worker.lanes.iter().find(|lane| lane.is_empty() || lane.len() > LANE_MAX) {
            return wrong(&format!("`worker.lanes`: `{lane}` must have from 1 to {LANE_MAX} bytes"));
        }
        let prefix = &self.broker.prefix;
        if prefix.is_empty()
            || prefix.len() > 100
            || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return wrong("`broker.prefix` must be letters, digits, `-`, `_` and `.`, at most 100 of them");
        }
        let listen = self.http.listen.parse::<std::net::SocketAddr>();
        if !listen.is_ok_and(|address| address.ip().is_loopback()) {
            return wrong(
                "`http.listen` must be a loopback address with a port, as in 127.0.0.1:8420: there is no access control yet",
            );
        }
        Ok(())
    }
}

fn wrong(what: &str) -> Result<(), Error> {
    Err(Error(what.to_owned()))
}
