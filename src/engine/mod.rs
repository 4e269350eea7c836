//! Decides, touches nothing: no clock, no database, no broker, no randomness.

mod command;
mod effect;
mod instance;

pub use command::*;
pub use effect::*;
pub use instance::*;
