//! What integration tests are built on. There are two stages: [`InProcess`], one process in the memory of the test, and [`Processes`],
//! real processes. Both use a database and a queue prefix that no other test uses.

// `allow`, not `expect`: which of these a build uses changes with every test that is written.
#![allow(dead_code, unused_imports, reason = "the tests use all of it, one feature only a part")]

pub(crate) mod amqp_bytes;
mod at_rest;
pub(crate) mod contract;
mod eventually;
mod fresh;
mod in_process;
mod processes;
mod proxy;
mod queues;
mod sender;
mod servers;
pub(crate) mod target;

pub(crate) use at_rest::{assert_at_rest, count, lines};
pub(crate) use eventually::{SOON, eventually};
pub(crate) use fresh::Fresh;
pub(crate) use in_process::{InProcess, Reply, broker, ledger};
pub(crate) use processes::{CommandLine, CommandOutput, Output, Processes, Program, finish};
pub(crate) use proxy::{Lost, Proxy};
pub(crate) use queues::Queues;
pub(crate) use sender::{APP_ID, Sender};
pub(crate) use servers::{Private, shared};
