//! What strangers and slips can do at each door: each guard is tried with harmless input.

mod connections;
mod crashes;
mod doors;
mod kept;
mod pages;
mod permissions;
mod senders;
mod terminal;
mod waits;
