//! What integration tests are built on. There are two stages: [`InProcess`], one process in the memory of the test, and [`Processes`],
//! real processes. Both use a database and a queue prefix that no other test uses.

mod at_rest;
pub(crate) mod contract;
mod deaf;
mod eventually;
mod fault;
mod fresh;
mod in_process;
mod pgbouncer;
mod processes;
mod proxy;
mod queues;
mod sender;
mod servers;
pub(crate) mod target;
mod version;

pub(crate) use at_rest::{assert_at_rest, count, lines};
pub(crate) use deaf::Deaf;
pub(crate) use eventually::{SOON, eventually};
pub(crate) use fault::Fault;
pub(crate) use fresh::Fresh;
pub(crate) use in_process::{InProcess, Reply, broker, ledger};
pub(crate) use pgbouncer::{Names, PgBouncer, Pooling, StartUp};
pub(crate) use processes::{CommandLine, CommandOutput, Output, Processes, Program, finish};
pub(crate) use proxy::{Lost, Proxy, Weather};
pub(crate) use queues::Queues;
pub(crate) use sender::Sender;
pub(crate) use servers::{Private, shared};
pub(crate) use version::broker_version;
