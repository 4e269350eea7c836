//! Races, in every order: before, at the same moment, after, twice and too late.

mod control;
mod http;
mod messages;
mod starts;
mod timers;

/// Rounds of a race without a certain winner.
const ROUNDS: i64 = 30;
