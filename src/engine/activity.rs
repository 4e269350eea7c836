//! The execution of an activity, by its kind.

mod raise;
mod receive;
mod run;
mod wait;

use serde_json::Value;

use crate::definition::Work;

use super::admit::Position;
use super::failure::Incomplete;
use super::transition::Transition;
use super::{Facts, assign};

impl<'a> Transition<'a> {
    /// Executes the current activity of a branch: it completes, waits or ends the instance.
    pub(super) fn execute(&mut self, position: Position<'a>, facts: Facts) -> Result<(), Incomplete> {
        self.begin(position);
        // `when` held before the handler ran, and is not evaluated again.
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
            Work::Run { runs, input } => self.run(position, runs, input, facts.handler),
            Work::Emit { event, body } => {
                let data = assign::limited("limit.event", "the event", self.scope(position).value(body)?)?;
                self.publish(event, data);
                self.complete(position, Value::Null, None)
            }
            Work::Wait(wait) => self.wait(position, wait),
            Work::Receive(alternatives) => self.receive(position, alternatives, facts.messages),
            Work::Raise { code, message, data } => {
                Err(self.error(position, code, message.as_ref(), data.as_ref())?.into())
            }
            Work::End(end) => self.finish(position, end),
            Work::Task(task) => self.open_task(position, task, facts.ranks),
            Work::Http(http) => self.open_http(position, http),
            Work::Call(call) => self.open_work(position, call),
        }
    }

    /// Counts a visit of the activity; another attempt is not another visit.
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
}
