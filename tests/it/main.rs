//! Everything that needs a real PostgreSQL or RabbitMQ, in one binary: it links once.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod abuse;
mod availability;
mod broker;
mod calls;
mod cli;
mod client;
mod contract;
mod crash;
mod dead_letters;
mod depth;
mod examples;
mod faults;
mod http;
mod incidents;
mod isolation;
mod links;
mod numbers;
mod openapi;
mod operations;
mod outgoing;
mod poison;
mod pressure;
mod priority;
mod races;
mod records;
mod reliability;
mod retention;
mod sandbox;
mod schedules;
mod senders;
mod sessions;
mod skeleton;
mod starvation;
mod statements;
mod store;
mod support;
mod tasks;
mod telemetry;
mod verdicts;
mod waits;
mod wakes;
mod workers;
