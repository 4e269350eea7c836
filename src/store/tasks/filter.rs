//! Which tasks a list contains, in which order and from where on.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

use crate::engine::{InstanceId, Person};

/// Which tasks to list. A field that is `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Offered to this user or to one of their groups, and neither excluded for them nor claimed by another; of closed
    /// tasks, those the user completed.
    pub person: Person,
    /// Closed tasks instead of open ones.
    pub closed: bool,
    /// Of this definition.
    pub definition: Option<String>,
    /// Of this instance.
    pub instance: Option<InstanceId>,
    /// With at least this priority.
    pub priority: Option<i16>,
    /// Due before this time; they are then ordered by due time.
    pub due_before: Option<Timestamp>,
    /// The order of open tasks.
    pub order: Order,
    /// After this one: the last of the previous page.
    pub after: Option<After>,
    /// Maximum number of rows.
    pub limit: i64,
}

impl Filter {
    /// The order that is used: only the index by due time has a range of what is due before a time.
    pub(super) fn order(&self) -> Order {
        if self.due_before.is_some() { Order::Due } else { self.order }
    }
}

/// The order of open tasks. Closed tasks are ordered newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Highest priority first, then oldest first.
    #[default]
    Priority,
    /// Earliest due time first; tasks without one are left out.
    Due,
}

/// A position in a list, where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Priority, if the list is ordered by it.
    pub(super) priority: Option<i16>,
    pub(super) at: Timestamp,
    pub(super) id: Uuid,
}

impl fmt::Display for After {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priority = self.priority.map(|priority| priority.to_string()).unwrap_or_default();
        write!(out, "{priority}_{}_{}", self.at.as_microsecond(), self.id.simple())
    }
}

impl After {
    /// The position that a cursor encodes, if it is valid.
    pub fn parse(cursor: &str) -> Option<After> {
        let mut parts = cursor.splitn(3, '_');
        let (priority, at, id) = (parts.next()?, parts.next()?, parts.next()?);
        let priority = if priority.is_empty() { None } else { Some(priority.parse().ok()?) };
        let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
        Some(After { priority, at, id: id.parse().ok()? })
    }
}

/// The candidate of a user.
pub(super) fn user(name: &str) -> String {
    format!("user:{name}")
}

/// The candidate of a group.
pub(super) fn group(name: &str) -> String {
    format!("group:{name}")
}

/// All candidates that a person matches.
pub(super) fn candidates(person: &Person) -> Vec<String> {
    let own = (!person.user.is_empty()).then(|| user(&person.user));
    own.into_iter().chain(person.groups.iter().map(|name| group(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let at = "2026-11-24T10:00:00.123456Z".parse().unwrap();
        for priority in [None, Some(-5), Some(i16::MAX)] {
            let after = After { priority, at, id: Uuid::nil() };
            assert_eq!(After::parse(&after.to_string()), Some(after));
        }
        assert_eq!(After::parse("5"), None);
        assert_eq!(After::parse("5_x_y"), None);
    }
}
