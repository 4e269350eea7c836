//! The queues that have refused messages of this process because they are full. The messages wait in the outbox.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A refusal counts for this long: two claims of the sweep that publishes the message again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 100;

/// Refusals by the address of the message.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Whether there may be one: every confirmed message asks.
    any: AtomicBool,
    addresses: Mutex<BTreeMap<(String, String), Instant>>,
}

impl Refusals {
    /// Notes that a queue behind this exchange and routing key has refused a message.
    pub fn note(&self, exchange: &str, routing_key: &str, now: Instant) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let address = (exchange.to_owned(), routing_key.to_owned());
        if addresses.len() < ADDRESSES_MAX || addresses.contains_key(&address) {
            addresses.insert(address, now);
        }
        self.any.store(true, Ordering::Relaxed);
    }

    /// Notes that a message to this address was stored: no queue behind it is full.
    pub fn accepted(&self, exchange: &str, routing_key: &str) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.remove(&(exchange.to_owned(), routing_key.to_owned()));
        self.any.store(!addresses.is_empty(), Ordering::Relaxed);
    }

    /// The addresses that have refused a message lately, each as its exchange and routing key.
    pub fn recent(&self, now: Instant) -> Vec<String> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, at| now.duration_since(*at) < REFUSED_FOR);
        self.any.store(!addresses.is_empty(), Ordering::Relaxed);
        addresses.keys().map(|(exchange, key)| format!("exchange `{exchange}`, routing key `{key}`")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_until_a_message_is_stored_or_a_minute_is_over() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.accepted("events", "order.shipped");
        assert!(refusals.recent(now).is_empty());
        refusals.note("events", "order.shipped", now);
        refusals.note("commands", "start.order", now);
        refusals.accepted("commands", "start.order");
        assert_eq!(refusals.recent(now), ["exchange `events`, routing key `order.shipped`"]);
        assert!(refusals.recent(now + REFUSED_FOR).is_empty());
        (0..2 * ADDRESSES_MAX).for_each(|number| refusals.note("events", &number.to_string(), now));
        assert_eq!(refusals.recent(now).len(), ADDRESSES_MAX);
    }
}
