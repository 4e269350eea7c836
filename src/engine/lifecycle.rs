//! Commands to an instance or to one of its branches: a file for each, and `replay` for those that continue a suspended instance.

pub(super) mod cancel;
pub(super) mod continuation;
pub(super) mod crash;
pub(super) mod deliver;
pub(super) mod fire;
pub(super) mod jump;
pub(super) mod queue;
pub(super) mod remedy;
pub(super) mod replay;
pub(super) mod reschedule;
pub(super) mod resolve;
pub(super) mod restart;
pub(super) mod retry;
pub(super) mod skip;
pub(super) mod start;
pub(super) mod suspend;
pub(super) mod variables;
