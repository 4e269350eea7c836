//! `run`: completes with the outcome of a handler or statement.

use serde_json::Value;

use crate::definition::{Runs, Timeout};
use crate::expression::Data;

use super::super::admit::Position;
use super::super::failure::Incomplete;
use super::super::transition::Transition;
use super::super::{Failure, HandlerCall, Need};

impl<'a> Transition<'a> {
    pub(super) fn run(
        &mut self,
        position: Position<'a>,
        runs: &Runs,
        input: &Data,
        outcome: Option<Result<Value, Failure>>,
    ) -> Result<(), Incomplete> {
        let Some(outcome) = outcome else {
            return Err(Need::Handler(self.handler_call(position, runs, input)?).into());
        };
        self.complete(position, outcome?, None)
    }

    fn handler_call(&self, position: Position<'a>, runs: &Runs, input: &Data) -> Result<HandlerCall, Failure> {
        let scope = self.scope(position);
        let timeout = match &position.activity.timeout {
            Timeout::Default => Some(self.context.handler_timeout),
            Timeout::None => None,
            Timeout::After(template) => Some(scope.duration(template)?),
        };
        let branch = self.branch(position);
        Ok(HandlerCall {
            branch: branch.id,
            activity: position.activity.id.clone(),
            attempt: branch.attempt,
            runs: runs.clone(),
            input: scope.value(input)?,
            timeout,
        })
    }
}
