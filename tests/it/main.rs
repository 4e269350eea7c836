//! Everything that needs a real PostgreSQL or RabbitMQ, in one binary: it links once.

mod sandbox;
mod support;
