//! PostgreSQL, statement by statement: what is written, guarded, claimed and refused.

mod commits;
mod database;
mod histories;
mod migrations;
mod queues;
mod rows;
