//! Tasks for people.

use super::super::schema::Schema;
use crate::expression::{Data, Expression, Template};

/// A task for a person.
#[derive(Debug, Clone)]
pub struct Task {
    /// The title in lists; by default the activity's title, else its id.
    pub title: Option<Template>,
    /// A description for the person who does it.
    pub description: Option<Template>,
    /// Values shown with the task, read-only.
    pub data: Option<Data>,
    /// Higher numbers come first; by default the definition's priority.
    pub priority: Option<Data>,
    /// Users and groups who may do it.
    pub candidates: Candidates,
    /// Users who may not do it, even if they are candidates.
    pub exclude: Option<Data>,
    /// The assignment when the task opens.
    pub assign: Assign,
    /// JSON Schema of the form.
    pub form: Option<Schema>,
    /// The possible decisions; if empty, the task is completed without one.
    pub decisions: Vec<Decision>,
    /// When it is due: a duration after it opened, or a timestamp. For information only.
    pub due: Option<Template>,
    /// Reminders of the assignee or the candidates.
    pub remind: Remind,
    /// Escalations to more candidates or another priority.
    pub escalate: Vec<Escalation>,
    /// The rules of a vote: each candidate votes once, and the first rule that holds closes the task. If empty, no vote.
    pub vote: Vec<VoteRule>,
}

/// Users and groups who may do a task. Each is a string, a list of strings, or an expression that gives one.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// Names of users.
    pub users: Option<Data>,
    /// Names of groups.
    pub groups: Option<Data>,
}

/// The assignment of a task when it opens.
#[derive(Debug, Clone)]
pub enum Assign {
    /// Unassigned: a candidate claims it.
    Nobody,
    /// To this user; unassigned if the value is null.
    To(Template),
    /// To one user of a list.
    By {
        /// How the user is chosen.
        strategy: AssignBy,
        /// The list; by default the users among the candidates.
        users: Option<Data>,
    },
}

/// How a user is chosen from a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum AssignBy {
    /// The user whose last task of this activity is longest ago.
    RoundRobin,
    /// The user with the fewest open tasks.
    LeastLoaded,
    /// A random user.
    Random,
    /// The user who did this task last in the same instance; unassigned the first time.
    Previous,
}

impl AssignBy {
    /// The values in a definition.
    pub const NAMES: &[&str] = <Self as strum::VariantNames>::VARIANTS;

    /// The value in a definition.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One possible decision of a task.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    /// The name for programs and `next`.
    pub name: String,
    /// The label for people.
    pub label: String,
}

/// When a task sends reminders.
#[derive(Debug, Clone)]
pub enum Remind {
    /// Never.
    Never,
    /// At each of these: a duration after the task opened, or a timestamp.
    At(Vec<Template>),
    /// Repeatedly.
    Every {
        /// The interval.
        every: Template,
        /// The largest number of reminders.
        times: u32,
    },
}

/// A change of a task that is not done in time.
#[derive(Debug, Clone)]
pub struct Escalation {
    /// A duration after the task opened, or a timestamp.
    pub after: Template,
    /// Additional candidates; a task that was assigned is then open to all candidates.
    pub candidates: Candidates,
    /// The new priority.
    pub priority: Option<Data>,
}

/// One rule of a vote.
#[derive(Debug, Clone)]
pub struct VoteRule {
    /// The decision that closes the task.
    pub decide: String,
    /// The condition; it can read `votes` (the number for each decision) and `voters` (all who may vote).
    pub when: Expression,
}
