//! What an activity does: one arm per kind.

use serde_json::Value;

use crate::definition::{End, Runs, Work};
use crate::expression::{Data, Template};

use super::admit::Stand;
use super::fault::Stop;
use super::flow::{Ending, Way, ends_with};
use super::turn::Turn;
use super::{Facts, Failure, assign, needs};

impl<'a> Turn<'a> {
    /// Does the work of the activity a branch stands at, and goes on, waits or ends.
    pub(super) fn execute(&mut self, stand: Stand<'a>, facts: Facts) -> Result<(), Stop> {
        self.begin(stand);
        // A handler that has run was allowed to when it was asked for.
        let has_run = matches!(stand.activity.work, Work::Run { .. }) && facts.handler.is_some();
        if !has_run && !self.sight(stand).allows(stand.activity.when.as_ref())? {
            return self.skip(stand);
        }
        match &stand.activity.work {
            Work::Set(assignments) => {
                let values = self.sight(stand).values(assignments)?;
                self.assign(values)?;
                self.complete(stand, Value::Null, None)
            }
            Work::Switch(choices) => {
                let way = self.choose(stand, choices, &Value::Null)?;
                self.complete(stand, Value::Null, way)
            }
            Work::Run { runs, input } => {
                let result = self.run(stand, (runs, input), facts.handler)?;
                self.complete(stand, result, None)
            }
            Work::Emit { event, body } => {
                let data = assign::told("limit.event", "the event", self.sight(stand).value(body)?)?;
                self.publish(event, data);
                self.complete(stand, Value::Null, None)
            }
            Work::Wait(wait) => self.wait(stand, wait),
            Work::Receive(alternatives) => self.receive(stand, alternatives, facts.messages),
            Work::Raise { code, message, data } => {
                Err(self.error(stand, (code, message.as_ref(), data.as_ref()))?.into())
            }
            Work::End(end) => self.finish(stand, end),
            Work::Task(task) => self.open_task(stand, task, facts),
            Work::Http(http) => self.open_http(stand, http),
            Work::Call(call) => self.open_work(stand, call),
        }
    }

    fn begin(&mut self, stand: Stand<'a>) {
        if self.branch(stand).attempt > 1 {
            return;
        }
        let visits = &mut self.instance.state.visits;
        match visits.get_mut(&stand.activity.id) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                visits.insert(stand.activity.id.clone(), 1);
            }
        }
    }

    fn run(
        &mut self,
        stand: Stand<'a>,
        work: (&Runs, &Data),
        outcome: Option<Result<Value, Failure>>,
    ) -> Result<Value, Stop> {
        match outcome {
            Some(outcome) => Ok(outcome?),
            // The handler was not run: either its input cannot be evaluated, or the caller did not run it.
            None => match needs::call(&self.sight(stand), self.branch(stand), stand.activity, work) {
                Ok(_) => Err(Stop::Missing),
                Err(failure) => Err(failure.into()),
            },
        }
    }

    /// An error as an author words it.
    fn error(
        &self,
        stand: Stand<'a>,
        (code, message, data): (&Template, Option<&Template>, Option<&Data>),
    ) -> Result<Failure, Failure> {
        let sight = self.sight(stand);
        let code = sight.text(code)?;
        let message = message.map_or_else(|| Ok(code.clone()), |message| sight.text(message))?;
        let data = data.map_or(Ok(Value::Null), |data| sight.value(data))?;
        Ok(Failure { code, message, data })
    }

    fn finish(&mut self, stand: Stand<'a>, end: &'a End) -> Result<(), Stop> {
        let ending = match end {
            End::Completed(Some(output)) => Ending::Completed(ends_with(self.sight(stand).value(output)?)?),
            End::Completed(None) => Ending::Completed(self.output()?),
            End::Failed { code, message, data } => {
                Ending::Failed(self.error(stand, (code, message.as_ref(), data.as_ref()))?)
            }
            End::Cancelled => Ending::Cancelled { by: None, reason: None },
        };
        self.complete(stand, Value::Null, Some(Way::Ends(ending)))
    }
}
