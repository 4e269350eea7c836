//! `cancel` and `terminate`: end an instance.

use super::super::ending::Ending;
use super::super::transition::{Halt, Transition};
use super::super::{Audit, Step, admit};

/// Ends an instance that has not ended.
pub(in crate::engine) fn cancel(mut transition: Transition<'_>, audit: Audit) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    transition.end(Ending::Cancelled(audit));
    Ok(transition.done())
}

/// Ends an instance that has not ended, whatever its definition says about a cancellation.
pub(in crate::engine) fn terminate(mut transition: Transition<'_>, audit: Audit) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    transition.end(Ending::Terminated(audit));
    Ok(transition.done())
}
