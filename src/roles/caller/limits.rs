//! Decides whether an attempt may begin: breaker, rate and concurrency of its target, for all processes together.
//!
//! A process decides by what it read within the last second. Once a second, and whenever a breaker may change, it reads and updates
//! the row of the target. So no attempt waits in memory, and no attempt writes a row.

mod admission;
mod groups;
mod limit_key;
mod targets;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::limits::breaker::{Decision, Policy, State};
use crate::store::targets::{self as target_rows, TargetState};
use crate::store::{self};
use groups::{Groups, TokenAnswer};
use targets::{BreakerAnswer, KnownTargets, Observation};

pub use admission::{Admission, Permit, Reason};
pub use limit_key::{LimitKey, TargetOutcome};

/// How long knowledge of a row counts; also how often a process leases tokens of one rate.
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(1);
/// The most targets, and the most groups, that a process remembers.
const REMEMBERED_MAX: usize = 10_000;
/// What was unused for this long is forgotten first.
const UNUSED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// The prefix of external workers as targets. They have no breaker: requests to one that is away wait in its queue.
const WORK: &str = "work:";

/// The limits as this process knows them. Clones share their knowledge.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    app: App,
    policy: Policy,
    targets: Mutex<KnownTargets>,
    groups: Mutex<Groups>,
}

impl Limits {
    /// Limits without any knowledge yet.
    pub fn new(app: &App) -> Self {
        let policy = app.config.breaker.policy();
        let (targets, groups) = (Mutex::new(KnownTargets::new(policy)), Mutex::default());
        Self(Arc::new(Inner { app: app.clone(), policy, targets, groups }))
    }

