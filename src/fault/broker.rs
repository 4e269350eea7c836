//! The errors of RabbitMQ: what they mean, and what Leveret does.

use super::Class;

/// What callers learn of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerAnswer {
    /// The broker is not available for now: the connection or the channel is opened again, and the message published again.
    Away,
    /// A queue or exchange has other arguments than Leveret's: an operator decides; `doctor` and `/readyz` name it.
    Different,
    /// What is missing is declared again.
    Declare,
    /// The row stays in the outbox and its attempt is counted; after the last one it is dead.
    Count,
}

/// An error of the broker.
#[derive(Debug, Clone, Copy)]
pub struct BrokerFault {
    /// The number of the reply with which the broker closes a channel or a connection, if it is one.
    pub reply: Option<u16>,
    /// What happened.
    pub cause: &'static str,
    /// Its class.
    pub class: Class,
    /// What callers learn of it.
    pub answer: BrokerAnswer,
    /// What Leveret does, for people.
    pub recovers: &'static str,
    /// The file of a test that makes a broker raise it, and the name of the test.
    pub proof: &'static str,
}

/// Not found.
const MISSING: u16 = 404;
/// Precondition failed.
const DIFFERENT: u16 = 406;

/// The line of a reply is the first with its number; a reply without a line has that of the closed channel.
pub const BROKER: &[BrokerFault] = &[
    BrokerFault {
        reply: None,
        cause: "the connection is refused or lost, or the broker is silent for two heartbeats",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "connects again, with growing pauses, to the next node; what was not confirmed is published again, what was not acknowledged is redelivered",
        proof: "tests/it/faults/link.rs a_silent_broker_is_noticed_within_two_and_a_half_heartbeats",
    },
    BrokerFault {
        reply: Some(0),
        cause: "the broker closes a channel",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "opens another channel; what was not confirmed is published again",
        proof: "tests/it/broker.rs a_deleted_exchange_is_reported_and_declared_again",
    },
    BrokerFault {
        reply: Some(MISSING),
        cause: "a queue or an exchange is gone, or the node of a queue is down",
        class: Class::Transient,
        answer: BrokerAnswer::Declare,
        recovers: "declares it again within a minute; the role `timers` writes again what was in it. Of a node that is down, waits for it",
        proof: "tests/it/broker.rs a_consumer_survives_the_deletion_of_its_queue",
    },
    BrokerFault {
        reply: Some(DIFFERENT),
        cause: "a queue or an exchange has other arguments",
        class: Class::Permanent,
        answer: BrokerAnswer::Different,
        recovers: "goes on without it; `doctor` names it and the remedy",
        proof: "tests/it/broker.rs one_wrong_queue_is_named_and_does_not_stop_the_others",
    },
    BrokerFault {
        reply: Some(403),
        cause: "the user is refused, or may not do this",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "tries again, with growing pauses, because rights can be given while it runs; the log and `/readyz` name the reason",
        proof: "tests/it/faults/replies.rs a_user_who_is_refused_is_told_and_served_once_it_is_allowed",
    },
    BrokerFault {
        reply: Some(320),
        cause: "an operator closes the connection, or the node stops",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "connects again",
        proof: "tests/it/faults/replies.rs a_connection_that_an_operator_closes_is_opened_again",
    },
    BrokerFault {
        reply: None,
        cause: "the broker blocks publishers: an alarm of memory or disk",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "publishes nothing until the alarm ends, and goes on to consume; rows wait in the outbox, `/readyz` says `blocked`",
        proof: "tests/it/faults/replies.rs an_alarm_of_the_disk_blocks_publishers_and_ends",
    },
    BrokerFault {
        reply: None,
        cause: "the broker does not confirm within `broker.confirm_timeout`",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "publishes again: a message may come twice, which receivers absorb by its id",
        proof: "tests/it/availability/queues.rs a_delay_queue_that_does_not_confirm_holds_up_its_own_wake_ups_only",
    },
    BrokerFault {
        reply: None,
        cause: "the broker refuses a message with `basic.nack`: a queue is full",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "publishes again after a pause",
        proof: "tests/it/starvation.rs a_full_event_queue_delays_only_the_refused_events_and_is_not_flooded",
    },
    BrokerFault {
        reply: None,
        cause: "the broker returns a message: no queue is bound under its routing key",
        class: Class::Permanent,
        answer: BrokerAnswer::Count,
        recovers: "tries `outbox.attempts_max` times; then the row is dead, until `leveret outbox revive`. An event without a reader does not fail",
        proof: "tests/it/faults/outbox.rs an_unroutable_outbox_row_is_dead_after_its_last_attempt_and_kept",
    },
    BrokerFault {
        reply: None,
        cause: "the broker takes a delivery back: it was not acknowledged within the consumer timeout, or the consumer was cancelled",
        class: Class::Transient,
        answer: BrokerAnswer::Away,
        recovers: "subscribes again; the delivery comes again, and the revision lets it take effect once",
        proof: "tests/it/faults/cancels.rs a_consumer_that_was_too_slow_for_the_broker_receives_what_comes_next",
    },
    BrokerFault {
        reply: None,
        cause: "a message cannot be read, or costs every reader its connection",
        class: Class::Poison,
        answer: BrokerAnswer::Away,
        recovers: "it becomes a dead letter; one that no reader survives is parked, and `doctor` says so",
        proof: "tests/it/isolation.rs a_command_that_costs_every_reader_its_connection_is_parked_and_the_doctor_says_so",
    },
];

/// The line of any reply that has no other.
const CLOSED: &BrokerFault = &BROKER[1];

/// The line of a reply with which the broker closed a channel or a connection.
pub fn of_reply(reply: u16) -> &'static BrokerFault {
    BROKER.iter().find(|line| line.reply == Some(reply)).unwrap_or(CLOSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_its_line() {
        assert_eq!(of_reply(DIFFERENT).answer, BrokerAnswer::Different);
        assert_eq!(of_reply(MISSING).answer, BrokerAnswer::Declare);
        assert_eq!(of_reply(541).cause, CLOSED.cause);
    }

    #[test]
    fn whatever_needs_no_person_is_tried_again() {
        for line in BROKER {
            let needs_a_person = matches!(line.answer, BrokerAnswer::Different | BrokerAnswer::Count);
            assert_eq!(needs_a_person, line.class == Class::Permanent, "{}", line.cause);
        }
    }
}
