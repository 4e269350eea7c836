//! The exchanges and their names, as the broker and the outbox know them.

/// Where a message is published. On the broker the name carries the configured prefix.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Exchange {
    /// Commands from upstream services and external workers.
    #[strum(serialize = "commands")]
    Commands,
    /// Commands from outside that go before others.
    #[strum(serialize = "urgent")]
    Urgent,
    /// Commands that Leveret sends itself: those from SQL, and those that it sends again.
    #[strum(serialize = "forwarded")]
    Forwarded,
    /// Step commands; the routing key is the queue.
    #[strum(serialize = "steps")]
    Steps,
    /// What instances did. An event without a listener is dropped.
    #[strum(serialize = "events")]
    Events,
    /// Requests to external workers; the routing key is the name of the work.
    #[strum(serialize = "work")]
    Work,
    /// Wake-ups for HTTP calls.
    #[strum(serialize = "calls")]
    Calls,
    /// Dead letters.
    #[strum(serialize = "dead")]
    Dead,
    /// Answers: the broker's default exchange, where the routing key is the name of a queue.
    #[strum(serialize = "reply")]
    Reply,
}

impl Exchange {
    /// The word in the outbox, and the end of the name on the broker.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The name on the broker.
    pub fn physical(self, prefix: &str) -> String {
        match self {
            Exchange::Reply => String::new(),
            declared => format!("{prefix}.{}", declared.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn every_exchange_is_read_back_from_its_name() {
        for exchange in Exchange::VARIANTS {
            assert_eq!(exchange.name().parse(), Ok(*exchange));
        }
        assert!("nonsense".parse::<Exchange>().is_err());
    }

    #[test]
    fn the_name_on_the_broker_carries_the_prefix() {
        assert_eq!(Exchange::Events.physical("acme"), "acme.events");
        assert_eq!(Exchange::Reply.physical("acme"), "");
    }
}
