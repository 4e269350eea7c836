//! Decides when a queue is read alone: one message at a time, on a connection of its own. Pure.
//!
//! RabbitMQ closes the connection of a reader over some messages that it cannot deliver to it (541), and the reader never sees which.
//! Everything else that the connection holds goes back and is counted, until it is a dead letter as well. So every queue is read alone
//! for a while. Then only the message that costs the connection is counted, until the delivery limit of its queue ends it.

use std::time::Duration;

use tokio::time::Instant;

/// Every queue is read alone after this number of lost connections …
const LOSSES_MAX: usize = 3;
/// … within this time.
const LOSSES_WITHIN: Duration = Duration::from_secs(60);
/// A queue is read alone until no connection was lost over it for this time.
pub(super) const ALONE_FOR: Duration = Duration::from_secs(30);

/// How a queue is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// On the connection of all queues, with as many messages at a time as the consumer wants.
    Together,
    /// One message at a time, on a connection of its own, until this time.
    Alone(Instant),
}

impl Reading {
    /// Alone until this time, or together if it is over.
    pub(super) fn until(alone_until: Option<Instant>, now: Instant) -> Self {
        alone_until.filter(|until| now < *until).map_or(Reading::Together, Reading::Alone)
    }
}

/// The losses of the connection that all queues share: over which of them nobody knows.
#[derive(Debug, Default)]
pub(in crate::broker) struct Losses {
    at: Vec<Instant>,
    alone_until: Option<Instant>,
}

impl Losses {
    /// Notes that the connection was lost.
    pub(in crate::broker) fn note(&mut self, now: Instant) {
        self.at.retain(|at| now.duration_since(*at) < LOSSES_WITHIN);
        self.at.push(now);
        if self.at.len() < LOSSES_MAX {
            return;
        }
        self.at.remove(0);
        if Reading::until(self.alone_until, now) == Reading::Together {
            tracing::warn!(
                "the connection was lost {LOSSES_MAX} times within a minute. Reading each queue one message at a time, on a connection of \
                 its own: a message that costs its reader the connection ends as a dead letter, and takes no other with it"
            );
        }
        self.alone_until = Some(now + ALONE_FOR);
    }

    /// Until when every queue is read alone.
    pub(in crate::broker) fn alone_until(&self) -> Option<Instant> {
        self.alone_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(losses: &[u64], seconds: u64) -> Reading {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut noted = Losses::default();
        losses.iter().for_each(|loss| noted.note(at(*loss)));
        Reading::until(noted.alone_until(), at(seconds))
    }

    #[test]
    fn a_queue_is_read_alone_after_three_losses_within_a_minute() {
        assert_eq!(after(&[], 0), Reading::Together);
        assert_eq!(after(&[0, 1], 2), Reading::Together);
        assert!(matches!(after(&[0, 1, 2], 3), Reading::Alone(_)));
        assert_eq!(after(&[0, 40, 80, 120], 121), Reading::Together, "a bad network is not one message");
    }

    #[test]
    fn a_queue_is_read_with_the_others_again_when_no_connection_was_lost_for_a_while() {
        assert_eq!(after(&[0, 1, 2], 33), Reading::Together);
        assert!(matches!(after(&[0, 1, 2, 20], 45), Reading::Alone(_)), "each loss extends it");
        assert_eq!(after(&[0, 1, 2, 20], 51), Reading::Together);
    }
}
