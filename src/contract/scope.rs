//! What a caller of the API may do: scopes, and roles as sets of them.

use serde::{Deserialize, Serialize};

/// One kind of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Scope {
    /// Read everything that is stored.
    Read,
    /// Start instances, and send messages to them.
    Start,
    /// See tasks, claim and complete them.
    Task,
    /// Control instances, incidents, calls, schedules, dead letters and tasks of others.
    Operate,
    /// Everything, also to apply definitions and to act for others.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Start, Self::Task, Self::Operate, Self::Admin];

    /// The word for it.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The scope of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes. `admin` holds all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);

    /// Whether the set allows what needs this scope.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Both sets together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The scopes of the set as they were given; `admin` is not written out.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// A set of scopes with a name, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Looks at everything, and changes nothing.
    Viewer,
    /// Works on tasks.
    Clerk,
    /// Looks at everything, starts instances and keeps them running.
    Operator,
    /// May do everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Clerk, Self::Operator, Self::Admin];

    /// The word for it.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it may do.
    pub fn scopes(self) -> Scopes {
        match self {
            Role::Viewer => Scopes::from_iter([Scope::Read]),
            Role::Clerk => Scopes::from_iter([Scope::Task]),
            Role::Operator => Scopes::from_iter([Scope::Read, Scope::Start, Scope::Operate]),
            Role::Admin => Scopes::from_iter([Scope::Admin]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_allows_everything_and_no_other_scope_does() {
        for scope in Scope::ALL {
            assert!(Scopes::from_iter([Scope::Admin]).allow(scope), "{scope:?}");
            assert!(!Scopes::NONE.allow(scope));
            for other in Scope::ALL.into_iter().filter(|other| *other != scope && *other != Scope::Admin) {
                assert!(!Scopes::from_iter([other]).allow(scope), "{other:?} allows {scope:?}");
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.name()), Some(scope));
        }
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
            assert!(!role.scopes().is_empty());
        }
        assert_eq!((Scope::parse("Read"), Role::parse("root")), (None, None));
    }

    #[test]
    fn a_set_is_listed_as_it_was_given() {
        let both = Role::Clerk.scopes().and(Role::Viewer.scopes());
        assert_eq!(both.iter().collect::<Vec<_>>(), [Scope::Read, Scope::Task]);
        assert_eq!(Role::Admin.scopes().iter().collect::<Vec<_>>(), [Scope::Admin]);
    }
}
