//! Whether an attempt may begin: breaker, rate and concurrency of its target, for all processes together.
//!
//! What was learned in the last second is known here without asking; once a second, and whenever a breaker may change, the
//! row of the target is looked at. So nothing waits in memory, and no row is written for every attempt.

mod known;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::app::App;
use crate::engine::CallOutcome;
use crate::resilience::breaker::{Policy, State, Verdict};
use crate::resilience::rate::{Bucket, Rate};
use crate::step::calls::AtOnce;
use crate::store::targets::{self, Standing};
use crate::store::{self};
use crate::telemetry;
use known::{Asked, Known, Token};

/// The shortest and the longest rest of a call for which there was no room.
const NO_ROOM_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// What the targets of workers begin with: a worker that is away leaves its queue alone by itself.
const WORK: &str = "work:";

/// How much of a target an activity may take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Attempts that may begin in a time.
    pub rate: Option<Rate>,
    /// Attempts that may be under way.
    pub concurrency: Option<u32>,
    /// What both are counted for; for the target as a whole when there is none.
    pub key: Option<String>,
}

impl Wanted {
    /// Reads what is stored with a call: `rate` (`count`, `per_ms`), `concurrency`, `key`.
    pub fn read(stored: Option<&Value>) -> Self {
        let Some(stored) = stored else { return Self::default() };
        let whole = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let rate = || {
            let rate = stored.get("rate")?;
            let per = Duration::from_millis(rate.get("per_ms")?.as_u64()?);
            Some(Rate { count: whole(rate.get("count")?)?, per })
        };
        let key = match stored.get("key") {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(key.clone()),
            Some(other) => Some(other.to_string()),
        };
        let concurrency = stored.get("concurrency").and_then(whole);
        Self { rate: rate(), concurrency, key }
    }

    /// The bound of attempts at a target that may be under way.
    pub(super) fn at_once<'a>(&'a self, target: &'a str) -> Option<AtOnce<'a>> {
        Some(AtOnce { target, key: self.key.as_deref(), limit: self.concurrency? })
    }
}

/// What an attempt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It may begin.
    Go,
    /// Not before, and why.
    NotBefore(Timestamp, Reason),
}

/// Why an attempt may not begin yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The target has failed too often lately.
    Breaker,
    /// As many have begun as may.
    Rate,
    /// As many are under way as may be.
    Concurrency,
}

impl Reason {
    /// The word used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Breaker => "breaker",
            Reason::Rate => "rate",
            Reason::Concurrency => "concurrency",
        }
    }
}

/// What an attempt says of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answers.
    Answered,
    /// It does not, or says that it cannot: the code.
    Failed(String),
    /// Nothing: it was not asked.
    Nothing,
}

impl Outcome {
    /// Of a status. A target that is overloaded, or broken, has failed; one that refuses this request has not.
    pub fn of_status(status: u16) -> Self {
        match status {
            429 | 500.. => Self::Failed(format!("http.{status}")),
            _ => Self::Answered,
        }
    }

    /// Of an attempt at a call.
    pub fn of_call(outcome: &CallOutcome) -> Self {
        match outcome {
            CallOutcome::Answered { status, .. } => Self::of_status(*status),
            CallOutcome::Done { .. } => Self::Answered,
            CallOutcome::Failed { failure } | CallOutcome::Unknown { failure } => Self::of_failure(&failure.code),
        }
    }

    /// Of an attempt without an answer, by its code.
    pub fn of_failure(code: &str) -> Self {
        match code {
            "http.request" | "http.refused" | "secrets" => Self::Nothing,
            _ => Self::Failed(code.to_owned()),
        }
    }
}

/// The limits as this process knows them. Clones share that.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    app: App,
    policy: Policy,
    known: Mutex<Known>,
}

