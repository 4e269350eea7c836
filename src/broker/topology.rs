//! The exchanges, queues and bindings on the broker, as data. Names and arguments are frozen: another argument needs another name.

use super::delay::{self, Level};
use super::message::Queue;
use crate::contract::Exchange;

/// Milliseconds after which the queue of a listener without a consumer is deleted.
const LISTENER_MS: i64 = 600_000;
/// A message that is returned more often than this, by workers that die, becomes a dead letter.
pub const DELIVERY_LIMIT: i64 = 50;
/// A dead letter that its reader can never take is parked after this many tries: in front of the others it would hold them up.
pub const DEAD_DELIVERY_LIMIT: i64 = 100;
/// Looking at a parked message returns it, and RabbitMQ counts that. RabbitMQ 4 drops a message after twenty returns unless a limit is
/// stated; RabbitMQ 3.10 drops it at the first one if the limit is -1.
pub const PARKED_DELIVERY_LIMIT: i64 = 1_000_000;
/// Parked messages kept for an operator to inspect. The oldest are dropped first.
pub const PARKED_MAX: i64 = 10_000;

/// Every exchange but the broker's default exchange.
const DECLARED: [Exchange; 8] = [
    Exchange::Commands,
    Exchange::Urgent,
    Exchange::Forwarded,
    Exchange::Steps,
    Exchange::Events,
    Exchange::Work,
    Exchange::Calls,
    Exchange::Dead,
];
/// The end of the name of the exchange that delayed messages go to.
pub const DELAYED: &str = "delayed";
/// The routing key of wake-ups for calls.
pub const CALLS_KEY: &str = "call";

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By the exact routing key.
    Direct,
    /// To every bound queue.
    Fanout,
    /// By a pattern of the routing key.
    Topic,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// An argument of an exchange or a queue.
pub type Argument = (&'static str, Value);

/// What a queue holds, and so what may be done with it when it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Wake-ups, which may be lost: it may be deleted and declared again.
    WakeUps,
    /// Messages that must not be lost.
    Messages,
}

/// An exchange, queue or binding. All of them are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declaration {
    /// An exchange.
    Exchange {
        /// Its name.
        name: String,
        /// How it routes.
        kind: Kind,
        /// Its arguments.
        arguments: Vec<Argument>,
    },
    /// A queue.
    Queue {
        /// Its name.
        name: String,
        /// Its arguments.
        arguments: Vec<Argument>,
        /// What it holds.
        holds: Holds,
    },
    /// A binding.
    Binding {
        /// The queue.
        queue: String,
        /// The exchange.
        exchange: String,
        /// The routing key or pattern.
        key: String,
    },
}

/// Everything but the queues of steps and of work, which are declared when they are first used.
pub fn base(prefix: &str) -> Vec<Declaration> {
    let mut all: Vec<Declaration> =
        DECLARED.into_iter().map(|exchange| plain(&exchange.physical(prefix), kind(exchange))).collect();
    all.extend(parking(prefix));
    all.extend(with_bindings(prefix, &Queue::Dead));
    all.extend(with_bindings(prefix, &Queue::Commands));
    all.extend(with_bindings(prefix, &Queue::Urgent));
    all.extend(with_bindings(prefix, &Queue::Calls));
    all.extend(delay::levels().flat_map(|delay| level(prefix, &delay)));
    all
}

/// A queue with its exchanges and bindings: all that is needed to consume it on an empty broker.
pub fn queue(prefix: &str, queue: &Queue) -> Vec<Declaration> {
    let mut all = Vec::new();
    match queue {
        Queue::Commands => {
            let both = [Exchange::Commands, Exchange::Forwarded];
            all.extend(both.map(|exchange| plain(&exchange.physical(prefix), kind(exchange))));
        }
        Queue::Urgent => all.push(plain(&Exchange::Urgent.physical(prefix), kind(Exchange::Urgent))),
        Queue::Steps(_) => all.push(plain(&Exchange::Steps.physical(prefix), kind(Exchange::Steps))),
        Queue::Events(_) => all.push(plain(&Exchange::Events.physical(prefix), kind(Exchange::Events))),
        Queue::Calls => all.push(plain(&Exchange::Calls.physical(prefix), kind(Exchange::Calls))),
        Queue::Work(_) => all.push(plain(&Exchange::Work.physical(prefix), kind(Exchange::Work))),
        Queue::Dead => {}
    }
    all.push(plain(&Exchange::Dead.physical(prefix), kind(Exchange::Dead)));
    all.extend(parking(prefix));
    all.extend(with_bindings(prefix, queue));
    all
}

/// The exchange that delayed messages go to when their delay is over.
pub fn delayed(prefix: &str) -> String {
    format!("{prefix}.{DELAYED}")
}

