//! The route of a branch: the following activity, a choice, or the end of the instance.

use serde_json::{Map, Value, json};

use crate::definition::{Activity, Choice, Next, Target, Work};

use super::admit::Position;
use super::ending::Ending;
use super::failure::{FailedWork, Incomplete};
use super::transition::Transition;
use super::{EntryKind, Failure, Phase, assign};

/// The route of a branch.
pub(super) enum Route<'a> {
    /// This activity is next.
    To(&'a Activity),
    /// The instance ends.
    End(Ending),
}

impl<'a> Transition<'a> {
    /// Completes an activity whose work is done: assigns its `output`, and takes the route that was chosen or that of its `next`.
    ///
    /// All or nothing: if `output` or `next` fails, neither takes effect, and the work stays done.
    pub(super) fn complete(
        &mut self,
        position: Position<'a>,
        result: Value,
        chosen: Option<Route<'a>>,
    ) -> Result<(), Incomplete> {
        // The work of an activity that chose its route is repeated with its `output`: it did nothing outside.
        let again = chosen.is_some();
        let kept =
            |failure, result| Incomplete::from(FailedWork { failure, result: if again { None } else { Some(result) } });
        let values = match self.scope(position).result(&result).values(&position.activity.output) {
            Ok(values) => values,
            Err(failure) => return Err(kept(failure, result)),
        };
        let before = match self.assign(values) {
            Ok(before) => before,
            Err(failure) => return Err(kept(failure, result)),
        };
        let route = match chosen {
            Some(route) => Ok(route),
            None => self.next_route(position, &position.activity.next, &result),
        };
        match route {
            Ok(route) => {
                let details = self.completion_details(position, &result, &route);
                self.record(EntryKind::ActivityCompleted, position, details);
                if self.definition.events.activity {
                    self.publish("activity_completed", json!({ "activity": position.activity.id }));
                }
                self.go_to(position, route);
                Ok(())
            }
            Err(failure) => {
                self.unassign(before);
                Err(kept(failure, result))
            }
        }
    }

    /// Skips an activity whose `when` does not hold; its `next` is evaluated with `result` null.
    pub(super) fn skip(&mut self, position: Position<'a>) -> Result<(), Incomplete> {
        let route = self.next_route(position, &position.activity.next, &Value::Null)?;
        let details = self.completion_details(position, &Value::Null, &route);
        self.record(EntryKind::ActivitySkipped, position, details);
        self.go_to(position, route);
        Ok(())
    }

    /// The route of a `next`. A map of messages leads to the following activity if there is no message (skipped, or an error caught).
    pub(super) fn next_route(
        &self,
        position: Position<'a>,
        next: &'a Next,
        result: &Value,
    ) -> Result<Route<'a>, Failure> {
        match next {
            Next::Following => match self.definition.following(&position.activity.id) {
                Some(activity) => Ok(Route::To(activity)),
                None => self.target(&Target::Exit),
            },
            Next::To(target) => self.target(target),
            Next::Choose(choices) => match self.choose(position, choices, result)? {
                Some(route) => Ok(route),
                None => Err(no_route(format!("no entry of `next` of `{}` holds", position.activity.id))),
            },
            Next::ByName(ways) => match result.get(next_key(position)).and_then(Value::as_str) {
                None => self.next_route(position, &Next::Following, result),
                Some(name) => match ways.get(name) {
                    Some(next) => self.next_route(position, next, result),
                    None => Err(no_route(format!("`next` of `{}` does not name `{name}`", position.activity.id))),
                },
            },
        }
    }

    /// The route of the first entry that holds.
    pub(super) fn choose(
        &self,
        position: Position<'a>,
        choices: &'a [Choice],
        result: &Value,
    ) -> Result<Option<Route<'a>>, Failure> {
        let scope = self.scope(position).result(result);
        for choice in choices {
            if scope.allows(choice.when.as_ref())? {
                return self.target(&choice.to).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn target(&self, target: &Target) -> Result<Route<'a>, Failure> {
        match target {
            Target::Activity(id) => match self.definition.activity(id) {
                Some(activity) => Ok(Route::To(activity)),
                None => Err(no_route(format!("there is no activity `{id}`"))),
            },
            Target::Exit => Ok(Route::End(Ending::Completed(self.output()?))),
        }
    }

    /// The `output` of the definition.
    pub(super) fn output(&self) -> Result<Value, Failure> {
        let scope = super::scope::Scope::whole(&self.instance, self.context);
        self.definition.output.as_ref().map_or(Ok(Value::Null), |output| limited_output(scope.value(output)?))
    }

    /// Moves a branch to its next activity, or ends the instance.
    pub(super) fn go_to(&mut self, position: Position<'a>, route: Route<'a>) {
        match route {
            Route::To(activity) => {
                let branch = self.branch_mut(position);
                branch.activity.clone_from(&activity.id);
                branch.phase = Phase::Ready;
                branch.attempt = 1;
                branch.failures.clear();
                branch.tried_at = None;
            }
            Route::End(ending) => self.end(ending),
        }
    }

    /// The history details of an activity that was completed or skipped: only what the definition does not already say.
    fn completion_details(&mut self, position: Position<'a>, result: &Value, route: &Route<'a>) -> Value {
        let mut details = Map::new();
        match &position.activity.work {
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
        details.extend(self.explicit_next(position, route).map(|to| ("next".into(), json!(to))));
        assign::details(details)
    }

    /// The target of a route, if it is not the following activity.
    pub(super) fn explicit_next(&self, position: Position<'a>, route: &Route<'a>) -> Option<&'a str> {
        let following = self.definition.following(&position.activity.id).map(|activity| activity.id.as_str());
        let to = match route {
            Route::To(activity) => Some(activity.id.as_str()),
            Route::End(_) => None,
        };
        let is_implied = to == following || matches!(position.activity.work, Work::End(_));
        if is_implied { None } else { to.or(Some("exit")) }
    }
}

/// The member of the result that selects an entry of a `next` by name.
fn next_key(position: Position<'_>) -> &'static str {
    match position.activity.work {
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

/// The output of an instance, or a failure if it is too large.
pub(super) fn limited_output(output: Value) -> Result<Value, Failure> {
    assign::limited("limit.output", "the output", output)
}

fn no_route(message: String) -> Failure {
    Failure::new("expression", message)
}
