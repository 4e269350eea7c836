//! Whether an attempt may begin: breaker, rate and concurrency of its target, for all processes together.
//!
//! What was learned in the last second is known here without asking; once a second, and whenever a breaker may change, the
//! row of the target is looked at. So nothing waits in memory, and no row is written for every attempt.

mod known;
mod pass;
mod queues;
mod wanted;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::resilience::breaker::{Policy, State, Verdict};
use crate::store::targets::{self, Standing};
use crate::store::{self};
use known::{Asked, Known, Seen};
use queues::{Queues, Token};

pub use pass::{Admitted, Pass, Reason};
pub use wanted::{Outcome, Wanted};

/// What was learned counts for this long; also how often one process leases tokens of one rate.
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(1);
/// Targets, and queues, remembered; those that were not used lately are forgotten first.
const REMEMBERED_MAX: usize = 10_000;
/// Lately.
const UNUSED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// What the targets of workers begin with: a worker that is away leaves its queue alone by itself.
const WORK: &str = "work:";

/// The limits as this process knows them. Clones share that.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    app: App,
    policy: Policy,
    known: Mutex<Known>,
    queues: Mutex<Queues>,
}

impl Limits {
    /// Knows nothing yet.
    pub fn new(app: &App) -> Self {
        let policy = app.config.breaker.policy();
        let (known, queues) = (Mutex::new(Known::new(policy)), Mutex::default());
        Self(Arc::new(Inner { app: app.clone(), policy, known, queues }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_queues<T>(&self, act: impl FnOnce(&mut Queues) -> T) -> T {
        act(&mut self.0.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Timestamp {
        self.0.app.clock.now()
    }

    /// Whether an attempt may begin, as far as is known here. Whoever is let through begins it and says what came of it
    /// ([`Limits::observe`]), or says why not ([`Limits::refused`], [`Limits::unused`]); concurrency is counted in the
    /// transaction that begins it ([`targets::has_room`]).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn admit(&self, target: &str, wanted: &Wanted) -> Result<Admitted, store::Error> {
        let refused = match self.pass_breaker(target).await? {
            Some(until) => (until, Reason::Breaker),
            None => {
                let pass =
                    Pass { target: target.to_owned(), wanted: wanted.clone(), began_at: self.now(), opened: None };
                match self.pass_queue(&pass).await {
                    Ok(None) => {
                        let opened = self.with_queues(|queues| queues.opened(target, wanted));
                        return Ok(Admitted::Go(Pass { opened, ..pass }));
                    }
                    Ok(Some(refused)) => {
                        self.look_again(&pass, Outcome::Nothing).await;
                        refused
                    }
                    Err(error) => {
                        self.look_again(&pass, Outcome::Nothing).await;
                        return Err(error);
                    }
                }
            }
        };
        Ok(Admitted::NotBefore(refused.0, refused.1))
    }

    /// An attempt that was let through found no room. Its token goes to the next, and nobody of its queue tries for a while.
    pub async fn refused(&self, pass: &Pass) {
        let now = self.now();
        self.with_queues(|queues| queues.refused(&pass.target, &pass.wanted, now));
        self.look_again(pass, Outcome::Nothing).await;
    }

    /// An attempt that was let through is no longer to be made.
    pub async fn unused(&self, pass: &Pass) {
        self.with_queues(|queues| queues.unused(&pass.target, &pass.wanted));
        self.look_again(pass, Outcome::Nothing).await;
    }

    /// An attempt that was let through found room.
    pub fn begun(&self, pass: &Pass) {
        self.with_queues(|queues| queues.begun(&pass.target, &pass.wanted));
    }

    /// How many calls may be claimed of targets that are not open to all: none of one whose breaker is open, one to ask
    /// whether it is back.
    pub fn narrow(&self) -> Vec<(String, u32)> {
        let now = self.now();
        self.with(|known| known.narrow(now))
    }

    /// How many calls may be claimed of queues that wait for tokens, or for others to end: target, queue, and so many.
    pub fn rooms(&self) -> Vec<(String, i64, u32)> {
        let now = self.now();
        self.with_queues(|queues| queues.rooms(now))
    }

    /// When one of those opens.
    pub fn next_at(&self) -> Option<Timestamp> {
        let now = self.now();
        let breaker = self.with(|known| known.next_at(now));
        breaker.into_iter().chain(self.with_queues(|queues| queues.next_at(now))).min()
    }

    /// Takes in how an attempt went. Others hear of it within a second; of what changes a breaker, at once.
    pub async fn observe(&self, pass: &Pass, outcome: Outcome) {
        let now = self.now();
        self.with_queues(|queues| queues.left(&pass.target, pass.wanted.key.as_deref(), now));
        self.look_again(pass, outcome).await;
    }

    async fn look_again(&self, pass: &Pass, outcome: Outcome) {
        let now = self.now();
        let seen = Seen { outcome, began_at: pass.began_at };
        if pass.target.starts_with(WORK) || !self.with(|known| known.observe(&pass.target, seen, now)) {
            return;
        }
        if let Err(error) = self.look(&pass.target, |_, _| ()).await {
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
                let probe = move |standing: &mut Standing, now: Timestamp| match standing.breaker.ask(now) {
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
        act: impl FnOnce(&mut Standing, Timestamp) -> T + Send,
    ) -> Result<T, store::Error> {
        let policy = self.0.policy;
        let unsent = self.with(|known| known.take_unsent(target));
        let told = async {
            let mut conn = self.0.app.store.duties().await?;
            targets::change(&mut conn, (target, ""), |standing, now| {
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
    async fn pass_queue(&self, pass: &Pass) -> Result<Option<(Timestamp, Reason)>, store::Error> {
        let Pass { target, wanted, began_at: now, .. } = pass;
        if let Some(until) = self.with_queues(|queues| queues.enter(target, wanted, *now)) {
            return Ok(Some((until, Reason::Concurrency)));
        }
        let passed = self.pass_rate(target, wanted).await;
        if !matches!(passed, Ok(None)) {
            self.with_queues(|queues| queues.leave(target, wanted));
        }
        Ok(passed?.map(|until| (until, Reason::Rate)))
    }

    /// When to come back; `None` if there was a token.
    async fn pass_rate(&self, target: &str, wanted: &Wanted) -> Result<Option<Timestamp>, store::Error> {
        let key = wanted.key.as_deref().unwrap_or_default();
        let Some(rate) = wanted.rate else { return Ok(None) };
        let ask = |now| self.with_queues(|queues| queues.token(target, wanted, &rate, now));
        let lease = match ask(self.now()) {
            Token::Taken => return Ok(None),
            Token::NotBefore(at) => return Ok(Some(at)),
            Token::Lease(wanted) => wanted,
        };
        let concurrency = wanted.concurrency;
        let take = move |standing: &mut Standing, now: Timestamp| {
            standing.rate = Some(rate);
            standing.concurrency = concurrency;
            let bucket = standing.buckets.of(&rate, now);
            (bucket.take(&rate, lease, now), bucket.next_at(&rate))
        };
        let mut conn = self.0.app.store.duties().await?;
        let ((taken, next_at), _, now) = targets::change(&mut conn, (target, key), take).await?;
        drop(conn);
        Ok(self.with_queues(|queues| {
            queues.leased(target, wanted, taken, next_at, now);
            match queues.token(target, wanted, &rate, now) {
                Token::Taken => None,
                Token::NotBefore(at) => Some(at),
                // None of the tokens was left, and this is not asked again at once.
                Token::Lease(_) => Some(later(now, rate.pace())),
            }
        }))
    }
}

fn take_in(standing: &mut Standing, seen: &Seen, policy: &Policy, now: Timestamp) {
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