/// The exchange, and the queue, of messages that nothing reads.
pub fn parked(prefix: &str) -> String {
    format!("{prefix}.parked")
}

fn kind(exchange: Exchange) -> Kind {
    match exchange {
        Exchange::Commands | Exchange::Urgent | Exchange::Forwarded | Exchange::Events => Kind::Topic,
        Exchange::Steps | Exchange::Work | Exchange::Calls | Exchange::Reply => Kind::Direct,
        Exchange::Dead => Kind::Fanout,
    }
}

/// The queue and its bindings. Their exchanges must be declared before.
fn with_bindings(prefix: &str, queue: &Queue) -> Vec<Declaration> {
    let name = queue.physical(prefix);
    let work = |exchange: Exchange, key: &str| {
        let mut arguments = vec![
            ("x-queue-type", Value::Text("quorum".into())),
            ("x-dead-letter-exchange", Value::Text(Exchange::Dead.physical(prefix))),
            ("x-delivery-limit", Value::Number(DELIVERY_LIMIT)),
        ];
        // External workers declare their queue themselves, and its requests are sent again from the database.
        if exchange != Exchange::Work {
            arguments.extend(kept_until_confirmed());
        }
        vec![
            Declaration::Queue { name: name.clone(), arguments, holds: Holds::Messages },
            binding(&name, &exchange.physical(prefix), key),
            binding(&name, &delayed(prefix), &name),
        ]
    };
    match queue {
        Queue::Commands => {
            let mut all = work(Exchange::Commands, "#");
            all.push(binding(&name, &Exchange::Forwarded.physical(prefix), "#"));
            all
        }
        Queue::Urgent => work(Exchange::Urgent, "#"),
        Queue::Steps(queue) => work(Exchange::Steps, queue),
        Queue::Calls => work(Exchange::Calls, CALLS_KEY),
        Queue::Work(name) => work(Exchange::Work, name),
        Queue::Events(_) => {
            let arguments =
                vec![("x-queue-type", Value::Text("classic".into())), ("x-expires", Value::Number(LISTENER_MS))];
            vec![
                Declaration::Queue { name: name.clone(), arguments, holds: Holds::Messages },
                binding(&name, &Exchange::Events.physical(prefix), "#"),
            ]
        }
        Queue::Dead => {
            let arguments = vec![
                ("x-queue-type", Value::Text("quorum".into())),
                ("x-dead-letter-exchange", Value::Text(parked(prefix))),
                ("x-delivery-limit", Value::Number(DEAD_DELIVERY_LIMIT)),
            ];
            vec![
                Declaration::Queue { name: name.clone(), arguments, holds: Holds::Messages },
                binding(&name, &Exchange::Dead.physical(prefix), ""),
            ]
        }
    }
}

/// The exchange for delayed messages, and the queue that keeps those that then match no queue, and dead letters that no reader can take.
fn parking(prefix: &str) -> Vec<Declaration> {
    let parked = parked(prefix);
    let arguments = vec![
        ("x-queue-type", Value::Text("quorum".into())),
        ("x-delivery-limit", Value::Number(PARKED_DELIVERY_LIMIT)),
        ("x-max-length", Value::Number(PARKED_MAX)),
        ("x-overflow", Value::Text("drop-head".into())),
    ];
    vec![
        plain(&parked, Kind::Fanout),
        Declaration::Queue { name: parked.clone(), arguments, holds: Holds::Messages },
        binding(&parked, &parked, ""),
        Declaration::Exchange {
            name: delayed(prefix),
            kind: Kind::Direct,
            arguments: vec![("alternate-exchange", Value::Text(parked))],
        },
    ]
}

/// A dead letter stays in its queue until the queue of dead letters has confirmed it. By default it is sent once, and lost if that
/// queue has no leader at this moment. The overflow is what RabbitMQ demands for it; there is no length limit.
fn kept_until_confirmed() -> [Argument; 2] {
    [
        ("x-dead-letter-strategy", Value::Text("at-least-once".into())),
        ("x-overflow", Value::Text("reject-publish".into())),
    ]
}

/// One delay level. Replicated, so that timers stay punctual when a node is lost. Its messages leave it at most once: they are
/// wake-ups, and at least once, one queue that does not answer would hold up the wake-ups for all others.
fn level(prefix: &str, level: &Level) -> Vec<Declaration> {
    let name = level.name(prefix);
    let ttl = i64::try_from(level.ttl.as_millis()).unwrap_or(i64::MAX);
    let arguments = vec![
        ("x-queue-type", Value::Text("quorum".into())),
        ("x-message-ttl", Value::Number(ttl)),
        ("x-dead-letter-exchange", Value::Text(delayed(prefix))),
        // Nothing reads it. An operator who looks at its messages must not use up any limit.
        ("x-delivery-limit", Value::Number(PARKED_DELIVERY_LIMIT)),
    ];
    vec![
        plain(&name, Kind::Fanout),
        Declaration::Queue { name: name.clone(), arguments, holds: Holds::WakeUps },
        binding(&name, &name, ""),
    ]
}

