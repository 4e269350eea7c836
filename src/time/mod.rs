//! Durations, and the database's clock as far as this process knows it.

pub mod clock;
pub mod duration;
