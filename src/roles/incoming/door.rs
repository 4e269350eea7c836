//! The door that a message came through, and what may come through it. Pure.
//!
//! Senders publish to the exchange of commands. What Leveret sends to itself has exchanges of its own, which the permissions of RabbitMQ
//! keep from senders: the exchange of a delivery says who may have sent it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::broker::{Delivery, FIRST_EXCHANGE, FIRST_USER, OUTBOX_ROW, Queue, topology};
use crate::config::{Config, RoutingKeys};
use crate::contract::{Exchange, is_reserved_sender};

/// The header of a start that has waited for its place among limited ones, and has it.
pub(in crate::roles) const HAS_PLACE: &str = "leveret-has-place";

/// Commands of Leveret to itself.
const INTERNAL: [&str; 3] = ["continue", "fire", "deliver"];
/// Commands of external workers. Their token proves the sender, so they may also go to the queue itself, as `reply_to` names it.
const PROVEN: [&str; 3] = ["call.complete", "call.heartbeat", "call.progress"];

/// Who sent a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::roles) enum Door {
    /// Somebody outside, through this exchange; and the user of the broker, if it has verified one.
    Outside { exchange: String, user_id: Option<String> },
    /// Leveret.
    Inside,
}

impl Door {
    /// The door of a delivery. A command from outside that Leveret has sent again has kept its own.
    pub(in crate::roles) fn of(delivery: &Delivery, prefix: &str) -> Self {
        if matches!(delivery.queue, Queue::Steps(_)) {
            return Door::Inside;
        }
        let (exchange, user_id) = (delivery.exchange.clone(), delivery.user_id.clone());
        if !is_exchange(&delivery.exchange, prefix, Exchange::Forwarded.name()) {
            return Door::Outside { exchange, user_id };
        }
        match delivery.headers.get(FIRST_EXCHANGE) {
            Some(exchange) => {
                Door::Outside { exchange: exchange.clone(), user_id: delivery.headers.get(FIRST_USER).cloned() }
            }
            None => Door::Inside,
        }
    }

    /// The outbox row of a command that stays there until it is handled. What a sender has written there itself counts for nothing.
    pub(in crate::roles) fn outbox_row(delivery: &Delivery, prefix: &str) -> Option<Uuid> {
        let inside = is_exchange(&delivery.exchange, prefix, Exchange::Forwarded.name());
        inside.then(|| delivery.headers.get(OUTBOX_ROW)?.parse().ok()).flatten()
    }

    /// Whether a start has waited for its place: as Leveret says that has sent it again, and nobody else can.
    pub(in crate::roles) fn has_place(delivery: &Delivery, prefix: &str) -> bool {
        is_exchange(&delivery.exchange, prefix, Exchange::Forwarded.name()) && delivery.headers.contains_key(HAS_PLACE)
    }

    /// The headers with which a delivery is sent again, so that it keeps its door. What a sender has written there itself counts for
    /// nothing.
    pub(in crate::roles) fn keep(self, mut headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for name in [FIRST_EXCHANGE, FIRST_USER] {
            headers.remove(name);
        }
        if let Door::Outside { exchange, user_id } = self {
            headers.insert(FIRST_EXCHANGE.into(), exchange);
            headers.extend(user_id.map(|user_id| (FIRST_USER.into(), user_id)));
        }
        headers
    }
}

/// Checks that a message of this type may come this way.
///
/// # Errors
/// A sentence that says what to do instead.
pub(super) fn check(delivery: &Delivery, kind: &str, config: &Config) -> Result<Door, String> {
    let prefix = &config.broker.prefix;
    if let Queue::Steps(_) = &delivery.queue {
        return check_steps(&delivery.exchange, kind, prefix);
    }
    if INTERNAL.contains(&kind) {
        return Err(internal(kind, prefix));
    }
    let door = Door::of(delivery, prefix);
    if let Door::Outside { exchange, .. } = &door {
        check_routing_key(exchange, &delivery.routing_key, kind, config)?;
        let app_id = delivery.app_id.as_deref().unwrap_or_default();
        if is_reserved_sender(app_id) {
            return Err(format!(
                "the `app_id` `{app_id}` is that of a part of Leveret: use another one, which does not begin with `leveret.`"
            ));
        }
        if let Some(queue) = delivery.reply_to.as_deref().filter(|queue| is_own(queue, prefix)) {
            return Err(format!(
                "`reply_to` names `{queue}`, which is a queue of Leveret: use a queue whose name does not begin with `{prefix}.`"
            ));
        }
    }
    Ok(door)
}

