//! What one process knows of queues: calls of one target that want the same of it wait for the same tokens and the same room,
//! and nobody else waits for those. Pure: it is told the time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{FRESH_FOR, REMEMBERED_MAX, Reason, UNUSED_FOR, Wanted, later};
use crate::resilience::rate::Rate;

/// No queue waits for longer before somebody looks at its rate again.
const LOOK_AFTER: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Default)]
pub(super) struct Queues(HashMap<(String, Wanted), Queue>);

#[derive(Default)]
struct Queue {
    lease: Option<Lease>,
    gate: Option<Gate>,
    /// When it last opened after it had been closed, and why it was: what was due before has waited.
    opened: Option<(Timestamp, Reason)>,
    used_at: Timestamp,
}

struct Lease {
    tokens: u32,
    leased_at: Timestamp,
    /// Attempts that have asked since.
    demand: u32,
    /// Nothing is leased before.
    next_at: Timestamp,
}

/// Attempts that are tried where so many may be under way. Whether they are is counted by whoever begins one; this keeps those
/// from trying who would find no room.
struct Gate {
    /// Until then no more than these, and as many as have ended.
    room: u32,
    /// Then one finds out whether others have ended elsewhere.
    until: Timestamp,
    /// It does.
    asking: bool,
}

/// What is known of tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Taken,
    NotBefore(Timestamp),
    /// So many are to be leased.
    Lease(u32),
}

