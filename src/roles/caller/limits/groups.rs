//! What one process knows of limit groups: calls to one target with the same limits share tokens and room, and delay no other
//! calls. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{FRESH_FOR, LimitKey, REMEMBERED_MAX, Reason, UNUSED_FOR, later};
use crate::limits::rate::Rate;

/// The longest wait of a group before its rate is read again.
const READ_AFTER: Duration = Duration::from_secs(300);

/// The limit groups this process knows.
#[derive(Default)]
pub(super) struct Groups(HashMap<(String, LimitKey), Group>);

#[derive(Default)]
struct Group {
    lease: Option<Lease>,
    gate: Option<Gate>,
    /// When the group last opened, and why it was closed: calls that were due before have waited.
    opened: Option<(Timestamp, Reason)>,
    used_at: Timestamp,
}

struct Lease {
    tokens: u32,
    leased_at: Timestamp,
    /// Attempts that wanted a token since.
    demand: u32,
    /// The earliest time of the next lease.
    next_at: Timestamp,
}

/// Keeps attempts from trying where the concurrency is probably reached. The transaction that begins an attempt counts exactly.
struct Gate {
    /// Attempts that may try until `until`; grows with each attempt that ends in this process.
    room: u32,
    /// When one attempt may find out whether others have ended elsewhere.
    until: Timestamp,
    /// That attempt is under way.
    probing: bool,
}

/// The answer to an attempt that wants a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenAnswer {
    Taken,
    NotBefore(Timestamp),
    /// This many must be leased first.
    Lease(u32),
}

impl Groups {
    fn group(&mut self, target: &str, limit_key: &LimitKey, now: Timestamp) -> &mut Group {
        let key = (target.to_owned(), limit_key.clone());
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, group| now.duration_since(group.used_at) < UNUSED_FOR);
            if self.0.len() >= REMEMBERED_MAX {
                // A bound without bookkeeping: everything can be read from the rows again.
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

    pub(super) fn token(&mut self, target: &str, limit_key: &LimitKey, rate: &Rate, now: Timestamp) -> TokenAnswer {
        let group = self.group(target, limit_key, now);
        let Some(lease) = &mut group.lease else { return TokenAnswer::Lease(1) };
        lease.demand = lease.demand.saturating_add(1);
        if lease.tokens > 0 && lease.is_fresh(now) {
            lease.tokens -= 1;
            return TokenAnswer::Taken;
        }
        if now < lease.next_at {
            return TokenAnswer::NotBefore(lease.next_at);
        }
        if lease.tokens == 0 {
            group.opened = Some((lease.next_at, Reason::Rate));
        }
        TokenAnswer::Lease(lease.demand.clamp(1, at_once(rate)))
    }

    /// Records a lease. `next_at` is when the bucket has the next token, if no other process takes it.
    pub(super) fn leased(
        &mut self,
        target: &str,
        limit_key: &LimitKey,
        taken: u32,
        next_at: Timestamp,
        now: Timestamp,
    ) {
        let next_at = next_at.max(soon(now)).min(later(now, READ_AFTER));
        // The attempt that caused the lease asks again, so the demand begins at zero.
        self.group(target, limit_key, now).lease = Some(Lease { tokens: taken, leased_at: now, demand: 0, next_at });
    }

    /// Takes room, as far as is known. Returns when to retry if there is none.
    pub(super) fn enter(&mut self, target: &str, limit_key: &LimitKey, now: Timestamp) -> Option<Timestamp> {
        let others = limit_key.concurrency?.saturating_sub(1);
        let Group { gate, opened, .. } = self.group(target, limit_key, now);
        match gate {
            Some(Gate { room: 0, until, .. }) if now < *until => return Some(*until),
            Some(Gate { room, until, .. }) if now < *until => *room -= 1,
            Some(Gate { room: 0, until, .. }) => {
                *opened = Some((*until, Reason::Concurrency));
                *gate = Some(Gate { room: 0, until: soon(now), probing: true });
            }
            // The room was not used up, so all of it may be free.
            Some(Gate { .. }) | None => *gate = Some(Gate { room: others, until: soon(now), probing: false }),
        }
        None
    }

    /// Gives the room back.
    pub(super) fn leave(&mut self, target: &str, limit_key: &LimitKey) {
        if let Some(gate) = self.known(target, limit_key).and_then(|group| group.gate.as_mut()) {
            gate.room = gate.room.saturating_add(1);
        }
    }

    /// An admitted attempt is not made: its token and its room go to the next one.
    pub(super) fn unused(&mut self, target: &str, limit_key: &LimitKey) {
        self.leave(target, limit_key);
        if let Some(lease) = self.known(target, limit_key).and_then(|group| group.lease.as_mut()) {
            lease.tokens = lease.tokens.saturating_add(1);
        }
    }

    /// An admitted attempt found that the concurrency was reached.
    pub(super) fn refused(&mut self, target: &str, limit_key: &LimitKey, now: Timestamp) {
        self.unused(target, limit_key);
        self.group(target, limit_key, now).gate = Some(Gate { room: 0, until: soon(now), probing: false });
    }

    /// An admitted attempt has begun. If it was the one to find out, there may be more room.
    pub(super) fn begun(&mut self, target: &str, limit_key: &LimitKey) {
        let Some(gate) = self.known(target, limit_key).and_then(|group| group.gate.as_mut()) else { return };
        if gate.probing {
            gate.probing = false;
            gate.room = limit_key.concurrency.unwrap_or(1).saturating_sub(1);
        }
    }

    /// An attempt with this key has ended, so there is room for one more that is counted with it.
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

    /// When a group last opened, and why it was closed.
    pub(super) fn opened(&mut self, target: &str, limit_key: &LimitKey) -> Option<(Timestamp, Reason)> {
        self.known(target, limit_key)?.opened
    }

    /// The groups with limited room: target, group, and how many calls may be claimed.
    pub(super) fn rooms(&self, now: Timestamp) -> Vec<(String, i64, u32)> {
        let room = |((target, limit_key), group): (&(String, LimitKey), &Group)| {
            Some((target.clone(), limit_key.group, group.room(limit_key, now)?))
        };
        self.0.iter().filter_map(room).collect()
    }

    /// When the next closed group opens.
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

    /// Leased tokens, or those that a lease may bring if one is due.
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
