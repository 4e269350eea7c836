//! Durable workflows on PostgreSQL and RabbitMQ.
//!
//! A workflow is a document. Its instances are started and controlled by commands, over RabbitMQ, HTTP or SQL. Workers consume step
//! commands and take one step per database transaction; what a step wants done outside is a row of the outbox, which a relay
//! publishes. RabbitMQ may lose, repeat or reorder anything: nothing committed is lost, and no step takes effect twice.
//!
//! # Where to begin
//!
//! | You want to | Read |
//! |---|---|
//! | run workflows with handlers of your own | [`handlers`], then [`cli::run`] |
//! | start instances from another service | [`client`] (the feature `client` alone is enough), [`contract`] |
//! | test a definition without any server | [`testkit`] |
//! | check a document | [`definition::Definition::parse`] |
//! | write a workflow | `docs/language.md` in the repository |
//! | know what is promised | `docs/protocol.md` |
//!
//! # The map
//!
//! Rooms stand on floors, and use only the floors below them; the modules here are in reading order, from the ground up.
//!
//! | Floor | Rooms |
//! |---|---|
//! | 0 | [`contract`] what outsiders see; [`time`] durations and the clock; [`limits`] backoff, breaker, rate, bulkhead; [`config`] settings; [`definition`] what an author writes; [`telemetry`] logs and metrics |
//! | 1 | [`engine`] decides and touches nothing; [`testkit`] runs it in memory |
//! | 2 | [`broker`] is RabbitMQ, [`store`] is PostgreSQL; they do not know each other; [`secrets`] what requests carry and nobody sees |
//! | 3 | [`step`] the one door to an instance; [`handlers`] users' code; [`app`] what everybody above shares; [`client`] for other services |
//! | 4 | [`roles`] the loops; [`http`] the door for programs |
//! | 5 | [`cli`] the command line; [`sandbox`] private servers for development and tests |
//!
//! # The path of a step
//!
//! [`broker`] takes a delivery → [`roles`] reads a command of [`contract`] and opens a stride → [`step`] loads the instance and
//! asks [`engine::needs()`] which facts are required → [`engine::step()`] decides: the instance as it will be, and effects →
//! [`store::commit`] writes all of it in one transaction, guarded by the revision → the next step, or the acknowledgement →
//! [`roles::relay`] publishes the outbox rows.

pub mod contract;
pub mod limits;
pub mod time;

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod definition;
#[cfg(feature = "server")]
pub mod failpoint;
#[cfg(feature = "server")]
pub mod telemetry;

#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod testkit;

pub mod broker;
#[cfg(feature = "server")]
pub mod secrets;
#[cfg(feature = "server")]
pub mod store;

#[cfg(feature = "server")]
pub mod app;
pub mod client;
#[cfg(feature = "server")]
pub mod handlers;
#[cfg(feature = "server")]
pub mod step;

#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod roles;

#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod sandbox;
#[cfg(feature = "server")]
pub mod server;

/// The examples of README.md are compiled with the documentation's.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
