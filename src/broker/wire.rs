//! AMQP 0-9-1 on the wire: addresses messages, and rewrites frames that the client library cannot parse.

pub(super) mod envelope;
mod properties;
pub(super) mod sieve;
pub(super) mod socket;
