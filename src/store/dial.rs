//! Opens connections to the database. Its hosts are tried in turn, each within its share of the time, TLS and authentication
//! included: a host that swallows packets or is frozen must not take the time of the one that answers.

mod host;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::result::ConnectionResult;
use diesel_async::AsyncPgConnection;
use tokio::time::timeout;
use tokio_postgres::config::Host;

use super::address::Address;
use super::pulse::Pulse;
use crate::link::Protection;
use crate::time::duration;
pub(super) use host::{Look, Origin, look};
use host::{Reached, reach};

/// Time limit to open a connection, shared by the hosts.
pub(super) const DIAL_MAX: Duration = Duration::from_secs(5);
/// One of several hosts that did not answer the last time gets no more: a server that is well answers in milliseconds. Every other
/// time it gets its whole share again, because it may only be slow.
const SUSPECT_FOR: Duration = Duration::from_secs(1);

/// A new connection.
pub(super) struct Dialed {
    pub(super) inner: AsyncPgConnection,
    pub(super) pulse: Arc<Pulse>,
    /// The time limit of a statement, as the server has it; zero if there is none.
    pub(super) statement_timeout: Duration,
}

/// Opens connections, and remembers which host answered.
#[derive(Default)]
pub(super) struct Dialer(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// The host that answered last: it is tried first.
    preferred: usize,
    /// Hosts that did not answer the last time.
    suspects: BTreeSet<usize>,
    /// The server of the newest connection.
    pulse: Option<Arc<Pulse>>,
    protection: Option<Protection>,
}

impl Dialer {
    /// Opens a connection to the first host that answers and takes writes. The transaction that `begin` opens is left to the caller:
    /// diesel-async prepares statements as soon as it has a connection, and those of the caller follow; behind a pooler all of them
    /// must reach the server on which they were prepared.
    ///
    /// # Errors
    /// One sentence for each host.
    pub(super) async fn dial(&self, url: &str, begin: &str) -> ConnectionResult<Dialed> {
        let address = Address::read(url).map_err(diesel::ConnectionError::BadConnection)?;
        let mut problems = Vec::new();
        for number in self.order(address.count()) {
            let (place, share) = (address.place(number), self.share(&address, number));
            // In a box: a connection is opened rarely, and waited for in every future that may need one.
            let Ok(answer) = timeout(share, Box::pin(reach(&address, number, share, begin))).await else {
                self.with(|memory| memory.suspects.remove(&number) || memory.suspects.insert(number));
                problems.push(format!("{place}: no answer within {}", duration::format(share)));
                continue;
            };
            match answer {
                Ok(reached) => return Ok(self.remember(reached, url, number, place, &address)),
                Err(problem) => problems.push(format!("{place}: {problem}")),
            }
        }
        Err(diesel::ConnectionError::BadConnection(problems.join("; ")))
    }

    /// How the newest connection is protected.
    pub(super) fn protection(&self) -> Option<Protection> {
        self.with(|memory| memory.protection.clone())
    }

    /// The host that answered last comes first, those that did not answer come last.
    fn order(&self, count: usize) -> Vec<usize> {
        self.with(|memory| {
            if let Some(pulse) = memory.pulse.take_if(|pulse| pulse.is_lost()) {
                memory.suspects.insert(pulse.host());
            }
            let first = memory.preferred.min(count.saturating_sub(1));
            let turn = (0..count).map(|number| (first + number) % count);
            let (last, mut order): (Vec<_>, Vec<_>) = turn.partition(|number| memory.suspects.contains(number));
            order.extend(last);
            order
        })
    }

    /// The time limit of one host.
    fn share(&self, address: &Address, number: usize) -> Duration {
        let count = u32::try_from(address.count()).unwrap_or(1).max(1);
        let share = DIAL_MAX / count;
        let share = address.connect_timeout().map_or(share, |limit| share.min(limit));
        let is_suspect = count > 1 && self.with(|memory| memory.suspects.contains(&number));
        if is_suspect { share.min(SUSPECT_FOR) } else { share }
    }

    fn remember(&self, reached: Reached, url: &str, number: usize, place: String, address: &Address) -> Dialed {
        let Reached { inner, known, ip, check } = reached;
        let pulse = self.with(|memory| {
            memory.preferred = number;
            memory.suspects.remove(&number);
            let is_local = match address.host(number) {
                Some(Host::Tcp(name)) => crate::link::address::is_local(name),
                Some(Host::Unix(_)) => true,
                None => address.given_address(number).is_some_and(|address| address.is_loopback()),
            };
            memory.protection = Some(Protection { place: place.clone(), is_local, check });
            let known_server = memory.pulse.clone().filter(|pulse| pulse.is_of(&known.server) && !pulse.is_lost());
            let pulse = known_server.unwrap_or_else(|| {
                Arc::new(Pulse::new(Origin { url: url.to_owned(), host: number, ip }, place, known.server))
            });
            pulse.heard();
            memory.pulse = Some(pulse.clone());
            pulse
        });
        Dialed { inner, pulse, statement_timeout: known.statement_timeout }
    }

    fn with<T>(&self, access: impl FnOnce(&mut Memory) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(hosts: &str, query: &str) -> Address {
        Address::read(&format!("postgres://{hosts}/db?{query}")).unwrap()
    }

    #[test]
    fn hosts_share_the_time() {
        let dialer = Dialer::default();
        assert_eq!(dialer.share(&address("a", ""), 0), DIAL_MAX);
        assert_eq!(dialer.share(&address("a,b", ""), 0), DIAL_MAX / 2);
        assert_eq!(dialer.share(&address("a,b,c,d", "connect_timeout=1"), 3), Duration::from_secs(1));
        dialer.with(|memory| memory.suspects.insert(0));
        assert_eq!(dialer.share(&address("a,b", ""), 0), SUSPECT_FOR);
        assert_eq!(dialer.share(&address("a,b", ""), 1), DIAL_MAX / 2);
        assert_eq!(dialer.share(&address("a", ""), 0), DIAL_MAX, "there is no other to try");
    }

    #[test]
    fn the_host_that_answered_is_tried_first_and_a_silent_one_last() {
        let dialer = Dialer::default();
        assert_eq!(dialer.order(3), [0, 1, 2]);
        dialer.with(|memory| memory.preferred = 1);
        assert_eq!(dialer.order(3), [1, 2, 0]);
        dialer.with(|memory| memory.suspects.insert(1));
        assert_eq!(dialer.order(3), [2, 0, 1]);
        assert_eq!(dialer.order(1), [0]);
    }
}
