//! Where a branch goes: sequence, choice, going on to the next activity, ending.

use serde_json::{Map, Value, json};

use crate::definition::{Activity, Choice, Next, Target, Work};

use super::admit::Stand;
use super::fault::{Fault, Stop, on_behalf};
use super::turn::Turn;
use super::{Effect, EntryKind, Failure, Phase, Status, TaskOutcome, assign};

/// Where a branch goes.
pub(super) enum Way<'a> {
    /// On to this activity.
    On(&'a Activity),
    /// The instance ends.
    Ends(Ending),
}

/// How an instance ends.
pub(super) enum Ending {
    /// With this output.
    Completed(Value),
    /// With this error.
    Failed(Failure),
    /// Called off.
    Cancelled {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
}

impl<'a> Turn<'a> {
    /// Ends an activity whose work is done: assigns its `output`, and goes where `chosen` or its `next` leads.
    ///
    /// All or nothing: if `output` or `next` fails, neither has taken place, and the work stays done.
    pub(super) fn complete(&mut self, stand: Stand<'a>, result: Value, chosen: Option<Way<'a>>) -> Result<(), Stop> {
        // A `switch` is made again with its `output`: nothing of it has been done outside.
        let again = chosen.is_some();
        let kept = |failure, result| Stop::from(Fault { failure, result: if again { None } else { Some(result) } });
        let values = match self.sight(stand).result(&result).values(&stand.activity.output) {
            Ok(values) => values,
            Err(failure) => return Err(kept(failure, result)),
        };
        let before = match self.assign(values) {
            Ok(before) => before,
            Err(failure) => return Err(kept(failure, result)),
        };
        let way = match chosen {
            Some(way) => Ok(way),
            None => self.leads(stand, &stand.activity.next, &result),
        };
        match way {
            Ok(way) => {
                let details = self.outcome(stand, &result, &way);
                self.record(EntryKind::ActivityCompleted, stand, details);
                if self.definition.events.activity {
                    self.publish("activity_completed", json!({ "activity": stand.activity.id }));
                }
                self.go(stand, way);
                Ok(())
            }
            Err(failure) => {
                self.unassign(before);
                Err(kept(failure, result))
            }
        }
    }

    /// Passes over an activity whose `when` does not hold, to where its `next` leads with `result` null.
    pub(super) fn skip(&mut self, stand: Stand<'a>) -> Result<(), Stop> {
        let way = self.leads(stand, &stand.activity.next, &Value::Null)?;
        let details = self.outcome(stand, &Value::Null, &way);
        self.record(EntryKind::ActivitySkipped, stand, details);
        self.go(stand, way);
        Ok(())
    }

    /// Where a `next` leads. A map of messages leads on in the list if no message came (skipped, or an error caught).
    pub(super) fn leads(&self, stand: Stand<'a>, next: &'a Next, result: &Value) -> Result<Way<'a>, Failure> {
        match next {
            Next::Following => match self.definition.following(&stand.activity.id) {
                Some(activity) => Ok(Way::On(activity)),
                None => self.target(&Target::Exit),
            },
            Next::To(target) => self.target(target),
            Next::Choose(choices) => match self.choose(stand, choices, result)? {
                Some(way) => Ok(way),
                None => Err(lost(format!("no entry of `next` of `{}` holds", stand.activity.id))),
            },
            Next::ByName(ways) => match result.get(named_by(stand)).and_then(Value::as_str) {
                None => self.leads(stand, &Next::Following, result),
                Some(name) => match ways.get(name) {
                    Some(next) => self.leads(stand, next, result),
                    None => Err(lost(format!("`next` of `{}` does not name `{name}`", stand.activity.id))),
                },
            },
        }
    }

