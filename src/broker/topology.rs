//! What has to exist on the broker, as data. Names and arguments are frozen: another argument needs another name.

use super::delay::{self, Level};
use super::message::Queue;
use crate::contract::Exchange;

/// Milliseconds after which the queue of a listener that has gone goes too.
const LISTENER_MS: i64 = 600_000;
/// A message returned more often than this by dying workers is dead.
pub const DELIVERY_LIMIT: i64 = 50;
/// The dead letters themselves may come back as often as it takes; RabbitMQ 4 would drop them after twenty returns.
pub const DEAD_DELIVERY_LIMIT: i64 = 1_000_000;
/// Parked wake-ups kept for a person to look at; the oldest go first.
pub const PARKED_MAX: i64 = 10_000;

/// Every exchange but the broker's own.
const DECLARED: [Exchange; 6] =
    [Exchange::Commands, Exchange::Steps, Exchange::Events, Exchange::Work, Exchange::Calls, Exchange::Dead];
/// The routing key of wake-ups that a call is to be made.
pub const CALLS_KEY: &str = "call";

/// How an exchange chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By the whole routing key.
    Direct,
    /// To everyone.
    Fanout,
    /// By a pattern.
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

/// One thing that has to exist, always durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declaration {
    /// An exchange.
    Exchange {
        /// Its name.
        name: String,
        /// How it chooses.
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

/// Everything but the queues and the queues of workers outside.
pub fn base(prefix: &str) -> Vec<Declaration> {
    let mut all: Vec<Declaration> =
        DECLARED.into_iter().map(|exchange| plain(&exchange.physical(prefix), kind(exchange))).collect();
    all.extend(parking(prefix));
    all.extend(own(prefix, &Queue::Dead));
    all.extend(own(prefix, &Queue::Commands));
    all.extend(own(prefix, &Queue::Calls));
    all.extend(delay::levels().flat_map(|step| level(prefix, &step)));
    all
}

/// One queue with everything it is bound to; enough to consume it on a broker that was just wiped.
pub fn queue(prefix: &str, queue: &Queue) -> Vec<Declaration> {
    let mut all = Vec::new();
    match queue {
        Queue::Commands => all.push(plain(&Exchange::Commands.physical(prefix), kind(Exchange::Commands))),
        Queue::Steps(_) => all.push(plain(&Exchange::Steps.physical(prefix), kind(Exchange::Steps))),
        Queue::Events(_) => all.push(plain(&Exchange::Events.physical(prefix), kind(Exchange::Events))),
        Queue::Calls => all.push(plain(&Exchange::Calls.physical(prefix), kind(Exchange::Calls))),
        Queue::Work(_) => all.push(plain(&Exchange::Work.physical(prefix), kind(Exchange::Work))),
        Queue::Dead => {}
    }
    all.push(plain(&Exchange::Dead.physical(prefix), kind(Exchange::Dead)));
    all.extend(parking(prefix));
    all.extend(own(prefix, queue));
    all
}

/// The exchange at the end of the ladder.
pub fn delayed(prefix: &str) -> String {
    format!("{prefix}.delayed")
}

fn kind(exchange: Exchange) -> Kind {
    match exchange {
        Exchange::Commands | Exchange::Events => Kind::Topic,
        Exchange::Steps | Exchange::Work | Exchange::Calls | Exchange::Reply => Kind::Direct,
        Exchange::Dead => Kind::Fanout,
    }
}

/// The queue and its bindings; their exchanges come before.
fn own(prefix: &str, queue: &Queue) -> Vec<Declaration> {
    let name = queue.physical(prefix);
    let work = |exchange: Exchange, key: &str| {
        let arguments = vec![
            ("x-queue-type", Value::Text("quorum".into())),
            ("x-dead-letter-exchange", Value::Text(Exchange::Dead.physical(prefix))),
            ("x-delivery-limit", Value::Number(DELIVERY_LIMIT)),
        ];
        vec![
            Declaration::Queue { name: name.clone(), arguments },
            binding(&name, &exchange.physical(prefix), key),
            binding(&name, &delayed(prefix), &name),
        ]
    };
    match queue {
        Queue::Commands => work(Exchange::Commands, "#"),
        Queue::Steps(queue) => work(Exchange::Steps, queue),
        Queue::Calls => work(Exchange::Calls, CALLS_KEY),
        Queue::Work(name) => work(Exchange::Work, name),
        Queue::Events(_) => {
            let arguments =
                vec![("x-queue-type", Value::Text("classic".into())), ("x-expires", Value::Number(LISTENER_MS))];
            vec![
                Declaration::Queue { name: name.clone(), arguments },
                binding(&name, &Exchange::Events.physical(prefix), "#"),
            ]
        }
        Queue::Dead => {
            let arguments = vec![
                ("x-queue-type", Value::Text("quorum".into())),
                ("x-delivery-limit", Value::Number(DEAD_DELIVERY_LIMIT)),
            ];
            vec![
                Declaration::Queue { name: name.clone(), arguments },
                binding(&name, &Exchange::Dead.physical(prefix), ""),
            ]
        }
    }
}

/// The end of the ladder, and the place for what then has nowhere to go.
fn parking(prefix: &str) -> Vec<Declaration> {
    let parked = format!("{prefix}.parked");
    let arguments = vec![
        ("x-queue-type", Value::Text("quorum".into())),
        ("x-max-length", Value::Number(PARKED_MAX)),
        ("x-overflow", Value::Text("drop-head".into())),
    ];
    vec![
        plain(&parked, Kind::Fanout),
        Declaration::Queue { name: parked.clone(), arguments },
        binding(&parked, &parked, ""),
        Declaration::Exchange {
            name: delayed(prefix),
            kind: Kind::Direct,
            arguments: vec![("alternate-exchange", Value::Text(parked))],
        },
    ]
}

/// One level. A classic queue is enough: what it loses is a wake-up, and the sweep finds the timer.
fn level(prefix: &str, step: &Level) -> Vec<Declaration> {
    let name = step.name(prefix);
    let ttl = i64::try_from(step.ttl.as_millis()).unwrap_or(i64::MAX);
    let arguments = vec![
        ("x-queue-type", Value::Text("classic".into())),
        ("x-message-ttl", Value::Number(ttl)),
        ("x-dead-letter-exchange", Value::Text(delayed(prefix))),
    ];
    vec![plain(&name, Kind::Fanout), Declaration::Queue { name: name.clone(), arguments }, binding(&name, &name, "")]
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
            Declaration::Queue { name, arguments } if name == wanted => Some(arguments.clone()),
            Declaration::Queue { .. } | Declaration::Exchange { .. } | Declaration::Binding { .. } => None,
        });
        found.unwrap_or_else(|| panic!("{wanted} is declared"))
    }

    fn assert_bindings_follow_what_they_bind(all: &[Declaration]) {
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
        assert_bindings_follow_what_they_bind(&base("leveret"));
        for wanted in [Queue::Commands, Queue::Steps("default".into()), Queue::Dead] {
            assert_bindings_follow_what_they_bind(&queue("leveret", &wanted));
        }
    }

    #[test]
    fn work_is_kept_by_a_quorum_and_dies_into_the_dead_letters() {
        let expected = [
            ("x-queue-type", Value::Text("quorum".into())),
            ("x-dead-letter-exchange", Value::Text("leveret.dead".into())),
            ("x-delivery-limit", Value::Number(DELIVERY_LIMIT)),
        ];
        assert_eq!(arguments_of(&base("leveret"), "leveret.commands"), expected);
        let queue = queue("leveret", &Queue::Steps("slow".into()));
        assert_eq!(arguments_of(&queue, "leveret.steps.slow"), expected);
    }

    #[test]
    fn a_rung_keeps_the_routing_key_of_what_waits() {
        let arguments = arguments_of(&base("leveret"), "leveret.delay.250ms");
        assert_eq!(arguments[1], ("x-message-ttl", Value::Number(250)));
        assert_eq!(arguments[2], ("x-dead-letter-exchange", Value::Text("leveret.delayed".into())));
        assert!(arguments.iter().all(|(name, _)| *name != "x-dead-letter-routing-key"));
    }

    #[test]
    fn the_ladder_ends_at_the_queue_its_routing_key_names() {
        let queue = queue("leveret", &Queue::Steps("slow".into()));
        assert!(queue.contains(&binding("leveret.steps.slow", "leveret.delayed", "leveret.steps.slow")));
        assert!(base("leveret").contains(&binding("leveret.commands", "leveret.delayed", "leveret.commands")));
    }
}
