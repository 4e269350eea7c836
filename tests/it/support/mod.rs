//! What integration tests stand on: servers, a database and a queue prefix of their own, our program as a process, and patience.

// `allow`, not `expect`: which of these a build uses changes with every test that is written.
#![allow(dead_code, unused_imports, reason = "the tests of crashes, which need all of it, come with the worker")]

mod command;
pub(crate) mod contract;
mod eventually;
mod fresh;
mod house;
pub(crate) mod ledger;
mod program;
mod proxy;
mod rest;
pub(crate) mod rig;
mod running;
mod scene;
mod seen;
mod sender;
mod servers;
pub(crate) mod target;
pub(crate) mod wire;

pub(crate) use command::{Leveret, Ran, finish, listens};
pub(crate) use eventually::eventually;
pub(crate) use fresh::Fresh;
pub(crate) use house::{ENDS_WITHIN, House};
pub(crate) use program::Program;
pub(crate) use proxy::{Lost, Proxy};
pub(crate) use rest::{assert_at_rest, count, lines};
pub(crate) use running::{InProcess, Reply};
pub(crate) use scene::Scene;
pub(crate) use seen::Queues;
pub(crate) use sender::{APP_ID, Sender};
pub(crate) use servers::{Private, shared};
