//! PostgreSQL: the only room that uses it. What is committed here is the truth; broker, memory and caches may be lost.

mod address;
pub mod api_keys;
pub mod audit;
pub mod bench;
pub mod bookmarks;
pub mod bulk;
pub mod calls;
pub mod commit;
pub mod commits;
mod connection;
pub mod dead_letters;
pub mod definitions;
mod dial;
pub mod erasure;
mod error;
pub mod exports;
pub mod history;
pub mod inbox;
pub mod incidents;
pub mod instances;
mod json;
mod locks;
pub mod messages;
pub mod migrate;
mod moment;
pub mod outbox;
pub mod page;
mod pool;
mod pulse;
pub mod retention;
pub mod schedules;
mod schema;
pub mod search;
pub mod session;
mod sql;
pub mod start_limits;
mod statement;
pub mod statements;
pub mod stuck;
pub mod suspects;
pub mod targets;
pub mod tasks;
mod transaction;
pub mod views;
pub mod vitals;
pub mod waits;
pub mod write;

pub use connection::{Connection, Transactions};
pub use error::{Error, describe};
pub use json::{refuse_nul_in, refuse_unfit};
pub use pool::{Lease, PoolUse, Store};
pub use transaction::{Transaction, Undo};

/// The error of a query in a handler.
pub type QueryError = diesel::result::Error;