    /// The way of the first entry that holds.
    pub(super) fn choose(
        &self,
        stand: Stand<'a>,
        choices: &'a [Choice],
        result: &Value,
    ) -> Result<Option<Way<'a>>, Failure> {
        let sight = self.sight(stand).result(result);
        for choice in choices {
            if sight.allows(choice.when.as_ref())? {
                return self.target(&choice.to).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn target(&self, target: &Target) -> Result<Way<'a>, Failure> {
        match target {
            Target::Activity(id) => match self.definition.activity(id) {
                Some(activity) => Ok(Way::On(activity)),
                None => Err(lost(format!("there is no activity `{id}`"))),
            },
            Target::Exit => Ok(Way::Ends(Ending::Completed(self.output()?))),
        }
    }

    /// The definition's own output.
    pub(super) fn output(&self) -> Result<Value, Failure> {
        let sight = super::scope::Sight::whole(&self.instance, self.context);
        self.definition.output.as_ref().map_or(Ok(Value::Null), |output| ends_with(sight.value(output)?))
    }

    /// Puts a branch before its next activity, or ends the instance.
    pub(super) fn go(&mut self, stand: Stand<'a>, way: Way<'a>) {
        match way {
            Way::On(activity) => {
                let branch = self.branch_mut(stand);
                branch.activity.clone_from(&activity.id);
                branch.phase = Phase::Ready;
                branch.attempt = 1;
                branch.failures.clear();
                branch.tried_at = None;
            }
            Way::Ends(ending) => self.end(ending),
        }
    }

    /// Ends the instance; nothing is waited for any more.
    pub(super) fn end(&mut self, ending: Ending) {
        for branch in std::mem::take(&mut self.instance.state.branches) {
            for wait in branch.waits() {
                self.close_wait(wait, TaskOutcome::Cancelled);
            }
        }
        if let Some(deadline) = self.instance.state.deadline.take() {
            self.push(Effect::Close(deadline.bookmark));
        }
        if let Some(suspension) = self.instance.state.suspension.take() {
            self.push(Effect::Close(suspension));
        }
        self.instance.ended_at = Some(self.context.now);
        match ending {
            Ending::Completed(output) => {
                self.instance.status = Status::Completed;
                self.record_whole(EntryKind::InstanceCompleted, Value::Null);
                let data = Map::from_iter([("output".to_owned(), output.clone())]);
                self.instance.output = Some(output);
                self.announce("completed", data);
            }
            Ending::Failed(failure) => {
                self.instance.status = Status::Failed;
                let error = Value::Object(assign::brief(&failure));
                self.record_whole(EntryKind::InstanceFailed, error.clone());
                self.instance.error = Some(failure);
                self.announce("failed", Map::from_iter([("error".to_owned(), error)]));
            }
            Ending::Cancelled { by, reason } => {
                self.instance.status = Status::Cancelled;
                let details = on_behalf(by, reason);
                self.record_whole(EntryKind::InstanceCancelled, assign::details(details.clone()));
                self.announce("cancelled", details);
            }
        }
    }

    /// What the history keeps of an activity that was passed: only what does not go without saying.
    fn outcome(&mut self, stand: Stand<'a>, result: &Value, way: &Way<'a>) -> Value {
        let mut details = Map::new();
        match &stand.activity.work {
            Work::Run { .. } | Work::Receive(_) | Work::Task(_) | Work::Http(_) | Work::Call(_)
                if !result.is_null() =>
            {
                details.insert("result".into(), assign::bounded(result));
            }
            Work::Run { .. }
            | Work::Receive(_)
            | Work::Set(_)
            | Work::Switch(_)
            | Work::Emit { .. }
            | Work::Wait(_)
            | Work::Raise { .. }
            | Work::End(_)
            | Work::Task(_)
            | Work::Http(_)
            | Work::Call(_) => {}
        }
        details.extend(self.take_assigned().map(|assigned| ("assigned".into(), assigned)));
        details.extend(self.turning(stand, way).map(|to| ("next".into(), json!(to))));
        assign::details(details)
    }

    /// Where a branch goes, if that is not the following activity.
    pub(super) fn turning(&self, stand: Stand<'a>, way: &Way<'a>) -> Option<&'a str> {
        let following = self.definition.following(&stand.activity.id).map(|activity| activity.id.as_str());
        let to = match way {
            Way::On(activity) => Some(activity.id.as_str()),
            Way::Ends(_) => None,
        };
        let goes_without_saying = to == following || matches!(stand.activity.work, Work::End(_));
        if goes_without_saying { None } else { to.or(Some("exit")) }
    }
}

/// The member of the result that a `next` by name goes by.
fn named_by(stand: Stand<'_>) -> &'static str {
    match stand.activity.work {
        Work::Task(_) => "decision",
        Work::Receive(_)
        | Work::Run { .. }
        | Work::Set(_)
        | Work::Switch(_)
        | Work::Emit { .. }
        | Work::Wait(_)
        | Work::Raise { .. }
        | Work::End(_)
        | Work::Http(_)
        | Work::Call(_) => "name",
    }
}

/// The output of an instance, within its bound.
pub(super) fn ends_with(output: Value) -> Result<Value, Failure> {
    assign::told("limit.output", "the output", output)
}

fn lost(message: String) -> Failure {
    Failure::new("expression", message)
}