impl Limits {
    /// Knows nothing yet.
    pub fn new(app: &App) -> Self {
        let policy = app.config.breaker.policy();
        Self(Arc::new(Inner { app: app.clone(), policy, known: Mutex::new(Known::new(policy)) }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether an attempt may begin, as far as breaker and rate go. Whoever is told so begins it, or says
    /// [`Limits::refused`]; concurrency is asked in the transaction that begins it ([`targets::has_room`]).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn admit(&self, target: &str, wanted: &Wanted) -> Result<Admitted, store::Error> {
        let admitted = match self.pass_breaker(target).await? {
            Some(until) => Admitted::NotBefore(until, Reason::Breaker),
            None => match self.pass_rate(target, wanted).await? {
                Some(until) => {
                    self.observe(target, Outcome::Nothing).await;
                    Admitted::NotBefore(until, Reason::Rate)
                }
                None => Admitted::Go,
            },
        };
        if let Admitted::NotBefore(_, reason) = admitted {
            telemetry::count_put_off(reason.name());
        }
        Ok(admitted)
    }

    /// An attempt that was let through found no room: when it comes back. Its token goes to the next.
    pub async fn refused(&self, target: &str, wanted: &Wanted) -> Timestamp {
        let now = self.0.app.clock.now();
        self.with(|known| known.refused(target, wanted.key.as_deref(), now));
        self.observe(target, Outcome::Nothing).await;
        telemetry::count_put_off(Reason::Concurrency.name());
        let (least, most) = NO_ROOM_FOR;
        later(now, least + (most - least).mul_f64(fastrand::f64()))
    }

    /// How many calls may be claimed of targets that are not open to all: none of one whose breaker is open, one to ask
    /// whether it is back, as many as there are tokens.
    pub fn narrow(&self) -> Vec<(String, u32)> {
        let now = self.0.app.clock.now();
        self.with(|known| known.narrow(now))
    }

    /// When one of those opens.
    pub fn next_at(&self) -> Option<Timestamp> {
        let now = self.0.app.clock.now();
        self.with(|known| known.next_at(now))
    }

    /// Takes in how an attempt went. Others hear of it within a second; of what changes a breaker, at once.
    pub async fn observe(&self, target: &str, outcome: Outcome) {
        if target.starts_with(WORK) {
            return self.with(|known| known.left(target));
        }
        let now = self.0.app.clock.now();
        if !self.with(|known| known.observe(target, outcome, now)) {
            return;
        }
        if let Err(error) = self.look(target, |_, _| ()).await {
            // It is kept, and told with the next.
            tracing::debug!(%error, "what became of an attempt could not be told to other processes");
        }
    }

    /// When to come back; `None` if the breaker lets the attempt through.
    async fn pass_breaker(&self, target: &str) -> Result<Option<Timestamp>, store::Error> {
        if target.starts_with(WORK) {
            return Ok(None);
        }
        let now = self.0.app.clock.now();
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
                unsent.iter().for_each(|outcome| take_in(standing, outcome, &policy, now));
                let after = standing.breaker.state;
                (before, after, act(standing, now))
            })
            .await
        };
        match told.await {
            Ok(((before, after, said), standing, now)) => {
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

    /// When to come back; `None` if there was a token.
    async fn pass_rate(&self, target: &str, wanted: &Wanted) -> Result<Option<Timestamp>, store::Error> {
        let key = wanted.key.as_deref().unwrap_or_default();
        let Some(rate) = wanted.rate else { return Ok(None) };
        let ask = |now| self.with(|known| known.token(target, key, &rate, now));
        let lease = match ask(self.0.app.clock.now()) {
            Token::Taken => return Ok(None),
            Token::NotBefore(at) => return Ok(Some(at)),
            Token::Lease(wanted) => wanted,
        };
        let concurrency = wanted.concurrency;
        let mut conn = self.0.app.store.duties().await?;
        let take = move |standing: &mut Standing, now: Timestamp| {
            standing.rate = Some(rate);
            standing.concurrency = concurrency;
            let bucket = standing.bucket.get_or_insert(Bucket::full(&rate, now));
            (bucket.take(&rate, lease, now), bucket.next_at(&rate))
        };
        let ((taken, next_at), _, now) = targets::change(&mut conn, (target, key), take).await?;
        drop(conn);
        Ok(self.with(|known| {
            known.leased(target, key, taken, next_at, now);
            match known.token(target, key, &rate, now) {
                Token::Taken => None,
                Token::NotBefore(at) => Some(at),
                // None of the tokens was left, and this is not asked again at once.
                Token::Lease(_) => Some(later(now, rate.pace())),
            }
        }))
    }
}

fn take_in(standing: &mut Standing, outcome: &Outcome, policy: &Policy, now: Timestamp) {
    match outcome {
        Outcome::Answered => standing.breaker.observe(false, policy, now),
        Outcome::Failed(code) => {
            standing.breaker.observe(true, policy, now);
            standing.last_failure = Some(code.clone());
            standing.failed_at = Some(now);
        }
        Outcome::Nothing => standing.breaker.release(now),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_limits_are_read() {
        let stored = json!({ "rate": { "count": 5, "per_ms": 60_000 }, "concurrency": 2, "key": "eu" });
        let rate = Rate { count: 5, per: Duration::from_secs(60) };
        let read = Wanted { rate: Some(rate), concurrency: Some(2), key: Some("eu".into()) };
        assert_eq!(Wanted::read(Some(&stored)), read);
        assert_eq!(Wanted::read(Some(&json!({ "key": 7 }))).key.as_deref(), Some("7"));
        assert_eq!(Wanted::read(Some(&json!({ "key": null, "rate": { "count": 1 } }))), Wanted::default());
        assert_eq!(Wanted::read(None), Wanted::default());
    }

    #[test]
    fn only_a_target_that_cannot_is_said_to_fail() {
        for status in [200, 204, 302, 400, 404, 409, 422] {
            assert_eq!(Outcome::of_status(status), Outcome::Answered);
        }
        for status in [429, 500, 503, 599] {
            assert_eq!(Outcome::of_status(status), Outcome::Failed(format!("http.{status}")));
        }
        assert_eq!(Outcome::of_failure("http.refused"), Outcome::Nothing);
        assert_eq!(Outcome::of_failure("timeout"), Outcome::Failed("timeout".into()));
    }
}
