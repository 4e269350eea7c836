//! Faults: every error is of one class, and its class says how Leveret recovers. This is the one table of them; what retries, routes
//! or gives up asks it, and docs/faults.md is written from it.

mod broker;
mod codes;
mod database;
#[cfg(feature = "server")]
mod fingerprint;
#[cfg(feature = "server")]
mod page;

pub use broker::{BROKER, BrokerAnswer, BrokerFault, of_reply};
pub use codes::{CODES, CodeFault, class_of, matches};
#[cfg(feature = "server")]
pub(crate) use database::STATEMENT_NAME;
pub use database::{DATABASE, DatabaseAnswer, DatabaseFault, of_message, of_state};
#[cfg(feature = "server")]
pub use fingerprint::{FINGERPRINT_LENGTH, fingerprint, is_fingerprint, without_variable_parts};
#[cfg(feature = "server")]
pub use page::page;

/// What kind of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It passes by itself.
    Transient,
    /// The other side asks for fewer requests.
    RateLimited,
    /// Another transaction was first.
    Conflict,
    /// An answer that the definition, or the sender of a command, has to deal with.
    Business,
    /// It fails the same way again until a person changes something.
    Permanent,
    /// Work that is never executed to its end.
    Poison,
    /// A defect of a program.
    Bug,
}

/// How Leveret recovers from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The process tries again, at once or after a pause; the message stays unacknowledged.
    InProcess,
    /// A timer tries again: the pause holds no thread, connection or message.
    Timer,
    /// The definition says where the branch continues.
    Route,
    /// The instance is suspended until a person decides.
    Incident,
    /// The message is stored, with the reason.
    DeadLetter,
}

impl Class {
    /// All of them, from the most harmless.
    pub const ALL: [Class; 7] = [
        Class::Transient,
        Class::RateLimited,
        Class::Conflict,
        Class::Business,
        Class::Permanent,
        Class::Poison,
        Class::Bug,
    ];

    /// The word used in documents, the API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::RateLimited => "rate-limited",
            Class::Conflict => "conflict",
            Class::Business => "business",
            Class::Permanent => "permanent",
            Class::Poison => "poison",
            Class::Bug => "bug",
        }
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Class::Transient => "it passes by itself",
            Class::RateLimited => "the other side asks for fewer requests",
            Class::Conflict => "another transaction was first; nothing was written",
            Class::Business => "an answer that the definition, or the sender of a command, has to deal with",
            Class::Permanent => "it fails the same way again until a person changes something",
            Class::Poison => "work that is never executed to its end, however often it is begun",
            Class::Bug => "a defect of a program: of a handler, of a definition, or of Leveret",
        }
    }

    /// How an activity recovers that fails with such an error: each step follows when the one before did not help.
    pub fn of_activity(self) -> &'static [Recovery] {
        match self {
            Class::Transient | Class::RateLimited | Class::Conflict => {
                &[Recovery::Timer, Recovery::Route, Recovery::Incident]
            }
            Class::Business | Class::Permanent | Class::Bug => &[Recovery::Route, Recovery::Incident],
            Class::Poison => &[Recovery::Incident],
        }
    }

    /// How a command, or a pass of a role, recovers that meets such an error.
    pub fn of_command(self) -> Recovery {
        match self {
            Class::Transient | Class::RateLimited | Class::Conflict => Recovery::InProcess,
            Class::Business | Class::Permanent | Class::Poison | Class::Bug => Recovery::DeadLetter,
        }
    }

    /// Whether a retry policy without codes retries an activity that fails so.
    pub fn is_retried(self) -> bool {
        self.of_activity().contains(&Recovery::Timer)
    }
}

impl Recovery {
    /// In a few words, for documents.
    pub fn name(self) -> &'static str {
        match self {
            Recovery::InProcess => "retry in process",
            Recovery::Timer => "retry by timer",
            Recovery::Route => "route",
            Recovery::Incident => "incident",
            Recovery::DeadLetter => "dead letter",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_ends_with_a_person_or_passes() {
        for class in Class::ALL {
            assert_eq!(class.of_activity().last(), Some(&Recovery::Incident), "{class:?}");
            assert_eq!(class.is_retried(), class.of_command() == Recovery::InProcess, "{class:?}");
        }
    }

    #[test]
    fn every_class_has_lines() {
        for class in Class::ALL {
            let codes = CODES.iter().filter(|line| line.class == class).count();
            let database = DATABASE.iter().filter(|line| line.class == class).count();
            assert!(codes + database > 0, "{class:?}");
        }
    }
}
