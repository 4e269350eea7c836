//! AMQP 0-9-1 on the wire: addresses messages, and rewrites frames that are more than the client library takes.

pub(super) mod envelope;
pub(super) mod properties;
pub(super) mod sieve;
pub(super) mod socket;
