//! The loops a process can play. Each is `run` around one turn, can run on every node at once, and learns what changed only
//! from the database or the queue it serves.

mod bounce;
pub mod caller;
mod calls;
mod command;
pub mod relay;
pub mod scheduler;
pub mod stride;
mod tasks;
pub mod timekeeper;
pub mod undertaker;
pub mod worker;

use std::time::Duration;

use jiff::Timestamp;

use crate::app::{App, HandedOver};

/// A loop a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes steps.
    Worker,
    /// Publishes committed rows.
    Relay,
    /// Wakes what is due and what was forgotten, and starts what is scheduled.
    Timekeeper,
    /// Answers over HTTP.
    Api,
    /// Makes calls.
    Caller,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Worker, Role::Relay, Role::Timekeeper, Role::Api, Role::Caller];

    /// The word used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::Worker => "worker",
            Role::Relay => "relay",
            Role::Timekeeper => "timekeeper",
            Role::Api => "api",
            Role::Caller => "caller",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Role> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Starts the loops of these roles; `api` is started by whoever owns the listener.
///
/// Every process that writes rows publishes its own (`handed_over`), whatever its roles.
pub fn start(app: &App, roles: &[Role], handed_over: HandedOver) {
    relay::start_handed_over(app, handed_over);
    for role in roles {
        match role {
            Role::Worker => {
                worker::start(app);
                app.supervise("undertaker", |app| async move { undertaker::run(&app).await });
            }
            Role::Relay => app.supervise("relay", |app| async move { relay::run(&app).await }),
            Role::Timekeeper => {
                app.supervise("timekeeper", |app| async move { timekeeper::run(&app).await });
                app.supervise("scheduler", |app| async move { scheduler::run(&app).await });
            }
            Role::Api => {}
            Role::Caller => caller::start(app),
        }
    }
}

/// How long a duty rests: until the next thing is due by the database's clock, but not shorter than `least`, and never longer
/// than `longest`, for something may be opened meanwhile. `next` is when that is, and the database's time.
fn until_next(next: Option<(Timestamp, Timestamp)>, least: Duration, longest: Duration) -> Duration {
    let until = next.map(|(next, now)| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    until.unwrap_or(longest).max(least).min(longest)
}
