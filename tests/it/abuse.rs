//! What strangers, slips and small things can do at each door: each guard is tried with harmless input, just above its bound.

mod bounds;
mod call_ends;
mod connections;
mod crashes;
mod doors;
mod kept;
mod pages;
mod permissions;
mod senders;
mod terminal;
mod waits;
