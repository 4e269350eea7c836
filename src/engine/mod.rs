//! Decides, touches nothing: no clock, no database, no broker, no randomness.
//!
//! Everything here is a function of its arguments: the same definition, instance, command, facts and context give the
//! same [`Step`]. A command that changes nothing is a [`Refusal`].

mod admit;
mod assign;
mod call;
mod command;
mod effect;
mod execute;
mod failure;
mod flow;
mod instance;
mod intervene;
mod needs;
mod scope;
mod start;
mod step;
mod task;
mod transition;
mod wait;

#[cfg(test)]
mod tests;

pub use call::*;
pub use command::*;
pub use effect::*;
pub use instance::*;
pub use needs::needs;
pub use start::start;
pub use step::step;
pub use task::*;
