//! Whether an attempt may begin: breaker, rate and concurrency of its target, for all processes together.
//!
//! What was learned in the last second is known here without asking; once a second, and whenever a breaker may change, the
//! row of the target is looked at. So nothing waits in memory, and no row is written for every attempt.

mod groups;
mod known;
mod limit_key;
mod permit;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::limits::breaker::{Policy, State, Verdict};
use crate::store::targets::{self, TargetState};
use crate::store::{self};
use groups::{Groups, Token};
use known::{Asked, Known, Seen};

pub use limit_key::{LimitKey, Outcome};
pub use permit::{Admitted, Permit, Reason};

/// What was learned counts for this long; also how often one process leases tokens of one rate.
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(1);
/// Targets, and groups, remembered; those that were not used lately are forgotten first.
const REMEMBERED_MAX: usize = 10_000;
/// Lately.
const UNUSED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// What the targets of workers begin with: a worker that is away leaves its group alone by itself.
const WORK: &str = "work:";

/// The limits as this process knows them. Clones share that.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    app: App,
    policy: Policy,
    known: Mutex<Known>,
    groups: Mutex<Groups>,
}

impl Limits {
    /// Knows nothing yet.
    pub fn new(app: &App) -> Self {
        let policy = app.config.breaker.policy();
        let (known, groups) = (Mutex::new(Known::new(policy)), Mutex::default());
        Self(Arc::new(Inner { app: app.clone(), policy, known, groups }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_queues<T>(&self, act: impl FnOnce(&mut Groups) -> T) -> T {
        act(&mut self.0.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Timestamp {
        self.0.app.clock.now()
    }

    /// Whether an attempt may begin, as far as is known here. Whoever is let through begins it and says what came of it
    /// ([`Limits::observe`]), or says why not ([`Limits::refused`], [`Limits::unused`]); concurrency is counted in the
    /// transaction that begins it ([`targets::has_room`]).
    pub async fn admit(&self, target: &str, limit_key: &LimitKey) -> Result<Admitted, store::Error> {
        let refused = match self.pass_breaker(target).await? {
            Some(until) => (until, Reason::Breaker),
            None => {
                let permit = Permit {
                    target: target.to_owned(),
                    limit_key: limit_key.clone(),
                    began_at: self.now(),
                    opened: None,
                };
                match self.pass_queue(&permit).await {
                    Ok(None) => {
                        let opened = self.with_queues(|groups| groups.opened(target, limit_key));
                        return Ok(Admitted::Go(Permit { opened, ..permit }));
                    }
                    Ok(Some(refused)) => {
                        self.look_again(&permit, Outcome::Nothing).await;
                        refused
                    }
                    Err(error) => {
                        self.look_again(&permit, Outcome::Nothing).await;
                        return Err(error);
                    }
                }
            }
        };
        Ok(Admitted::NotBefore(refused.0, refused.1))
    }

    /// An attempt that was let through found no room. Its token goes to the next, and nobody of its group tries for a while.
    pub async fn refused(&self, permit: &Permit) {
        let now = self.now();
        self.with_queues(|groups| groups.refused(&permit.target, &permit.limit_key, now));
        self.look_again(permit, Outcome::Nothing).await;
    }

    /// An attempt that was let through is no longer to be made.
    pub async fn unused(&self, permit: &Permit) {
        self.with_queues(|groups| groups.unused(&permit.target, &permit.limit_key));
        self.look_again(permit, Outcome::Nothing).await;
    }

    /// An attempt that was let through found room.
    pub fn begun(&self, permit: &Permit) {
        self.with_queues(|groups| groups.begun(&permit.target, &permit.limit_key));
    }

    /// How many calls may be claimed of targets that are not open to all: none of one whose breaker is open, one to ask
    /// whether it is back.
    pub fn narrow(&self) -> Vec<(String, u32)> {
        let now = self.now();
        self.with(|known| known.narrow(now))
    }

    /// How many calls may be claimed of groups that wait for tokens, or for others to end: target, group, and so many.
    pub fn rooms(&self) -> Vec<(String, i64, u32)> {
        let now = self.now();
        self.with_queues(|groups| groups.rooms(now))
    }

    /// When one of those opens.
    pub fn next_at(&self) -> Option<Timestamp> {
        let now = self.now();
        let breaker = self.with(|known| known.next_at(now));
        breaker.into_iter().chain(self.with_queues(|groups| groups.next_at(now))).min()
    }

    /// Takes in how an attempt went. Others hear of it within a second; of what changes a breaker, at once.
    pub async fn observe(&self, permit: &Permit, outcome: Outcome) {
        let now = self.now();
        self.with_queues(|groups| groups.left(&permit.target, permit.limit_key.key.as_deref(), now));
        self.look_again(permit, outcome).await;
    }

    async fn look_again(&self, permit: &Permit, outcome: Outcome) {
        let now = self.now();
        let seen = Seen { outcome, began_at: permit.began_at };
        if permit.target.starts_with(WORK) || !self.with(|known| known.observe(&permit.target, seen, now)) {
            return;
        }
        if let Err(error) = self.look(&permit.target, |_, _| ()).await {
            // It is kept, and told with the next.
            tracing::debug!(%error, "what became of an attempt could not be told to other processes");
        }
    }

    /// When to come back; `None` if the breaker lets the attempt through.
    async fn pass_breaker(&self, target: &str) -> Result<Option<Timestamp>, store::Error> {
        if target.starts_with(WORK) {
            return Ok(None);
        }
        let now = self.now();
        let policy = self.0.policy;
        let until = match self.with(|known| known.ask(target, now)) {
            Asked::Go => None,
            Asked::NotBefore(until) => Some(until),
            Asked::Look => {
                let probe = move |standing: &mut TargetState, now: Timestamp| match standing.breaker.ask(now) {
                    Verdict::Go => None,
                    Verdict::NotBefore(until) => Some(until),
                    Verdict::Probe => {
                        standing.breaker.probe(&policy, now);
                        None
                    }
                };
                self.look(target, probe).await?
            }
        };
        Ok(until.map(|until| self.with(|known| known.spread(target, until, fastrand::f64()))))
    }

    /// Tells the target's row what was observed here, learns what others have, and does one more thing there.
    async fn look<T: Send>(
        &self,
        target: &str,
        act: impl FnOnce(&mut TargetState, Timestamp) -> T + Send,
    ) -> Result<T, store::Error> {
        let policy = self.0.policy;
        let unsent = self.with(|known| known.take_unsent(target));
        let told = async {
            let mut conn = self.0.app.store.background().await?;
            targets::change(&mut conn, target, "", |standing, now| {
                let before = standing.breaker.state;
                unsent.iter().for_each(|seen| take_in(standing, seen, &policy, now));
                let after = standing.breaker.state;
                (before, after, act(standing, now))
            })
            .await
        };
        match told.await {
            Ok(((before, after, said), standing, now)) => {
                // Whoever is let through now begins, by this clock too, no earlier than the row says it was.
                self.0.app.clock.observe(now);
                report(target, before, after, standing.last_failure.as_deref());
                self.with(|known| known.learned(target, standing.breaker, now));
                Ok(said)
            }
            Err(error) => {
                self.with(|known| known.give_back(target, unsent));
                Err(error)
            }
        }
    }

    /// When to come back, and why; `None` if there may be room, and was a token.
    async fn pass_queue(&self, permit: &Permit) -> Result<Option<(Timestamp, Reason)>, store::Error> {
        let Permit { target, limit_key, began_at: now, .. } = permit;
        if let Some(until) = self.with_queues(|groups| groups.enter(target, limit_key, *now)) {
            return Ok(Some((until, Reason::Concurrency)));
        }
        let passed = self.pass_rate(target, limit_key).await;
        if !matches!(passed, Ok(None)) {
            self.with_queues(|groups| groups.leave(target, limit_key));
        }
        Ok(passed?.map(|until| (until, Reason::Rate)))
    }

    /// When to come back; `None` if there was a token.
    async fn pass_rate(&self, target: &str, limit_key: &LimitKey) -> Result<Option<Timestamp>, store::Error> {
        let key = limit_key.key.as_deref().unwrap_or_default();
        let Some(rate) = limit_key.rate else { return Ok(None) };
        let ask = |now| self.with_queues(|groups| groups.token(target, limit_key, &rate, now));
        let lease = match ask(self.now()) {
            Token::Taken => return Ok(None),
            Token::NotBefore(at) => return Ok(Some(at)),
            Token::Lease(limit_key) => limit_key,
        };
        let concurrency = limit_key.concurrency;
        let take = move |standing: &mut TargetState, now: Timestamp| {
            standing.rate = Some(rate);
            standing.concurrency = concurrency;
            let bucket = standing.buckets.of(&rate, now);
            (bucket.take(&rate, lease, now), bucket.next_at(&rate))
        };
        let mut conn = self.0.app.store.background().await?;
        let ((taken, next_at), _, now) = targets::change(&mut conn, target, key, take).await?;
        drop(conn);
        Ok(self.with_queues(|groups| {
            groups.leased(target, limit_key, taken, next_at, now);
            match groups.token(target, limit_key, &rate, now) {
                Token::Taken => None,
                Token::NotBefore(at) => Some(at),
                // None of the tokens was left, and this is not asked again at once.
                Token::Lease(_) => Some(later(now, rate.pace())),
            }
        }))
    }
}

fn take_in(standing: &mut TargetState, seen: &Seen, policy: &Policy, now: Timestamp) {
    known::take_in(&mut standing.breaker, seen, policy, now);
    if let Outcome::Failed(code) = &seen.outcome {
        standing.last_failure = Some(code.clone());
        standing.failed_at = Some(now);
    }
}

/// Logs what changed, once: where it was changed.
fn report(target: &str, before: State, after: State, failure: Option<&str>) {
    match (before, after) {
        (State::Closed, State::Open { until }) => tracing::warn!(
            place = target, failure, %until, "a target fails too often and is left alone; `leveret target list` shows it"
        ),
        (State::Open { .. } | State::HalfOpen { .. }, State::Closed) => {
            tracing::info!(place = target, "a target answers again");
        }
        (State::Closed, State::Closed | State::HalfOpen { .. })
        | (State::Open { .. } | State::HalfOpen { .. }, State::Open { .. } | State::HalfOpen { .. }) => {}
    }
}

fn later(moment: Timestamp, time: Duration) -> Timestamp {
    SignedDuration::try_from(time).ok().and_then(|time| moment.checked_add(time).ok()).unwrap_or(Timestamp::MAX)
}
