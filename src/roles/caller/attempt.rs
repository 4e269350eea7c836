//! One attempt: begins it, sends its request, records its outcome.

use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::Instrument;

use super::limits::{Permit, TargetOutcome};
use super::{Caller, mapping};
use crate::app::sleep_or_stop;
use crate::command::calls::{Attempt, AttemptToken, Begin, Watch};
use crate::command::{self, Executed};
use crate::engine::{CallOutcome, Failure, Refusal};
use crate::expression::{Marker, filled};
use crate::fault::Class;
use crate::limits::backoff::next_delay;
use crate::outgoing::{Request, Response, SendError};
use crate::secrets::Carried;
use crate::store::calls::{Begun, DueCall};
use crate::store::{self};
use crate::telemetry::{self, spans};

/// Recording an outcome is retried for at least this long, and until the deadline of its attempt: then it counts as unknown.
const RECORD_FOR: Duration = Duration::from_secs(60);
/// Tries to mark an attempt, about half a minute.
const MARK_TRIES_MAX: u32 = 16;
/// The delay after the first try to record an outcome.
const RECORD_BASE: Duration = Duration::from_millis(60);
/// The longest delay between two tries.
const RECORD_MAX: Duration = Duration::from_millis(2_500);

/// Makes an attempt, if it is still due.
///
/// # Errors
/// The attempt could not be begun, so nothing was sent.
pub(super) async fn make(caller: &Caller, due: &DueCall, permit: &Permit) -> Result<(), store::Error> {
    let token = AttemptToken::new(due.dispatch);
    let begun = match mark(caller, due, permit, &token).await? {
        Begin::Begun(begun) => *begun,
        Begin::NoRoom => return caller.put_back_without_room(due, permit).await,
        Begin::Stale => {
            caller.limits.unused(permit).await;
            return Ok(());
        }
    };
    caller.limits.begun(permit);
    command::fail_point("caller::marked");
    let began = Instant::now();
    let span = spans::call(begun.id, &begun.target, &begun.activity, begun.attempt);
    let mut carried = Carried::default();
    let sent = send(caller, &begun, &token, &mut carried).instrument(span).await;
    command::fail_point("caller::answered");
    telemetry::observe_call(begun.kind.name(), began.elapsed());
    let watched = watched(caller, &begun).await;
    let given_up = watched.as_ref().and_then(|watched| watched.watch.verdict(&caller.app));
    if given_up.is_none() {
        command::fail_point_at("caller::records", &begun.id.to_string());
    }
    let report = match given_up {
        // What came back may be the reason: it is not looked at again.
        Some(why) => Report::GivenUp(why),
        None => Report::Ended(sent.map_or_else(|failed| failed, |response| mapping::outcome(response, &carried))),
    };
    telemetry::count_call(begun.kind.name(), report.word());
    let Begun { id, instance, bookmark, dispatch, timeout, .. } = begun;
    let observed = report.observed();
    let time = record_for(timeout, began.elapsed());
    record(caller, Attempt { id, instance, bookmark, dispatch }, report, time).await;
    if let Some(Watched { watch, .. }) = &watched {
        watch.ended(&caller.app).await;
    }
    drop(watched);
    command::fail_point("caller::recorded");
    caller.limits.observe(permit, observed).await;
    Ok(())
}

/// Marks the attempt as running. A lost connection may hide that it was marked: then nobody would send its request, and its outcome would
/// become unknown although nothing was sent.
async fn mark(
    caller: &Caller,
    due: &DueCall,
    permit: &Permit,
    token: &AttemptToken,
) -> Result<Begin<Box<Begun>>, store::Error> {
    let mut tries = 0;
    loop {
        let at_once = permit.limit_key.at_once(&due.target);
        let error = match command::calls::begin(&caller.app, due.id, due.dispatch, at_once, token).await {
            Err(error @ store::Error::Unavailable(_)) => error,
            other => return other,
        };
        tries += 1;
        if tries >= MARK_TRIES_MAX || caller.app.stop.is_cancelled() {
            return Err(error);
        }
        tracing::debug!(call = %due.id, %error, "whether an attempt was marked is not known; retrying");
        sleep_or_stop(&caller.app, next_delay(RECORD_BASE, RECORD_MAX, 2.0, 0.5, tries, fastrand::f64())).await;
    }
}

/// How long recording an outcome is retried.
fn record_for(timeout: Option<Duration>, elapsed: Duration) -> Duration {
    timeout.unwrap_or_default().saturating_sub(elapsed).max(RECORD_FOR)
}

/// What is recorded of an attempt.
#[derive(Clone)]
enum Report {
    /// How it ended.
    Ended(CallOutcome),
    /// What follows its end has ended too many processes, for this reason.
    GivenUp(String),
}

