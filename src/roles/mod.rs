//! The loops a process can play. Each is `run` around one turn, can run on every node at once, and learns what changed only
//! from the database or the queue it serves.

pub mod caller;
pub mod cleaner;
mod command;
pub mod dead_letters;
pub mod relay;
pub mod timers;
pub mod worker;

use std::time::Duration;

use jiff::Timestamp;

use crate::app::{App, PublishQueue};

/// A loop a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Carries out commands and takes steps.
    Worker,
    /// Publishes outbox rows that their writer has not published.
    Relay,
    /// Fires due timers, starts what is scheduled, and recovers silent branches.
    Timers,
    /// Makes calls.
    Caller,
    /// Deletes what has expired and creates partitions.
    Cleaner,
    /// Stores what the broker could not deliver in the table `dead_letters`.
    DeadLetters,
    /// Serves the HTTP API.
    Api,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 7] =
        [Role::Worker, Role::Relay, Role::Timers, Role::Caller, Role::Cleaner, Role::DeadLetters, Role::Api];

    /// The word used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::Worker => "worker",
            Role::Relay => "relay",
            Role::Timers => "timers",
            Role::Caller => "caller",
            Role::Cleaner => "cleaner",
            Role::DeadLetters => "dead_letters",
            Role::Api => "api",
        }
    }

    /// The role of that name.
    ///
    /// # Errors
    /// A sentence that lists the roles, or names those that took the place of an old one.
    pub fn parse(name: &str) -> Result<Role, String> {
        if name == "timekeeper" {
            return Err("the role `timekeeper` is now two: `timers` and `cleaner`".into());
        }
        let known = || Self::ALL.map(Role::name).join(", ");
        let found = Self::ALL.into_iter().find(|role| role.name() == name);
        found.ok_or_else(|| format!("`{name}` is not a role; the roles are {}", known()))
    }
}

/// Starts the loops of these roles; `api` is started by whoever owns the listener.
///
/// Every process that writes rows publishes its own (`publish_queue`), whatever its roles.
pub fn start(app: &App, roles: &[Role], publish_queue: PublishQueue) {
    relay::start_publishers(app, publish_queue);
    for role in roles {
        match role {
            Role::Worker => worker::start(app),
            Role::Relay => app.supervise("relay", |app| async move { relay::run(&app).await }),
            Role::Timers => timers::start(app),
            Role::Caller => caller::start(app),
            Role::Cleaner => app.supervise("cleaner", |app| async move { cleaner::run(&app).await }),
            Role::DeadLetters => app.supervise("dead_letters", |app| async move { dead_letters::run(&app).await }),
            Role::Api => {}
        }
    }
}

/// How long a duty rests: until the next thing is due by the database's clock, but not shorter than `least`, and never longer
/// than `longest`, for something may be opened meanwhile. `next` is when that is, and the database's time.
fn until_next(next: Option<(Timestamp, Timestamp)>, least: Duration, longest: Duration) -> Duration {
    let until = next.map(|(next, now)| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    until.unwrap_or(longest).max(least).min(longest)
}
