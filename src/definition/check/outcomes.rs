//! Warns of calls whose unknown outcome suspends the instance although the document says something else.

use crate::definition::codes;
use crate::definition::model::{Activity, Definition, OnError, OnFailure, OnUnknown, Retries, Work};
use crate::definition::problem::{Place, Problems};
use crate::text::listed;

/// A call that may be left with an unknown outcome.
struct Outcomes {
    /// `on_unknown` is written.
    written: bool,
    /// The codes of its unknown outcomes.
    codes: Vec<&'static str>,
    /// Whether its `timeout` is also a known outcome: that of a callback, or of `within`.
    times_out: bool,
}

impl Outcomes {
    /// Whether an outcome with this code may also be known, so that `retry` and handlers apply to it.
    fn may_be_known(&self, code: &str) -> bool {
        code == "timeout" && self.times_out
    }

    fn is_retried(&self, activity: &Activity, code: &str) -> bool {
        match &activity.retry {
            Retries::Default | Retries::None => false,
            Retries::Policies(policies) => {
                !self.may_be_known(code) && policies.iter().any(|policy| policy.codes.iter().any(|named| named == code))
            }
        }
    }
}

/// Warns where a handler is never asked, or is not asked about every silence of the target.
pub(super) fn warnings(definition: &Definition, places: &[Place], problems: &mut Problems) {
    for (activity, place) in definition.activities.iter().zip(places) {
        let Some(outcomes) = outcomes(activity) else { continue };
        let retried: Vec<&str> =
            outcomes.codes.iter().copied().filter(|code| outcomes.is_retried(activity, code)).collect();
        if !retried.is_empty() {
            let message = format!(
                "a request that may have taken effect is not repeated, so `retry` does not apply to {}",
                listed(&retried)
            );
            let hint = "write `on_unknown: retry` if the target recognises the idempotency key";
            problems.warning(place.clone(), message, Some(hint.into()));
        }
        let names =
            |code: &&&str| activity.on_error.iter().any(|entry| entry.codes.iter().any(|named| named == **code));
        let (named, unnamed): (Vec<&str>, Vec<&str>) = outcomes.codes.iter().partition(names);
        if outcomes.written {
            let unused: Vec<&str> = named.into_iter().filter(|code| !outcomes.may_be_known(code)).collect();
            if !unused.is_empty() {
                let message = format!(
                    "`on_unknown: suspend` asks a person first, so the handler of {} is never used",
                    listed(&unused)
                );
                problems.warning(place.clone(), message, Some("remove one of the two".into()));
            }
            continue;
        }
        if unnamed.is_empty() || !expects_no_person(definition, activity, &unnamed) {
            continue;
        }
        let message = format!(
            "after {} it is unknown whether the request took effect: the instance is suspended until a person has found out",
            listed(&unnamed)
        );
        let hint = format!(
            "for an error instead write `on_unknown: fail`, or name the codes in `on_error`: {}",
            unnamed.join(", ")
        );
        problems.warning(place.clone(), message, Some(hint));
    }
}

/// The outcomes of a call that suspends if one of them is unknown.
fn outcomes(activity: &Activity) -> Option<Outcomes> {
    let (written, on_unknown, codes, callback) = match &activity.work {
        Work::Http(http) => (http.on_unknown, http.on_unknown(), vec!["timeout", "http.broken"], http.callback),
        Work::Call(call) => {
            let silent = call.heartbeat.is_some().then_some("worker.unavailable");
            (call.on_unknown, call.on_unknown(), ["timeout"].into_iter().chain(silent).collect(), false)
        }
        Work::Set(_)
        | Work::Switch(_)
        | Work::Run { .. }
        | Work::Emit { .. }
        | Work::Wait(_)
        | Work::Receive(_)
        | Work::Raise { .. }
        | Work::End(_)
        | Work::Task(_) => return None,
    };
    let within = match &activity.retry {
        Retries::Default | Retries::None => false,
        Retries::Policies(policies) => policies.iter().any(|policy| policy.within.is_some()),
    };
    (on_unknown == OnUnknown::Suspend).then_some(Outcomes {
        written: written.is_some(),
        codes,
        times_out: callback || within,
    })
}

/// Whether the document says what follows every error, so that its author may expect that no person is needed.
fn expects_no_person(definition: &Definition, activity: &Activity, unnamed: &[&str]) -> bool {
    let catches = |entry: &OnError| unnamed.iter().any(|code| codes::any_matches(&entry.codes, code));
    // `on_timeout` of the document is about the whole instance.
    let of_document = |entry: &&OnError| entry.codes != ["timeout"];
    definition.on_failure == OnFailure::Fail
        || activity.on_error.iter().any(catches)
        || definition.on_error.iter().filter(of_document).any(catches)
}