impl Queues {
    fn queue(&mut self, target: &str, wanted: &Wanted, now: Timestamp) -> &mut Queue {
        let key = (target.to_owned(), wanted.clone());
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, queue| now.duration_since(queue.used_at) < UNUSED_FOR);
            if self.0.len() >= REMEMBERED_MAX {
                // Bounded without bookkeeping: the rows know.
                self.0.clear();
            }
        }
        let queue = self.0.entry(key).or_default();
        queue.used_at = now;
        queue
    }

    fn known(&mut self, target: &str, wanted: &Wanted) -> Option<&mut Queue> {
        self.0.get_mut(&(target.to_owned(), wanted.clone()))
    }

    pub(super) fn token(&mut self, target: &str, wanted: &Wanted, rate: &Rate, now: Timestamp) -> Token {
        let queue = self.queue(target, wanted, now);
        let Some(lease) = &mut queue.lease else { return Token::Lease(1) };
        lease.demand = lease.demand.saturating_add(1);
        if lease.tokens > 0 && lease.is_fresh(now) {
            lease.tokens -= 1;
            return Token::Taken;
        }
        if now < lease.next_at {
            return Token::NotBefore(lease.next_at);
        }
        if lease.tokens == 0 {
            queue.opened = Some((lease.next_at, Reason::Rate));
        }
        Token::Lease(lease.demand.clamp(1, at_once(rate)))
    }

    /// `next_at`: when there is a token again, if nobody takes it.
    pub(super) fn leased(&mut self, target: &str, wanted: &Wanted, taken: u32, next_at: Timestamp, now: Timestamp) {
        let next_at = next_at.max(soon(now)).min(later(now, LOOK_AFTER));
        // The one that made it look asks again.
        self.queue(target, wanted, now).lease = Some(Lease { tokens: taken, leased_at: now, demand: 0, next_at });
    }

    /// Takes up room, as far as is known; when to come back if there is none.
    pub(super) fn enter(&mut self, target: &str, wanted: &Wanted, now: Timestamp) -> Option<Timestamp> {
        let others = wanted.concurrency?.saturating_sub(1);
        let Queue { gate, opened, .. } = self.queue(target, wanted, now);
        match gate {
            Some(Gate { room: 0, until, .. }) if now < *until => return Some(*until),
            Some(Gate { room, until, .. }) if now < *until => *room -= 1,
            Some(Gate { room: 0, until, .. }) => {
                *opened = Some((*until, Reason::Concurrency));
                *gate = Some(Gate { room: 0, until: soon(now), asking: true });
            }
            // There is room: nobody took what was left for all that time.
            Some(Gate { .. }) | None => *gate = Some(Gate { room: others, until: soon(now), asking: false }),
        }
        None
    }

    /// Gives that room back.
    pub(super) fn leave(&mut self, target: &str, wanted: &Wanted) {
        if let Some(gate) = self.known(target, wanted).and_then(|queue| queue.gate.as_mut()) {
            gate.room = gate.room.saturating_add(1);
        }
    }

    /// An attempt that was let through is not made: its token and its room go to the next.
    pub(super) fn unused(&mut self, target: &str, wanted: &Wanted) {
        self.leave(target, wanted);
        if let Some(lease) = self.known(target, wanted).and_then(|queue| queue.lease.as_mut()) {
            lease.tokens = lease.tokens.saturating_add(1);
        }
    }

    /// An attempt that was let through found no room.
    pub(super) fn refused(&mut self, target: &str, wanted: &Wanted, now: Timestamp) {
        self.unused(target, wanted);
        self.queue(target, wanted, now).gate = Some(Gate { room: 0, until: soon(now), asking: false });
    }

    /// An attempt that was let through found room: if it was to find out, there may be more.
    pub(super) fn begun(&mut self, target: &str, wanted: &Wanted) {
        let Some(gate) = self.known(target, wanted).and_then(|queue| queue.gate.as_mut()) else { return };
        if gate.asking {
            gate.asking = false;
            gate.room = wanted.concurrency.unwrap_or(1).saturating_sub(1);
        }
    }

    /// An attempt with this key has ended: there is room for one that is counted with it.
    pub(super) fn left(&mut self, target: &str, key: Option<&str>, now: Timestamp) {
        for ((of, wanted), queue) in &mut self.0 {
            let Some(gate) = &mut queue.gate else { continue };
            if of == target && (wanted.key.is_none() || wanted.key.as_deref() == key) {
                if gate.room == 0 {
                    queue.opened = Some((now, Reason::Concurrency));
                }
                gate.room = gate.room.saturating_add(1).min(wanted.concurrency.unwrap_or(1));
            }
        }
    }

    /// When a queue last opened, and why it was closed before.
    pub(super) fn opened(&mut self, target: &str, wanted: &Wanted) -> Option<(Timestamp, Reason)> {
        self.known(target, wanted)?.opened
    }

    /// Of queues that are not open to all: target, queue, and how many may be claimed.
    pub(super) fn rooms(&self, now: Timestamp) -> Vec<(String, i64, u32)> {
        let room = |((target, wanted), queue): (&(String, Wanted), &Queue)| {
            Some((target.clone(), wanted.queue, queue.room(wanted, now)?))
        };
        self.0.iter().filter_map(room).collect()
    }

    /// When one that is closed opens.
    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let opens = |((_, wanted), queue): (&(String, Wanted), &Queue)| {
            let lease =
                queue.lease.as_ref().filter(|_| queue.tokens(wanted, now) == Some(0)).map(|lease| lease.next_at);
            let gate = queue.gate.as_ref().filter(|gate| gate.room == 0).map(|gate| gate.until);
            lease.into_iter().chain(gate).filter(|at| *at > now).max()
        };
        self.0.iter().filter_map(opens).min()
    }
}

impl Queue {
    fn room(&self, wanted: &Wanted, now: Timestamp) -> Option<u32> {
        let of_gate = |gate: &Gate| match (now < gate.until, gate.room) {
            (true, room) => Some(room),
            (false, 0) => Some(1),
            (false, _) => wanted.concurrency,
        };
        self.tokens(wanted, now).into_iter().chain(self.gate.as_ref().and_then(of_gate)).min()
    }

    /// Tokens at hand, or that may be when it is time to lease some.
    fn tokens(&self, wanted: &Wanted, now: Timestamp) -> Option<u32> {
        let (lease, rate) = (self.lease.as_ref()?, wanted.rate.as_ref()?);
        match (lease.is_fresh(now), now < lease.next_at) {
            (true, _) => Some(lease.tokens),
            (false, true) => Some(0),
            (false, false) => Some(at_once(rate)),
        }
    }
}

impl Lease {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.leased_at) < FRESH_FOR
    }
}

fn at_once(rate: &Rate) -> u32 {
    rate.at_once_max().ceil() as u32
}

fn soon(now: Timestamp) -> Timestamp {
    now.checked_add(FRESH_FOR).unwrap_or(now)
}

#[cfg(test)]
mod tests;