impl Report {
    fn word(&self) -> &'static str {
        match self {
            Report::Ended(CallOutcome::Answered { .. }) => "answered",
            Report::Ended(CallOutcome::Done { .. }) => "done",
            Report::Ended(CallOutcome::Failed { .. }) => "failed",
            Report::Ended(CallOutcome::Unknown { .. }) => "unknown",
            Report::GivenUp(_) => "given_up",
        }
    }

    fn observed(&self) -> TargetOutcome {
        match self {
            Report::Ended(outcome) => TargetOutcome::of_call(outcome),
            // What came back is not looked at again, so it says nothing about the target.
            Report::GivenUp(_) => TargetOutcome::Nothing,
        }
    }
}

/// Held while a response is recorded that may have ended processes before.
struct Watched {
    watch: Watch,
    _turn: OwnedMutexGuard<()>,
}

/// Counts that a response is recorded, if the attempt before may have ended its process; any other costs nothing. Without the database it
/// is not counted, as nothing of it can be recorded either.
async fn watched(caller: &Caller, begun: &Begun) -> Option<Watched> {
    if !begun.after_timeout {
        return None;
    }
    let turn = caller.suspect_turn().await;
    match Watch::over_response(&caller.app, begun.id).await {
        Ok(watch) => Some(Watched { watch, _turn: turn }),
        Err(error) => {
            tracing::debug!(call = %begun.id, %error, "the response to a call is not counted as a suspect");
            None
        }
    }
}

/// Sends the request; what was not answered has an outcome already.
async fn send(
    caller: &Caller,
    begun: &Begun,
    token: &AttemptToken,
    carried: &mut Carried,
) -> Result<Response, CallOutcome> {
    let request = request(caller, begun, token, carried).map_err(|failure| CallOutcome::Failed { failure })?;
    caller.client.send(request).await.map_err(|error| match error {
        SendError::NotSent { code, message } => {
            CallOutcome::Failed { failure: Failure::new(code, carried.hide(&message)) }
        }
        SendError::Unknown { code, message } => {
            CallOutcome::Unknown { failure: Failure::new(code, carried.hide(&message)) }
        }
    })
}

fn request(caller: &Caller, begun: &Begun, token: &AttemptToken, carried: &mut Carried) -> Result<Request, Failure> {
    let app = &caller.app;
    let request = filled(&begun.request, &mut |marker| match marker {
        Marker::Secret(name) => carried.reveal(&app.secrets, name),
        // Servers that repeat the request repeat the token too.
        Marker::Token => Some(carried.carry(token.text())),
    });
    let request = request.map_err(|missing| {
        let names = missing.join(", ");
        Failure::new("secrets", format!("secrets not listed in `secrets.names`, or without a value: {names}"))
    })?;
    mapping::request(&request, begun, app.config.outgoing.response_max)
}

/// Records an outcome, and retries for `time` while the database does not take it.
async fn record(caller: &Caller, attempt: Attempt, report: Report, time: Duration) {
    let until = Instant::now() + time;
    for tries in 1.. {
        let recorded = match report.clone() {
            Report::Ended(outcome) => command::calls::complete_attempt(&caller.app, attempt, outcome).await,
            Report::GivenUp(why) => command::calls::give_up(&caller.app, attempt, why).await,
        };
        match recorded {
            Ok(Executed::Committed(_)) | Ok(Executed::Refused(Refusal::Suspended)) => return,
            Ok(Executed::Refused(refusal)) => {
                return tracing::info!(call = %attempt.id, %refusal, "an outcome arrived too late");
            }
            Ok(Executed::Conflict) => {
                tracing::debug!(call = %attempt.id, "another process moved the instance; retrying")
            }
            Err(error) if error.class() == Class::Bug => {
                tracing::error!(call = %attempt.id, %error, "could not record an outcome: the attempt becomes unknown");
                return;
            }
            Err(error) => tracing::warn!(call = %attempt.id, %error, "could not record an outcome; retrying"),
        }
        let delay = next_delay(RECORD_BASE, RECORD_MAX, 2.0, 0.5, tries, fastrand::f64());
        if Instant::now() + delay > until {
            tracing::error!(call = %attempt.id, "could not record an outcome in time: the attempt becomes unknown");
            return;
        }
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_is_retried_until_the_deadline_and_for_at_least_a_minute() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        for (timeout, elapsed, expected) in
            [(Some(minutes(30)), minutes(10), 20), (Some(minutes(5)), minutes(9), 1), (None, minutes(1), 1)]
        {
            assert_eq!(record_for(timeout, elapsed), minutes(expected));
        }
    }
}
