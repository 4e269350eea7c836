//! Calls are made here, outside of any transaction.

pub mod limits;
pub mod outgoing;
