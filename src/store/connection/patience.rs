//! How long an answer of the server is waited for. The server's own time limits do not run while it is frozen, and not for a
//! connection whose packets are lost on the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as Driver};
use tokio::time::{Instant, sleep_until};

use super::Outstanding;
use crate::config::HANDLER_FOR_MAX;
use crate::store::pulse::{Pulse, SILENT_AFTER};
use crate::time::duration;

/// The server ends a statement at its limit, and its answer has this long to arrive.
const MARGIN: Duration = Duration::from_secs(5);
/// The longest pause between two looks at a server during one statement.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(8);
/// Far enough to be no limit.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The answer to one statement, which the server ends at its limit.
    Statement,
    /// The answer to several statements, each with the server's limit.
    Batch,
    /// The answer to a commit. The server does not limit it: it may wait for a synchronous standby. To give up would tell
    /// nothing, and each attempt would leave one more session waiting there.
    Commit,
}

/// How long this side waits.
#[derive(Default)]
pub(in crate::store) struct Patience {
    /// The server's limit of a statement; none if it has none.
    statement: Option<Duration>,
    pulse: Option<Arc<Pulse>>,
}

impl Patience {
    /// With the server of the pulse, and its time limit of a statement.
    pub(in crate::store) fn new(pulse: Arc<Pulse>, statement: Duration) -> Self {
        Self { statement: Some(statement).filter(|limit| !limit.is_zero()), pulse: Some(pulse) }
    }

    /// The limit on this side.
    fn limit(&self, wait: Wait) -> Option<Duration> {
        let statement = self.statement? + MARGIN;
        match wait {
            Wait::Statement => Some(statement),
            Wait::Batch => Some(statement.max(HANDLER_FOR_MAX + MARGIN)),
            Wait::Commit => None,
        }
    }

    fn is_over(&self) -> bool {
        self.pulse.as_ref().is_some_and(|pulse| pulse.is_lost())
    }
}

impl Outstanding {
    /// Whether nothing will be answered on this connection.
    pub(super) fn is_lost(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed) || self.patience.is_over()
    }

    /// Notes that the server answered.
    pub(super) fn heard(&self) {
        if let Some(pulse) = &self.patience.pulse {
            pulse.heard();
        }
    }

    /// The answer, if it comes while it is worth waiting. A connection that is given up sends nothing more.
    pub(super) async fn answer<T>(&self, wait: Wait, answer: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
        if self.is_lost() {
            return Err(self.gone("the server does not answer"));
        }
        tokio::select! {
            biased;
            answer = answer => answer,
            error = self.given_up(wait) => Err(error),
        }
    }

    /// Resolves when the answer is not worth waiting for; the connection is closed when its lease ends.
    pub(super) async fn given_up(&self, wait: Wait) -> Driver {
        let Some(pulse) = &self.patience.pulse else { return std::future::pending().await };
        let since = Instant::now();
        let limit = self.patience.limit(wait);
        let until = since + limit.unwrap_or(NO_LIMIT);
        let mut pause = SILENT_AFTER;
        let mut looked_at = since;
        loop {
            let look_at = pulse.silent_since(looked_at) + pause;
            tokio::select! {
                biased;
                () = pulse.lost() => return self.gone("the server does not answer"),
                () = sleep_until(look_at.min(until)) => {}
            }
            let now = Instant::now();
            if now >= until {
                let waited = duration::format(limit.unwrap_or(NO_LIMIT));
                return self.gone(&format!("the server did not answer within {waited}"));
            }
            if pulse.silent_since(looked_at) + pause <= now {
                // Rare, and larger than everything else that waits for an answer.
                Box::pin(pulse.look()).await;
                (pause, looked_at) = ((pause * 2).min(LOOK_EVERY_MAX), Instant::now());
            }
        }
    }

    /// The error of a connection that is given up. To callers it is lost: whether the server did anything, only it can tell.
    fn gone(&self, why: &str) -> Driver {
        self.is_given_up.store(true, Ordering::Relaxed);
        let place = self.patience.pulse.as_ref().map(|pulse| format!(" to {}", pulse.place())).unwrap_or_default();
        let text = format!("{why}: the connection{place} is closed, and the outcome is unknown");
        Driver::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::dial::Origin;

    #[test]
    fn the_limit_on_this_side_is_the_server_s_and_a_margin() {
        let origin = Origin { url: String::new(), host: 0, ip: None };
        let pulse = Arc::new(Pulse::new(origin, "db:5432".into(), "1".into()));
        let patience = Patience::new(pulse.clone(), Duration::from_secs(15));
        assert_eq!(patience.limit(Wait::Statement), Some(Duration::from_secs(20)));
        assert_eq!(patience.limit(Wait::Batch), Some(HANDLER_FOR_MAX + MARGIN));
        assert_eq!(patience.limit(Wait::Commit), None);
        assert_eq!(Patience::new(pulse, Duration::ZERO).limit(Wait::Statement), None);
    }
}
