//! What commands do to an instance as a whole or to one of its branches. Each file is one command, or one end of it.

pub(super) mod continuation;
pub(super) mod crash;
pub(super) mod deliver;
pub(super) mod end;
pub(super) mod fire;
pub(super) mod replay;
pub(super) mod reschedule;
pub(super) mod retry;
pub(super) mod start;
pub(super) mod suspend;