    fn with_targets<T>(&self, act: impl FnOnce(&mut KnownTargets) -> T) -> T {
        act(&mut self.0.targets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_groups<T>(&self, act: impl FnOnce(&mut Groups) -> T) -> T {
        act(&mut self.0.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Timestamp {
        self.0.app.clock.now()
    }

    /// Decides whether an attempt may begin, as far as this process knows. The holder of the permit begins the attempt and
    /// reports its outcome ([`Limits::observe`]), or returns the permit ([`Limits::refused`], [`Limits::unused`]); concurrency
    /// is counted in the transaction that begins the attempt ([`target_rows::has_room`]).
    pub async fn admit(&self, target: &str, limit_key: &LimitKey) -> Result<Admission, store::Error> {
        let refused = match self.pass_breaker(target).await? {
            Some(until) => (until, Reason::Breaker),
            None => {
                let permit = Permit {
                    target: target.to_owned(),
                    limit_key: limit_key.clone(),
                    began_at: self.now(),
                    opened: None,
                };
                match self.pass_group(&permit).await {
                    Ok(None) => {
                        let opened = self.with_groups(|groups| groups.opened(target, limit_key));
                        return Ok(Admission::Go(Permit { opened, ..permit }));
                    }
                    Ok(Some(refused)) => {
                        self.report_outcome(&permit, TargetOutcome::Nothing).await;
                        refused
                    }
                    Err(error) => {
                        self.report_outcome(&permit, TargetOutcome::Nothing).await;
                        return Err(error);
                    }
                }
            }
        };
        Ok(Admission::NotBefore(refused.0, refused.1))
    }

    /// The target had reached its concurrency. The token goes to the next attempt, and the group tries none for a second.
    pub async fn refused(&self, permit: &Permit) {
        let now = self.now();
        self.with_groups(|groups| groups.refused(&permit.target, &permit.limit_key, now));
        self.report_outcome(permit, TargetOutcome::Nothing).await;
    }

    /// The attempt is no longer due, or could not be begun: its token and its room go to the next one.
    pub async fn unused(&self, permit: &Permit) {
        self.with_groups(|groups| groups.unused(&permit.target, &permit.limit_key));
        self.report_outcome(permit, TargetOutcome::Nothing).await;
    }

    /// The attempt has begun.
    pub fn begun(&self, permit: &Permit) {
        self.with_groups(|groups| groups.begun(&permit.target, &permit.limit_key));
    }

    /// How many calls may be claimed for targets whose breaker is not closed: none while it is open, one for the probe.
    pub fn narrow(&self) -> Vec<(String, u32)> {
        let now = self.now();
        self.with_targets(|targets| targets.narrow(now))
    }

    /// How many calls may be claimed for groups that wait for tokens, or for attempts to end: target, group, number of calls.
    pub fn rooms(&self) -> Vec<(String, i64, u32)> {
        let now = self.now();
        self.with_groups(|groups| groups.rooms(now))
    }

    /// When the next breaker or group opens.
    pub fn next_at(&self) -> Option<Timestamp> {
        let now = self.now();
        let breaker = self.with_targets(|targets| targets.next_at(now));
        breaker.into_iter().chain(self.with_groups(|groups| groups.next_at(now))).min()
    }

    /// Records the outcome of an attempt. It reaches the row within a second, and at once if it changes the breaker.
    pub async fn observe(&self, permit: &Permit, outcome: TargetOutcome) {
        let now = self.now();
        self.with_groups(|groups| groups.left(&permit.target, permit.limit_key.key.as_deref(), now));
        self.report_outcome(permit, outcome).await;
    }

    async fn report_outcome(&self, permit: &Permit, outcome: TargetOutcome) {
        let now = self.now();
        let observation = Observation { outcome, began_at: permit.began_at };
        if permit.target.starts_with(WORK)
            || !self.with_targets(|targets| targets.observe(&permit.target, observation, now))
        {
            return;
        }
        if let Err(error) = self.update_row(&permit.target, |_, _| ()).await {
            // The observation is kept and written with the next one.
            tracing::debug!(%error, "could not update the row of a target; retrying with the next outcome");
        }
    }

    /// When to retry; `None` if the breaker lets the attempt through.
    async fn pass_breaker(&self, target: &str) -> Result<Option<Timestamp>, store::Error> {
        if target.starts_with(WORK) {
            return Ok(None);
        }
        let now = self.now();
        let policy = self.0.policy;
        let until = match self.with_targets(|targets| targets.decide(target, now)) {
            BreakerAnswer::Go => None,
            BreakerAnswer::NotBefore(until) => Some(until),
            BreakerAnswer::ReadRow => {
                let probe = move |standing: &mut TargetState, now: Timestamp| match standing.breaker.decide(now) {
                    Decision::Go => None,
                    Decision::NotBefore(until) => Some(until),
                    Decision::Probe => {
                        standing.breaker.probe(&policy, now);
                        None
                    }
                };
                self.update_row(target, probe).await?
            }
        };
        Ok(until.map(|until| self.with_targets(|targets| targets.spread(target, until, fastrand::f64()))))
    }

    /// Writes what was observed here to the target's row, learns what others have written, and applies one more change.
    async fn update_row<T: Send>(
        &self,
        target: &str,
        act: impl FnOnce(&mut TargetState, Timestamp) -> T + Send,
    ) -> Result<T, store::Error> {
        let policy = self.0.policy;
        let unwritten = self.with_targets(|targets| targets.take_unwritten(target));
        let changed = async {
            let mut conn = self.0.app.store.background().await?;
            target_rows::change(&mut conn, target, "", |standing, now| {
                let before = standing.breaker.state;
                unwritten.iter().for_each(|observation| apply(standing, observation, &policy, now));
                let after = standing.breaker.state;
                (before, after, act(standing, now))
            })
            .await
        };
        match changed.await {
            Ok(((before, after, result), standing, now)) => {
                // Otherwise an attempt that is admitted now could seem to begin before the probe that admitted it.
                self.0.app.clock.observe(now);
                log_change(target, before, after, standing.last_failure.as_deref());
                self.with_targets(|targets| targets.learned(target, standing.breaker, now));
                Ok(result)
            }
            Err(error) => {
                self.with_targets(|targets| targets.give_back(target, unwritten));
                Err(error)
            }
        }
    }

    /// When to retry, and why; `None` if the attempt took a token and there may be room for it.
    async fn pass_group(&self, permit: &Permit) -> Result<Option<(Timestamp, Reason)>, store::Error> {
        let Permit { target, limit_key, began_at: now, .. } = permit;
        if let Some(until) = self.with_groups(|groups| groups.enter(target, limit_key, *now)) {
            return Ok(Some((until, Reason::Concurrency)));
        }
        let passed = self.pass_rate(target, limit_key).await;
        if !matches!(passed, Ok(None)) {
            self.with_groups(|groups| groups.leave(target, limit_key));
        }
        Ok(passed?.map(|until| (until, Reason::Rate)))
    }

    /// When to retry; `None` if the attempt took a token.
    async fn pass_rate(&self, target: &str, limit_key: &LimitKey) -> Result<Option<Timestamp>, store::Error> {
        let key = limit_key.key.as_deref().unwrap_or_default();
        let Some(rate) = limit_key.rate else { return Ok(None) };
        let ask = |now| self.with_groups(|groups| groups.token(target, limit_key, &rate, now));
        let wanted = match ask(self.now()) {
            TokenAnswer::Taken => return Ok(None),
            TokenAnswer::NotBefore(at) => return Ok(Some(at)),
            TokenAnswer::Lease(wanted) => wanted,
        };
        let concurrency = limit_key.concurrency;
        let take = move |standing: &mut TargetState, now: Timestamp| {
            standing.rate = Some(rate);
            standing.concurrency = concurrency;
            let bucket = standing.buckets.of(&rate, now);
            (bucket.take(&rate, wanted, now), bucket.next_at(&rate))
        };
        let mut conn = self.0.app.store.background().await?;
        let ((taken, next_at), _, now) = target_rows::change(&mut conn, target, key, take).await?;
        drop(conn);
        Ok(self.with_groups(|groups| {
            groups.leased(target, limit_key, taken, next_at, now);
            match groups.token(target, limit_key, &rate, now) {
                TokenAnswer::Taken => None,
                TokenAnswer::NotBefore(at) => Some(at),
                // No token could be leased; the row is not read again at once.
                TokenAnswer::Lease(_) => Some(later(now, rate.pace())),
            }
        }))
    }
}

fn apply(standing: &mut TargetState, observation: &Observation, policy: &Policy, now: Timestamp) {
    targets::apply(&mut standing.breaker, observation, policy, now);
    if let TargetOutcome::Failed(code) = &observation.outcome {
        standing.last_failure = Some(code.clone());
        standing.failed_at = Some(now);
    }
}

/// Logs a breaker that opens or closes, in the process that changed it.
fn log_change(target: &str, before: State, after: State, failure: Option<&str>) {
    match (before, after) {
        (State::Closed, State::Open { until }) => tracing::warn!(
            place = target, failure, %until, "a target fails too often, so its breaker opens: see `leveret target list`"
        ),
        (State::Open { .. } | State::HalfOpen { .. }, State::Closed) => {
            tracing::info!(place = target, "a target answers again, so its breaker closes");
        }
        (State::Closed, State::Closed | State::HalfOpen { .. })
        | (State::Open { .. } | State::HalfOpen { .. }, State::Open { .. } | State::HalfOpen { .. }) => {}
    }
}

fn later(moment: Timestamp, time: Duration) -> Timestamp {
    SignedDuration::try_from(time).ok().and_then(|time| moment.checked_add(time).ok()).unwrap_or(Timestamp::MAX)
}
