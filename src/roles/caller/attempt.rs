//! One attempt: begun, made, recorded.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::{Outcome, Permit};
use super::outgoing::{Failure as NoAnswer, Request};
use super::{Caller, wording};
use crate::definition::expression::{Marker, filled};
use crate::engine::{CallOutcome, Failure, Refusal};
use crate::secrets::Carried;
use crate::step::calls::{Attempt, AttemptToken, Begin};
use crate::step::{self, Error, Executed};
use crate::store::calls::{Begun, Due};
use crate::store::{self};
use crate::telemetry;

/// For so long at least an outcome is tried to be recorded, and until the deadline of its attempt: then it is unknown anyway.
const RECORD_FOR: Duration = Duration::from_secs(60);
/// The pause before the first try after a failed one, and before the last ones.
const RECORD_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Makes an attempt, if it is still to be made.
///
/// # Errors
/// If it could not be begun.
pub(super) async fn make(caller: &Caller, due: &Due, permit: &Permit) -> Result<(), store::Error> {
    let (begun, token) =
        match step::calls::begin(&caller.app, due.id, due.dispatch, permit.limit_key.at_once(&due.target)).await? {
            Begin::Begun(begun) => *begun,
            Begin::NoRoom => return caller.put_back_without_room(due, permit).await,
            Begin::Stale => {
                caller.limits.unused(permit).await;
                return Ok(());
            }
        };
    caller.limits.begun(permit);
    step::fail_point("caller::marked");
    let began = Instant::now();
    let outcome = outcome(caller, &begun, &token).await;
    step::fail_point("caller::answered");
    telemetry::count_call(begun.kind.name(), word(&outcome));
    telemetry::observe_call(begun.kind.name(), began.elapsed());
    let Begun { id, instance, bookmark, dispatch, timeout, .. } = begun;
    let said = Outcome::of_call(&outcome);
    let time = record_for(timeout, began.elapsed());
    record(caller, Attempt { id, instance, bookmark, dispatch }, outcome, time).await;
    step::fail_point("caller::recorded");
    caller.limits.observe(permit, said).await;
    Ok(())
}

/// How long an outcome is tried to be recorded.
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
        Ok(response) => wording::answered(response, &carried),
        Err(NoAnswer::NotSent { code, message }) => {
            CallOutcome::Failed { failure: Failure::new(code, carried.hide(&message)) }
        }
        Err(NoAnswer::Unknown { code, message }) => {
            CallOutcome::Unknown { failure: Failure::new(code, carried.hide(&message)) }
        }
    }
}

fn request(caller: &Caller, begun: &Begun, token: &AttemptToken, carried: &mut Carried) -> Result<Request, Failure> {
    let app = &caller.app;
    let request = filled(&begun.request, &mut |marker| match marker {
        Marker::Secret(name) => carried.reveal(&app.secrets, name),
        // A server that repeats what it was sent repeats this too.
        Marker::Token => Some(carried.carry(token.text())),
    });
    let request = request.map_err(|missing| {
        let names = missing.join(", ");
        Failure::new("secrets", format!("these secrets are not allowed, or there is nothing in them: {names}"))
    })?;
    wording::request(&request, begun, app.config.outgoing.response_max)
}

/// Records an outcome and goes on, however often the database has to be asked in this time.
async fn record(caller: &Caller, attempt: Attempt, outcome: CallOutcome, time: Duration) {
    let until = Instant::now() + time;
    let mut pause = RECORD_AFTER.0;
    loop {
        match step::calls::complete_attempt(&caller.app, attempt, outcome.clone()).await {
            Ok(Executed::Committed(_)) => return,
            Ok(Executed::Refused(Refusal::Suspended)) => return,
            Ok(Executed::Refused(refusal)) => {
                return tracing::info!(call = %attempt.id, %refusal, "an outcome came too late");
            }
            Ok(Executed::Conflict) => tracing::debug!(call = %attempt.id, "somebody else moved the instance; again"),
            Err(Error::Store(store::Error::Bug(error))) => {
                tracing::error!(call = %attempt.id, error, "an outcome cannot be recorded");
                return;
            }
            Err(error) => tracing::warn!(call = %attempt.id, %error, "an outcome could not be recorded yet"),
        }
        if Instant::now() + pause > until {
            tracing::error!(call = %attempt.id, "an outcome was not recorded in time: the attempt will be unknown");
            return;
        }
        tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        pause = (pause * 2).min(RECORD_AFTER.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_tried_to_be_recorded_until_the_deadline_and_for_a_minute_at_least() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        for (timeout, elapsed, expected) in
            [(Some(minutes(30)), minutes(10), 20), (Some(minutes(5)), minutes(9), 1), (None, minutes(1), 1)]
        {
            assert_eq!(record_for(timeout, elapsed), minutes(expected));
        }
    }
}
