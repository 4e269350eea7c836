//! A person's work, as a definition describes it.

use super::super::schema::Schema;
use crate::expression::{Data, Expression, Template};

/// What is asked of a person, and of whom.
#[derive(Debug, Clone)]
pub struct Task {
    /// What a list shows; the activity's own title when left out, and its id without one.
    pub title: Option<Template>,
    /// A longer text for whoever does it.
    pub description: Option<Template>,
    /// Shown with the task, not to be edited.
    pub data: Option<Data>,
    /// Higher goes first; the definition's own when left out.
    pub priority: Option<Data>,
    /// Who may do it.
    pub candidates: Candidates,
    /// Users who may not, whatever else holds.
    pub exclude: Option<Data>,
    /// To whom it is given from the beginning.
    pub assign: Assign,
    /// JSON Schema of what is filled in.
    pub form: Option<Schema>,
    /// How it can be decided; none where doing it is all there is to it.
    pub decisions: Vec<Decision>,
    /// When it should be done: so long after it was opened, or a moment. Only says so.
    pub due: Option<Template>,
    /// When whoever has it is reminded.
    pub remind: Remind,
    /// Who may do it as well after a while.
    pub escalate: Vec<Escalation>,
    /// Each candidate decides once, and the first of these that holds closes the task. Empty: no vote.
    pub vote: Vec<VoteRule>,
}

/// Who may do a task. Each is a text, a list of texts, or an expression that gives one.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// By their own names.
    pub users: Option<Data>,
    /// As members of a group.
    pub groups: Option<Data>,
}

/// To whom a task is given from the beginning.
#[derive(Debug, Clone)]
pub enum Assign {
    /// To nobody: a candidate claims it.
    Nobody,
    /// To this user; to nobody if it gives null.
    To(Template),
    /// To one of a list.
    By {
        /// How the one is chosen.
        strategy: AssignBy,
        /// The list; the users among the candidates when left out.
        users: Option<Data>,
    },
}

/// How one of a list is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignBy {
    /// Whoever was longest not given a task of this activity.
    RoundRobin,
    /// Whoever has the fewest open tasks assigned.
    LeastLoaded,
    /// Anyone.
    Random,
    /// Who did it last time the instance was here; nobody at first.
    Previous,
}

impl AssignBy {
    /// Every strategy, in the order of the documents.
    pub const ALL: [AssignBy; 4] = [AssignBy::RoundRobin, AssignBy::LeastLoaded, AssignBy::Random, AssignBy::Previous];

    /// The word used in documents.
    pub fn name(self) -> &'static str {
        match self {
            AssignBy::RoundRobin => "round_robin",
            AssignBy::LeastLoaded => "least_loaded",
            AssignBy::Random => "random",
            AssignBy::Previous => "previous",
        }
    }
}

/// One way to decide a task.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    /// For programs, and for `next`.
    pub name: String,
    /// For people.
    pub label: String,
}

/// When whoever has a task is reminded.
#[derive(Debug, Clone)]
pub enum Remind {
    /// Never.
    Never,
    /// At each of these: so long after it was opened, or a moment.
    At(Vec<Template>),
    /// Again and again.
    Every {
        /// After so long.
        every: Template,
        /// So often at most.
        times: u32,
    },
}

/// Who may do a task as well after a while.
#[derive(Debug, Clone)]
pub struct Escalation {
    /// So long after it was opened, or a moment.
    pub after: Template,
    /// Whom it is offered to in addition; whoever had it assigned has it no longer to themselves.
    pub candidates: Candidates,
    /// Its new priority.
    pub priority: Option<Data>,
}

/// One rule of a vote.
#[derive(Debug, Clone)]
pub struct VoteRule {
    /// The decision it closes the task with.
    pub decide: String,
    /// Sees `votes` (how many for each decision) and `voters` (all who may vote).
    pub when: Expression,
}
