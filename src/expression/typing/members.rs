//! What is known of the members of a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::known::Type;

/// Members of one map that are known by name; the members of a larger one are unknown.
const MEMBERS_MAX: usize = 500;

/// What is known of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The members that are known.
    pub members: BTreeMap<String, Member>,
    /// All other members.
    pub rest: Rest,
    /// What the map is, for messages.
    pub label: Option<Arc<Label>>,
}

/// One member of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its value.
    pub is: Type,
    /// Whether it is always there.
    pub always: bool,
}

/// Members that are not known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rest {
    /// There are none.
    Closed,
    /// A schema lists the members, but permits others.
    Listed,
    /// There may be any.
    Open,
}

/// What a map is, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// As the subject of a sentence: ``the result of an `http` ``.
    pub what: String,
    /// Where the author may find what is not there.
    pub note: Option<String>,
}

impl Shape {
    /// A shape without a label.
    pub fn new(members: BTreeMap<String, Member>, rest: Rest) -> Self {
        Shape { members, rest, label: None }
    }

    /// A shape of members that are always there, and no others.
    pub fn closed<'n>(members: impl IntoIterator<Item = (&'n str, Type)>) -> Self {
        let member = |(name, is): (&str, Type)| (name.to_owned(), Member { is, always: true });
        Self::new(members.into_iter().map(member).collect(), Rest::Closed)
    }

    /// The same with a label.
    pub fn labelled(self, what: &str, note: Option<&str>) -> Self {
        Shape { label: Some(Arc::new(Label { what: what.into(), note: note.map(str::to_owned) })), ..self }
    }

    /// A map of one shape or the other; none if too much would have to be remembered.
    pub(super) fn join(&self, other: &Shape) -> Option<Shape> {
        let one_side = |member: &Member, there: &Shape| Member {
            is: if there.rest == Rest::Open { Type::unknown() } else { member.is.clone() },
            always: false,
        };
        let mut members = BTreeMap::new();
        for (name, member) in &self.members {
            let joined = match other.members.get(name) {
                Some(also) => Member { is: member.is.join(&also.is), always: member.always && also.always },
                None => one_side(member, other),
            };
            members.insert(name.clone(), joined);
        }
        for (name, member) in other.members.iter().filter(|(name, _)| !self.members.contains_key(*name)) {
            members.insert(name.clone(), one_side(member, self));
        }
        let label = self.label.clone().filter(|_| self.label == other.label);
        (members.len() <= MEMBERS_MAX).then(|| Shape { members, rest: self.rest.max(other.rest), label })
    }

    /// The same shape with every member changed.
    pub(super) fn each(&self, change: impl Fn(&Type) -> Type) -> Shape {
        let member = |(name, member): (&String, &Member)| {
            (name.clone(), Member { is: change(&member.is), always: member.always })
        };
        Shape { members: self.members.iter().map(member).collect(), ..self.clone() }
    }
}
