//! What one broken part must not take with it: a queue that does not answer, a lost database connection, a missing standby.

mod commands;
mod commits;
mod connections;
mod queues;