fn check_steps(exchange: &str, kind: &str, prefix: &str) -> Result<Door, String> {
    if !INTERNAL.contains(&kind) {
        let commands = Exchange::Commands.physical(prefix);
        return Err(format!("`{kind}` does not belong into a queue of steps: publish it to the exchange `{commands}`"));
    }
    // Every step command comes here: nothing is allocated.
    if !is_exchange(exchange, prefix, Exchange::Steps.name()) && !is_exchange(exchange, prefix, topology::DELAYED) {
        return Err(internal(kind, prefix));
    }
    Ok(Door::Inside)
}

fn internal(kind: &str, prefix: &str) -> String {
    let steps = Exchange::Steps.physical(prefix);
    format!("`{kind}` is a command of Leveret to itself: it comes only through the exchange `{steps}`")
}

/// Whether an exchange is this one of Leveret.
fn is_exchange(exchange: &str, prefix: &str, name: &str) -> bool {
    exchange.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) == Some(name)
}

/// RabbitMQ can limit a sender by the routing key, and not by the `type`. So the key has to begin with it.
fn check_routing_key(exchange: &str, key: &str, kind: &str, config: &Config) -> Result<(), String> {
    let is_proven = exchange.is_empty() && PROVEN.contains(&kind);
    let begins = key.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if is_proven || begins || config.broker.routing_keys == RoutingKeys::Any {
        return Ok(());
    }
    let (commands, key) = (Exchange::Commands.physical(&config.broker.prefix), super::shorten(key));
    Err(format!(
        "the routing key `{key}` does not begin with the `type`: publish to the exchange `{commands}` with the routing key `{kind}.…` \
         (`broker.routing_keys = \"any\"` takes every key)"
    ))
}

/// Whether a name is that of an exchange or a queue of Leveret.
pub(super) fn is_own(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_keys(routing_keys: RoutingKeys) -> Config {
        let mut config = Config::default();
        config.broker.routing_keys = routing_keys;
        config
    }

    #[test]
    fn a_routing_key_begins_with_the_type() {
        let checked = with_keys(RoutingKeys::Checked);
        let fits = |exchange, key, kind| check_routing_key(exchange, key, kind, &checked).is_ok();
        assert!(fits("leveret.commands", "start.order", "start"));
        assert!(fits("leveret.commands", "start", "start"));
        assert!(fits("leveret.commands", "call.complete.pack", "call.complete"));
        for key in ["message.order", "starts", "start-order", "", "call"] {
            assert!(!fits("leveret.commands", key, "start"), "{key}");
        }
        assert!(check_routing_key("leveret.commands", "message.x", "start", &with_keys(RoutingKeys::Any)).is_ok());
    }

    #[test]
    fn only_what_a_token_proves_may_go_to_the_queue_itself() {
        let checked = with_keys(RoutingKeys::Checked);
        let fits = |kind| check_routing_key("", "leveret.commands", kind, &checked).is_ok();
        assert!(PROVEN.into_iter().all(fits));
        assert!(!["start", "cancel", "task.complete"].into_iter().any(fits));
    }

    #[test]
    fn internal_commands_come_through_their_own_exchanges() {
        assert_eq!(check_steps("leveret.steps", "continue", "leveret"), Ok(Door::Inside));
        assert_eq!(check_steps("leveret.delayed", "fire", "leveret"), Ok(Door::Inside));
        for exchange in ["", "leveret.commands", "amq.topic"] {
            let why = check_steps(exchange, "deliver", "leveret").unwrap_err();
            assert!(why.contains("only through the exchange `leveret.steps`"), "{why}");
        }
        assert!(check_steps("leveret.steps", "start", "leveret").unwrap_err().contains("`leveret.commands`"));
    }

    #[test]
    fn own_names_begin_with_the_prefix_as_a_whole() {
        assert!(is_own("leveret.steps.default", "leveret") && is_own("leveret", "leveret"));
        assert!(!is_own("leverets.answers", "leveret") && !is_own("shop.answers", "leveret"));
    }

    #[test]
    fn a_command_that_is_sent_again_keeps_its_door_and_not_what_its_sender_pretends() {
        let forged = BTreeMap::from([(FIRST_EXCHANGE.into(), "x".into()), (FIRST_USER.into(), "root".into())]);
        let outside = Door::Outside { exchange: "leveret.commands".into(), user_id: None };
        assert_eq!(outside.keep(forged.clone()), BTreeMap::from([(FIRST_EXCHANGE.into(), "leveret.commands".into())]));
        assert_eq!(Door::Inside.keep(forged), BTreeMap::new());
    }
}
