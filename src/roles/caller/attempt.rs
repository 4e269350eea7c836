//! One attempt: begins it, sends its request, records its outcome.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::limits::{Permit, TargetOutcome};
use super::{Caller, mapping};
use crate::app::sleep_or_stop;
use crate::command::calls::{Attempt, AttemptToken, Begin};
use crate::command::{self, Executed};
use crate::engine::{CallOutcome, Failure, Refusal};
use crate::expression::{Marker, filled};
use crate::fault::Class;
use crate::limits::backoff::next_delay;
use crate::outgoing::{Request, SendError};
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
    let outcome = outcome(caller, &begun, &token).instrument(span).await;
    command::fail_point("caller::answered");
    telemetry::count_call(begun.kind.name(), word(&outcome));
    telemetry::observe_call(begun.kind.name(), began.elapsed());
    let Begun { id, instance, bookmark, dispatch, timeout, .. } = begun;
    let observed = TargetOutcome::of_call(&outcome);
    let time = record_for(timeout, began.elapsed());
    record(caller, Attempt { id, instance, bookmark, dispatch }, outcome, time).await;
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

fn word(outcome: &CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Answered { .. } => "answered",
        CallOutcome::Done { .. } => "done",
        CallOutcome::Failed { .. } => "failed",
        CallOutcome::Unknown { .. } => "unknown",
    }
}

/// Sends the request and reads what comes back.
async fn outcome(caller: &Caller, begun: &Begun, token: &AttemptToken) -> CallOutcome {
    let mut carried = Carried::default();
    let request = match request(caller, begun, token, &mut carried) {
        Ok(request) => request,
        Err(failure) => return CallOutcome::Failed { failure },
    };
    match caller.client.send(request).await {
        Ok(response) => mapping::outcome(response, &carried),
        Err(SendError::NotSent { code, message }) => {
            CallOutcome::Failed { failure: Failure::new(code, carried.hide(&message)) }
        }
        Err(SendError::Unknown { code, message }) => {
            CallOutcome::Unknown { failure: Failure::new(code, carried.hide(&message)) }
        }
    }
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
async fn record(caller: &Caller, attempt: Attempt, outcome: CallOutcome, time: Duration) {
    let until = Instant::now() + time;
    for tries in 1.. {
        match command::calls::complete_attempt(&caller.app, attempt, outcome.clone()).await {
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
