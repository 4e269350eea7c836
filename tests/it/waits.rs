//! Waits: messages and broadcasts, timers of every size, interventions, and services that send in their own transactions.

mod clocks;
mod interventions;
mod messages;
mod sql;
mod timers;
