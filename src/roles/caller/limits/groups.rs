//! What one process knows of groups: calls of one target that want the same of it wait for the same tokens and the same room,
//! and nobody else waits for those. Pure: it is told the time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{FRESH_FOR, LimitKey, REMEMBERED_MAX, Reason, UNUSED_FOR, later};
use crate::limits::rate::Rate;

/// No group waits for longer before somebody looks at its rate again.
const LOOK_AFTER: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Default)]
pub(super) struct Groups(HashMap<(String, LimitKey), Group>);

#[derive(Default)]
struct Group {
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

impl Groups {
    fn group(&mut self, target: &str, limit_key: &LimitKey, now: Timestamp) -> &mut Group {
        let key = (target.to_owned(), limit_key.clone());
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, group| now.duration_since(group.used_at) < UNUSED_FOR);
            if self.0.len() >= REMEMBERED_MAX {
                // Bounded without bookkeeping: the rows know.
                self.0.clear();
            }
        }
        let group = self.0.entry(key).or_default();
        group.used_at = now;
        group
    }

    fn known(&mut self, target: &str, limit_key: &LimitKey) -> Option<&mut Group> {
        self.0.get_mut(&(target.to_owned(), limit_key.clone()))
    }

    pub(super) fn token(&mut self, target: &str, limit_key: &LimitKey, rate: &Rate, now: Timestamp) -> Token {
        let group = self.group(target, limit_key, now);
        let Some(lease) = &mut group.lease else { return Token::Lease(1) };
        lease.demand = lease.demand.saturating_add(1);
        if lease.tokens > 0 && lease.is_fresh(now) {
            lease.tokens -= 1;
            return Token::Taken;
        }
        if now < lease.next_at {
            return Token::NotBefore(lease.next_at);
        }
        if lease.tokens == 0 {
            group.opened = Some((lease.next_at, Reason::Rate));
        }
        Token::Lease(lease.demand.clamp(1, at_once(rate)))
    }

    /// `next_at`: when there is a token again, if nobody takes it.
    pub(super) fn leased(
        &mut self,
        target: &str,
        limit_key: &LimitKey,
        taken: u32,
        next_at: Timestamp,
        now: Timestamp,
    ) {
        let next_at = next_at.max(soon(now)).min(later(now, LOOK_AFTER));
        // The one that made it look asks again.
        self.group(target, limit_key, now).lease = Some(Lease { tokens: taken, leased_at: now, demand: 0, next_at });
    }

    /// Takes up room, as far as is known; when to come back if there is none.
    pub(super) fn enter(&mut self, target: &str, limit_key: &LimitKey, now: Timestamp) -> Option<Timestamp> {
        let others = limit_key.concurrency?.saturating_sub(1);
        let Group { gate, opened, .. } = self.group(target, limit_key, now);
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
    pub(super) fn leave(&mut self, target: &str, limit_key: &LimitKey) {
        if let Some(gate) = self.known(target, limit_key).and_then(|group| group.gate.as_mut()) {
            gate.room = gate.room.saturating_add(1);
        }
    }

    /// An attempt that was let through is not made: its token and its room go to the next.
    pub(super) fn unused(&mut self, target: &str, limit_key: &LimitKey) {
        self.leave(target, limit_key);
        if let Some(lease) = self.known(target, limit_key).and_then(|group| group.lease.as_mut()) {
            lease.tokens = lease.tokens.saturating_add(1);
        }
    }

    /// An attempt that was let through found no room.
    pub(super) fn refused(&mut self, target: &str, limit_key: &LimitKey, now: Timestamp) {
        self.unused(target, limit_key);
        self.group(target, limit_key, now).gate = Some(Gate { room: 0, until: soon(now), asking: false });
    }

    /// An attempt that was let through found room: if it was to find out, there may be more.
    pub(super) fn begun(&mut self, target: &str, limit_key: &LimitKey) {
        let Some(gate) = self.known(target, limit_key).and_then(|group| group.gate.as_mut()) else { return };
        if gate.asking {
            gate.asking = false;
            gate.room = limit_key.concurrency.unwrap_or(1).saturating_sub(1);
        }
    }

    /// An attempt with this key has ended: there is room for one that is counted with it.
    pub(super) fn left(&mut self, target: &str, key: Option<&str>, now: Timestamp) {
        for ((of, limit_key), group) in &mut self.0 {
            let Some(gate) = &mut group.gate else { continue };
            if of == target && (limit_key.key.is_none() || limit_key.key.as_deref() == key) {
                if gate.room == 0 {
                    group.opened = Some((now, Reason::Concurrency));
                }
                gate.room = gate.room.saturating_add(1).min(limit_key.concurrency.unwrap_or(1));
            }
        }
    }

    /// When a group last opened, and why it was closed before.
    pub(super) fn opened(&mut self, target: &str, limit_key: &LimitKey) -> Option<(Timestamp, Reason)> {
        self.known(target, limit_key)?.opened
    }

    /// Of groups that are not open to all: target, group, and how many may be claimed.
    pub(super) fn rooms(&self, now: Timestamp) -> Vec<(String, i64, u32)> {
        let room = |((target, limit_key), group): (&(String, LimitKey), &Group)| {
            Some((target.clone(), limit_key.group, group.room(limit_key, now)?))
        };
        self.0.iter().filter_map(room).collect()
    }

    /// When one that is closed opens.
    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let opens = |((_, limit_key), group): (&(String, LimitKey), &Group)| {
            let lease =
                group.lease.as_ref().filter(|_| group.tokens(limit_key, now) == Some(0)).map(|lease| lease.next_at);
            let gate = group.gate.as_ref().filter(|gate| gate.room == 0).map(|gate| gate.until);
            lease.into_iter().chain(gate).filter(|at| *at > now).max()
        };
        self.0.iter().filter_map(opens).min()
    }
}

impl Group {
    fn room(&self, limit_key: &LimitKey, now: Timestamp) -> Option<u32> {
        let of_gate = |gate: &Gate| match (now < gate.until, gate.room) {
            (true, room) => Some(room),
            (false, 0) => Some(1),
            (false, _) => limit_key.concurrency,
        };
        self.tokens(limit_key, now).into_iter().chain(self.gate.as_ref().and_then(of_gate)).min()
    }

    /// Tokens at hand, or that may be when it is time to lease some.
    fn tokens(&self, limit_key: &LimitKey, now: Timestamp) -> Option<u32> {
        let (lease, rate) = (self.lease.as_ref()?, limit_key.rate.as_ref()?);
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
