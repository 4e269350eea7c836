//! Durable workflows on PostgreSQL and RabbitMQ.
//!
//! A workflow is a document. Commands start and control its instances, over RabbitMQ, HTTP or SQL. Workers consume step commands
//! and take one step per database transaction. External effects of a step are rows of the outbox, written in the same transaction
//! and published afterwards. RabbitMQ may lose, repeat or reorder messages: no committed step is lost, and none takes effect twice.
//!
//! # Where to start
//!
//! | Task | Read |
//! |---|---|
//! | run workflows with your own handlers | [`handlers`], then [`cli::run`] |
//! | run Leveret inside another program | [`server::Server`] |
//! | start instances from another service | [`client`] (the feature `client` alone is enough), [`contract`] |
//! | test a definition without servers | [`testkit`] |
//! | check a document | [`definition::Definition::parse`] |
//! | write a workflow | `docs/language.md` in the repository |
//! | look up the guarantees | `docs/protocol.md` |
//!
//! # Rooms
//!
//! A top-level module is called a room. Rooms have floors and use only lower ones; the modules below are in reading order.
//!
//! | Floor | Rooms |
//! |---|---|
//! | 0 | [`contract`] messages and API bodies; [`time`] clock, durations, cron, zones; [`limits`] backoff, breaker, rate, bulkhead; [`fault`] classes of errors; [`config`] settings; [`expression`] the expression language; [`definition`] workflow documents; [`telemetry`] logs, metrics, spans; [`failpoint`] places where tests kill the process; [`seeded`] bugs that tests put in; [`link`] URLs, certificates and secrets of connections |
//! | 1 | [`engine`] decides without I/O; [`testkit`] runs it in memory; [`graph`] draws definitions and instances |
//! | 2 | [`broker`] RabbitMQ; [`store`] PostgreSQL; [`outgoing`] the HTTP client; [`secrets`] of outgoing requests; none uses another |
//! | 3 | [`command`] the only entry point to an instance; [`handlers`] of users; [`app`] the handles shared by the floors above; [`client`] for other services |
//! | 4 | [`roles`] the loops; [`http`] the API |
//! | 5 | [`server`] starts and stops a process; [`cli`] the command line; [`sandbox`] private servers for development and tests |
//!
//! # The path of a step
//!
//! [`broker`] receives a delivery → [`roles`] parses the command of [`contract`] → [`command`] loads the instance and the facts that the
//! decision needs → [`engine`] decides: the new state of the instance, and effects → [`store::commit`] writes both in one transaction,
//! guarded by the revision → [`roles`] takes the next step or acknowledges the delivery → [`roles::relay`] publishes the outbox rows.

pub mod contract;
pub mod fault;
pub mod limits;
pub mod link;
pub mod time;

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod definition;
#[cfg(feature = "server")]
pub mod expression;
#[cfg(feature = "server")]
pub mod failpoint;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod seeded;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
mod text;

#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod graph;
#[cfg(feature = "server")]
pub mod testkit;

pub mod broker;
#[cfg(feature = "server")]
pub mod outgoing;
#[cfg(feature = "server")]
pub mod secrets;
#[cfg(feature = "server")]
pub mod store;

#[cfg(feature = "server")]
pub mod app;
pub mod client;
#[cfg(feature = "server")]
pub mod command;
#[cfg(feature = "server")]
pub mod handlers;

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

/// Compiles the Rust examples of README.md as documentation tests.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
