//! What strangers and slips can do: each guard is tried with harmless input.

mod crashes;
mod doors;
mod kept;
mod permissions;
mod senders;
