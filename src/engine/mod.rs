//! Decides what a command does to an instance, and touches nothing: no clock, no database, no broker, no randomness.
//!
//! Everything here is a function of its arguments: the same definition, instance, command, facts and context give the same
//! [`Decision`]. [`decide()`] is the entry; [`start()`] is the entry for an instance that does not exist yet.

mod activity;
mod admit;
mod assign;
mod call;
mod command;
mod decide;
mod effect;
mod ending;
mod facts;
mod failure;
mod flow;
mod incident;
mod instance;
mod lifecycle;
mod refusal;
mod scope;
mod search;
mod task;
mod transition;

#[cfg(test)]
mod tests;

pub use admit::require_revision;
pub use call::*;
pub use command::*;
pub use decide::{Decision, decide};
pub use effect::*;
pub use facts::*;
pub use instance::*;
pub use lifecycle::restart::{Restart, restart};
pub use lifecycle::start::start;
pub use refusal::Refusal;
pub use search::{Attribute, AttributeValue};
pub use task::*;
