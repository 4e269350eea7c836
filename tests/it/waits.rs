//! Waiting: messages for one and for all, timers of every size, people who step in, and services that send from their own tables.

mod clocks;
mod interventions;
mod messages;
mod sql;
mod timers;
