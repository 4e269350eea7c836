//! The roles of a process. Each is a loop that can run on every node at once, and that learns what changed only from the database
//! or from the queue it consumes.

pub mod bulk;
pub mod caller;
pub mod cleaner;
pub mod dead_letters;
mod incoming;
pub mod relay;
pub mod timers;
pub mod worker;

use std::time::Duration;

use jiff::Timestamp;

use crate::app::{App, PublishQueues};

/// A role of a process.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Executes commands and steps.
    Worker,
    /// Publishes outbox rows that their writer has not published.
    Relay,
    /// Fires due timers, starts what is scheduled, and recovers silent branches.
    Timers,
    /// Makes calls.
    Caller,
    /// Works off bulk jobs.
    Bulk,
    /// Deletes expired rows and creates partitions.
    Cleaner,
    /// Stores messages that the broker could not deliver in the table `dead_letters`.
    DeadLetters,
    /// Serves the HTTP API.
    Api,
}

impl Role {
    /// Every role.
    pub const ALL: &[Role] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The role of that name.
    ///
    /// # Errors
    /// A sentence that lists the roles, or names those that took the place of an old one.
    pub fn parse(name: &str) -> Result<Role, String> {
        if name == "timekeeper" {
            return Err("the role `timekeeper` is now two: `timers` and `cleaner`".into());
        }
        name.parse().map_err(|_| {
            format!("`{name}` is not a role; the roles are {}", <Role as strum::VariantNames>::VARIANTS.join(", "))
        })
    }
}

/// Starts the loops of these roles. The owner of the HTTP listener starts `api`.
///
/// Every process publishes the rows it has written itself (`publish_queues`), whatever its roles.
pub fn start(app: &App, roles: &[Role], publish_queues: PublishQueues) {
    relay::start_publishers(app, publish_queues);
    for role in roles {
        match role {
            Role::Worker => worker::start(app),
            Role::Relay => {
                app.supervise("relay", |app| async move { relay::run(&app).await });
                app.supervise("relay", |app| async move { relay::handled::run(&app).await });
            }
            Role::Timers => timers::start(app),
            Role::Caller => caller::start(app),
            Role::Bulk => app.supervise("bulk", |app| async move { bulk::run(&app).await }),
            Role::Cleaner => app.supervise("cleaner", |app| async move { cleaner::run(&app).await }),
            Role::DeadLetters => app.supervise("dead_letters", |app| async move { dead_letters::run(&app).await }),
            Role::Api => {}
        }
    }
}

/// The pause until the next row is due, at least `min`, and at most `max`, because another row may be created meanwhile. `next` is
/// the time at which that row is due, and the present time, both by the database's clock.
fn until_next(next: Option<(Timestamp, Timestamp)>, min: Duration, max: Duration) -> Duration {
    let until = next.map(|(next, now)| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    until.unwrap_or(max).max(min).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_role_is_refused_with_the_new_ones() {
        assert_eq!(Role::parse("dead_letters"), Ok(Role::DeadLetters));
        assert_eq!(Role::parse("timekeeper").unwrap_err(), "the role `timekeeper` is now two: `timers` and `cleaner`");
        assert!(Role::parse("wroker").unwrap_err().contains("the roles are worker, relay"));
    }
}
