//! What an activity does: one arm per kind.

use serde_json::Value;

use crate::definition::expression::{Data, Template};
use crate::definition::{End, Runs, Work};

use super::admit::Position;
use super::failure::Incomplete;
use super::flow::{Ending, Route, ends_with};
use super::transition::Transition;
use super::{Facts, Failure, assign, needs};

impl<'a> Transition<'a> {
    /// Does the work of the activity a branch stands at, and goes on, waits or ends.
    pub(super) fn execute(&mut self, position: Position<'a>, facts: Facts) -> Result<(), Incomplete> {
        self.begin(position);
        // A handler that has run was allowed to when it was asked for.
        let has_run = matches!(position.activity.work, Work::Run { .. }) && facts.handler.is_some();
        if !has_run && !self.scope(position).allows(position.activity.when.as_ref())? {
            return self.skip(position);
        }
        match &position.activity.work {
            Work::Set(assignments) => {
                let values = self.scope(position).values(assignments)?;
                self.assign(values)?;
                self.complete(position, Value::Null, None)
            }
            Work::Switch(choices) => {
                let route = self.choose(position, choices, &Value::Null)?;
                self.complete(position, Value::Null, route)
            }
            Work::Run { runs, input } => {
                let result = self.run(position, (runs, input), facts.handler)?;
                self.complete(position, result, None)
            }
            Work::Emit { event, body } => {
                let data = assign::told("limit.event", "the event", self.scope(position).value(body)?)?;
                self.publish(event, data);
                self.complete(position, Value::Null, None)
            }
            Work::Wait(wait) => self.wait(position, wait),
            Work::Receive(alternatives) => self.receive(position, alternatives, facts.messages),
            Work::Raise { code, message, data } => {
                Err(self.error(position, (code, message.as_ref(), data.as_ref()))?.into())
            }
            Work::End(end) => self.finish(position, end),
            Work::Task(task) => self.open_task(position, task, facts),
            Work::Http(http) => self.open_http(position, http),
            Work::Call(call) => self.open_work(position, call),
        }
    }

    fn begin(&mut self, position: Position<'a>) {
        if self.branch(position).attempt > 1 {
            return;
        }
        let visits = &mut self.instance.state.visits;
        match visits.get_mut(&position.activity.id) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                visits.insert(position.activity.id.clone(), 1);
            }
        }
    }

    fn run(
        &mut self,
        position: Position<'a>,
        work: (&Runs, &Data),
        outcome: Option<Result<Value, Failure>>,
    ) -> Result<Value, Incomplete> {
        match outcome {
            Some(outcome) => Ok(outcome?),
            // The handler was not run: either its input cannot be evaluated, or the caller did not run it.
            None => match needs::call(&self.scope(position), self.branch(position), position.activity, work) {
                Ok(_) => Err(Incomplete::Missing),
                Err(failure) => Err(failure.into()),
            },
        }
    }

    /// An error as an author words it.
    fn error(
        &self,
        position: Position<'a>,
        (code, message, data): (&Template, Option<&Template>, Option<&Data>),
    ) -> Result<Failure, Failure> {
        let scope = self.scope(position);
        let code = scope.text(code)?;
        let message = message.map_or_else(|| Ok(code.clone()), |message| scope.text(message))?;
        let data = data.map_or(Ok(Value::Null), |data| scope.value(data))?;
        Ok(Failure { code, message, data })
    }

    fn finish(&mut self, position: Position<'a>, end: &'a End) -> Result<(), Incomplete> {
        let ending = match end {
            End::Completed(Some(output)) => Ending::Completed(ends_with(self.scope(position).value(output)?)?),
            End::Completed(None) => Ending::Completed(self.output()?),
            End::Failed { code, message, data } => {
                Ending::Failed(self.error(position, (code, message.as_ref(), data.as_ref()))?)
            }
            End::Cancelled => Ending::Cancelled { by: None, reason: None },
        };
        self.complete(position, Value::Null, Some(Route::End(ending)))
    }
}
