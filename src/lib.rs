//! Durable workflows on PostgreSQL and RabbitMQ.

pub mod contract;
pub mod resilience;

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod definition;
#[cfg(feature = "server")]
pub mod telemetry;

#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod testkit;

pub mod broker;
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
