//! `raise` and `end`: errors and endings by the author of the definition.

use serde_json::Value;

use crate::definition::End;
use crate::expression::{Data, Template};

use super::super::admit::Position;
use super::super::ending::Ending;
use super::super::failure::Incomplete;
use super::super::flow::{Route, limited_output};
use super::super::transition::Transition;
use super::super::{Audit, Failure};

impl<'a> Transition<'a> {
    /// The failure with this code, message and data. Without a message, the code is the message. An invalid code fails itself, as
    /// `expression`: no `on_error` could name it.
    pub(super) fn error(
        &self,
        position: Position<'a>,
        code: &Template,
        message: Option<&Template>,
        data: Option<&Data>,
    ) -> Result<Failure, Failure> {
        let scope = self.scope(position);
        let code = scope.code(code)?;
        let message = message.map_or_else(|| Ok(code.clone()), |message| scope.text(message))?;
        let data = data.map_or(Ok(Value::Null), |data| scope.value(data))?;
        Ok(Failure { code, message, data })
    }

    /// Ends the instance as an `end` says.
    pub(super) fn finish(&mut self, position: Position<'a>, end: &'a End) -> Result<(), Incomplete> {
        let ending = match end {
            End::Completed(Some(output)) => Ending::Completed(limited_output(self.scope(position).value(output)?)?),
            End::Completed(None) => Ending::Completed(self.output()?),
            End::Failed { code, message, data } => {
                Ending::Failed(self.error(position, code, message.as_ref(), data.as_ref())?)
            }
            End::Cancelled => Ending::Cancelled(Audit::default()),
        };
        self.complete(position, Value::Null, Some(Route::End(ending)))
    }
}
