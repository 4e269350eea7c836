//! The one way to change an instance: every command goes through the pipeline of [`execution`].

mod admission;
pub mod api_key;
mod applied;
pub mod audit;
mod broadcast;
pub mod bulk;
pub mod calls;
mod committed;
mod continuation;
mod control;
pub mod dead_letter;
pub mod definition;
mod dispatch;
mod effort;
pub mod erasure;
mod execution;
mod facts;
mod handler;
mod incident;
mod kept;
mod message;
mod muted;
mod once;
pub mod outbox;
mod overlooked;
mod preview;
mod priority;
mod publish;
mod rerun;
mod rows;
pub mod schedule;
mod start;
mod statement;
mod suspect;
mod tasks;
mod timer;

pub use admission::Turn;
pub use audit::Actor;
pub use broadcast::deliver;
pub use committed::{Applied, Committed, Executed, Follow, Next, find, newest_timer};
pub use continuation::{crash, fail_undeliverable, fail_unfireable, step};
pub use control::{control, operate};
pub use dead_letter::{Undelivered, dead_letter, redrive};
pub use incident::{Author, IncidentAction, Resolved, Run, change_group, resolve_incidents};
pub use message::{Delivered, message};
pub use once::{Answer, Origin, ReplyTo, answer_again};
pub use overlooked::{Overlooked, overlooked};
pub use preview::preview;
pub use priority::priority;
pub use publish::hand_on;
pub(crate) use publish::step_command;
pub use start::{Started, start};
pub use suspect::{acquit, fingerprint, suspect, verdict};
pub use tasks::{Claimed, task, task_next};
pub use timer::{fire, reschedule};

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::TaskRefusal;
use crate::fault::Class;
use crate::store::{self, Undo};

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database: try again, at once or later.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The input of a start does not fit the definition.
    #[error("{why}")]
    Invalid {
        /// A sentence for a person.
        why: String,
        /// Each problem by itself, its place first, where that is known.
        problems: Vec<String>,
    },
    /// The command is refused for this reason; the same command will be refused again.
    #[error("{0}")]
    Refused(String),
    /// A limit of starts has no place for it now.
    #[error("{why}")]
    Limited {
        /// Which limit, and what to do.
        why: String,
        /// What becomes of the start.
        over: OverLimit,
        /// How long that is from now on.
        wait: Duration,
    },
    /// The instance has changed since the sender has read it.
    #[error("{0}")]
    Changed(String),
    /// The attempt or the call that the command is about has ended.
    #[error("{0}")]
    Late(String),
    /// What the command names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The action on the task is refused.
    #[error(transparent)]
    Task(TaskRefusal),
    /// The same message id came with another body.
    #[error("message `{0}` was received before with another body; a new command needs a new message id")]
    Reused(String),
}

/// What becomes of a start that is over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// It has a place, and begins at this time.
    BeginsAt(Timestamp),
    /// It asks again at this time.
    AsksAt(Timestamp),
    /// It is refused; the next place is free at this time.
    Refused {
        /// When.
        free_at: Timestamp,
    },
}

impl Error {
    /// Its class, which says how a command recovers. What is not the database's is the sender's: the same command is refused again.
    pub fn class(&self) -> Class {
        match self {
            Error::Store(error) => error.class(),
            Error::Limited { over: OverLimit::BeginsAt(_) | OverLimit::AsksAt(_), .. } => Class::RateLimited,
            Error::Limited { over: OverLimit::Refused { .. }, .. } => Class::Business,
            Error::Invalid { .. }
            | Error::Refused(_)
            | Error::Changed(_)
            | Error::Late(_)
            | Error::NotFound(_)
            | Error::Task(_)
            | Error::Reused(_) => Class::Business,
        }
    }
}

impl<T> From<Error> for Undo<T, Error> {
    fn from(error: Error) -> Self {
        Undo::Error(error)
    }
}

/// A place where a test can kill the process over one command; nothing without the feature `failpoints`.
pub fn fail_point_at(place: &str, what: &str) {
    crate::failpoint::reach_at(place, what);
}

/// A place where a test can kill the process; nothing without the feature `failpoints`.
pub fn fail_point(name: &'static str) {
    crate::failpoint::reach(name);
}
