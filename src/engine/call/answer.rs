//! Answers over HTTP: which of them are accepted, and what an activity sees of them.

use serde_json::{Map, Value, json};

use crate::definition::{Http, Statuses, Work, codes};

use super::super::admit::Position;
use super::super::{Failure, assign as values};
use super::{CallOutcome, Cut};

/// `error.data.body` of a refused answer is cut above this many bytes.
const ERROR_BODY_MAX: usize = 16 * 1024;

/// The `http` of the activity at a position, if it is one.
pub(super) fn http_work(position: Position<'_>) -> Option<&Http> {
    match &position.activity.work {
        Work::Http(http) => Some(http),
        Work::Set(_)
        | Work::Switch(_)
        | Work::Run { .. }
        | Work::Emit { .. }
        | Work::Wait(_)
        | Work::Receive(_)
        | Work::Raise { .. }
        | Work::End(_)
        | Work::Task(_)
        | Work::Call(_) => None,
    }
}

/// Whether an outcome comes from the external worker or the callback itself: then no probe is needed.
pub(super) fn is_reported(outcome: &CallOutcome) -> bool {
    match outcome {
        CallOutcome::Done { .. } => true,
        CallOutcome::Failed { failure } => codes::matches("worker", &failure.code),
        CallOutcome::Answered { .. } | CallOutcome::Unknown { .. } => false,
    }
}

/// Whether an outcome only says that the target has accepted the request and will call back.
pub(super) fn announces_callback(http: Option<&Http>, outcome: &CallOutcome) -> bool {
    match (http, outcome) {
        (Some(http), CallOutcome::Answered { status, .. }) => http.callback && accepts(&http.accept, *status),
        (Some(_), CallOutcome::Done { .. } | CallOutcome::Failed { .. } | CallOutcome::Unknown { .. }) | (None, _) => {
            false
        }
    }
}

/// Whether a status is a success: 2xx, or one of those listed.
pub(super) fn accepts(statuses: &[Statuses], status: u16) -> bool {
    (200..300).contains(&status) || statuses.iter().any(|some| (some.from..=some.to).contains(&status))
}

/// The failure of an answer whose status is not accepted.
pub(super) fn refused(status: u16, mut response: Value) -> Failure {
    let bytes = values::size(&response["body"]);
    if bytes > ERROR_BODY_MAX {
        response["body"] = json!({ "cut": bytes });
    }
    Failure { code: format!("http.{status}"), message: format!("the target answered {status}"), data: response }
}

/// What an activity sees of an answer. If the body was not kept, the member `body` is absent, so that nothing else is mistaken for it.
pub(super) fn response(status: u16, headers: Map<String, Value>, body: Value, cut: Option<Cut>) -> Value {
    match cut {
        None => json!({ "status": status, "headers": headers, "body": body }),
        Some(cut) => json!({ "status": status, "headers": headers, "cut": cut.code() }),
    }
}