fn plain(name: &str, kind: Kind) -> Declaration {
    Declaration::Exchange { name: name.into(), kind, arguments: Vec::new() }
}

fn binding(queue: &str, exchange: &str, key: &str) -> Declaration {
    Declaration::Binding { queue: queue.into(), exchange: exchange.into(), key: key.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn arguments_of(all: &[Declaration], wanted: &str) -> Vec<Argument> {
        let found = all.iter().find_map(|declaration| match declaration {
            Declaration::Queue { name, arguments, .. } if name == wanted => Some(arguments.clone()),
            Declaration::Queue { .. } | Declaration::Exchange { .. } | Declaration::Binding { .. } => None,
        });
        found.unwrap_or_else(|| panic!("{wanted} is declared"))
    }

    fn assert_bindings_come_last(all: &[Declaration]) {
        let mut known = BTreeSet::new();
        for declaration in all {
            match declaration {
                Declaration::Exchange { name, .. } => known.insert(("exchange", name.as_str())),
                Declaration::Queue { name, .. } => known.insert(("queue", name.as_str())),
                Declaration::Binding { queue, exchange, .. } => {
                    assert!(known.contains(&("queue", queue.as_str())), "{declaration:?}");
                    assert!(known.contains(&("exchange", exchange.as_str())), "{declaration:?}");
                    false
                }
            };
        }
    }

    #[test]
    fn bindings_come_after_what_they_bind() {
        assert_bindings_come_last(&base("leveret"));
        for wanted in [Queue::Commands, Queue::Urgent, Queue::Steps("default".into()), Queue::Dead] {
            assert_bindings_come_last(&queue("leveret", &wanted));
        }
    }

    #[test]
    fn a_queue_of_commands_is_a_quorum_queue_with_dead_letters() {
        let expected = [
            ("x-queue-type", Value::Text("quorum".into())),
            ("x-dead-letter-exchange", Value::Text("leveret.dead".into())),
            ("x-delivery-limit", Value::Number(DELIVERY_LIMIT)),
            ("x-dead-letter-strategy", Value::Text("at-least-once".into())),
            ("x-overflow", Value::Text("reject-publish".into())),
        ];
        assert_eq!(arguments_of(&base("leveret"), "leveret.commands"), expected);
        let slow = queue("leveret", &Queue::Steps("slow".into()));
        assert_eq!(arguments_of(&slow, "leveret.steps.slow"), expected);
        let work = queue("leveret", &Queue::Work("pack".into()));
        assert_eq!(arguments_of(&work, "leveret.work.pack"), expected[..3], "external workers declare it like this");
    }

    #[test]
    fn every_queue_that_outlives_its_consumer_is_replicated() {
        for declaration in base("leveret") {
            if let Declaration::Queue { name, arguments, .. } = declaration {
                assert!(arguments.contains(&("x-queue-type", Value::Text("quorum".into()))), "{name}");
            }
        }
    }

    /// The defaults differ from version to version.
    #[test]
    fn every_quorum_queue_states_its_delivery_limit_and_where_its_dead_letters_go() {
        let mut all = base("leveret");
        for queue in [Queue::Steps("slow".into()), Queue::Work("pack".into())] {
            all.extend(super::queue("leveret", &queue));
        }
        for declaration in &all {
            let Declaration::Queue { name, arguments, .. } = declaration else { continue };
            let stated = |wanted: &str| arguments.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            if stated("x-queue-type") == Some(&Value::Text("quorum".into())) {
                assert!(matches!(stated("x-delivery-limit"), Some(Value::Number(1..))), "{name}: {arguments:?}");
                let ends = stated("x-dead-letter-exchange").is_none();
                assert_eq!(ends, name == "leveret.parked", "{name}: {arguments:?}");
            }
        }
    }

    #[test]
    fn a_delay_queue_keeps_the_routing_key() {
        let arguments = arguments_of(&base("leveret"), "leveret.delay.250ms");
        assert_eq!(arguments[1], ("x-message-ttl", Value::Number(250)));
        assert_eq!(arguments[2], ("x-dead-letter-exchange", Value::Text("leveret.delayed".into())));
        assert!(arguments.iter().all(|(name, _)| *name != "x-dead-letter-routing-key"));
    }

    #[test]
    fn a_delayed_message_goes_to_the_queue_named_by_its_routing_key() {
        let queue = queue("leveret", &Queue::Steps("slow".into()));
        assert!(queue.contains(&binding("leveret.steps.slow", "leveret.delayed", "leveret.steps.slow")));
        assert!(base("leveret").contains(&binding("leveret.commands", "leveret.delayed", "leveret.commands")));
    }
}
