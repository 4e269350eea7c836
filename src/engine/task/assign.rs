//! The candidates of a task, and the choice of its assignee.

use serde_json::Value;

use crate::contract::NAME_MAX;
use crate::definition::{self, Assign, AssignBy};
use crate::expression::Data;

use super::super::scope::Scope;
use super::super::{Context, Failure, Instance};
use super::{Assignment, PEOPLE_MAX};

/// The people of a task, after its expressions are evaluated.
pub(super) struct People {
    /// Candidates, without those who are excluded.
    pub(super) users: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) excluded: Vec<String>,
    /// The list a strategy chooses from, without those who are excluded.
    pub(super) choice: Vec<String>,
}

impl People {
    pub(super) fn of(scope: &Scope<'_>, task: &definition::Task) -> Result<People, Failure> {
        let excluded = names(scope, task.exclude.as_ref(), "exclude")?;
        let allowed = |mut users: Vec<String>| {
            users.retain(|user| !excluded.contains(user));
            users
        };
        let mut users = allowed(names(scope, task.candidates.users.as_ref(), "users")?);
        let groups = names(scope, task.candidates.groups.as_ref(), "groups")?;
        let choice = match &task.assign {
            Assign::Nobody => Vec::new(),
            Assign::To(template) => allowed(flatten(scope.template(template)?, "assignee")?),
            Assign::By { users: Some(list), .. } => allowed(names(scope, Some(list), "users")?),
            Assign::By { users: None, .. } => users.clone(),
        };
        // A possible assignee is a candidate.
        let more: Vec<String> = choice.iter().filter(|user| !users.contains(user)).cloned().collect();
        users.extend(more);
        if users.is_empty() && groups.is_empty() {
            let message = "the task has no candidates".to_owned();
            return Err(Failure::new("task.candidates", message));
        }
        Ok(People { users, groups, excluded, choice })
    }
}

/// A list of names: nulls are left out, nested lists are flattened, each name is there once.
pub(super) fn names(scope: &Scope<'_>, data: Option<&Data>, what: &str) -> Result<Vec<String>, Failure> {
    data.map_or(Ok(Vec::new()), |data| flatten(scope.value(data)?, what))
}

fn flatten(value: Value, what: &str) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![value];
    let wrong = |message: String| Err(Failure::new("expression", message));
    while let Some(value) = open.pop() {
        match value {
            Value::Null => {}
            Value::String(name) if name.is_empty() || name.len() > NAME_MAX => {
                return wrong(format!("a name under `{what}` must have from 1 to {NAME_MAX} bytes"));
            }
            Value::String(name) => {
                if seen.insert(name.clone()) {
                    names.push(name);
                }
            }
            Value::Array(items) => open.extend(items.into_iter().rev()),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return wrong(format!("`{what}` must contain names only: texts, lists of texts, or null"));
            }
        }
        if names.len() > PEOPLE_MAX {
            return Err(Failure::new("limit.people", format!("`{what}` has more than {PEOPLE_MAX} names")));
        }
    }
    Ok(names)
}

/// The fact that the strategy of a task requires, if it ranks users.
pub(super) fn compared(assign: &Assign, activity: &str, users: &[String]) -> Option<Assignment> {
    let strategy = match assign {
        Assign::By { strategy: strategy @ (AssignBy::RoundRobin | AssignBy::LeastLoaded), .. } => *strategy,
        Assign::By { strategy: AssignBy::Random | AssignBy::Previous, .. } | Assign::To(_) | Assign::Nobody => {
            return None;
        }
    };
    (!users.is_empty()).then(|| Assignment { strategy, activity: activity.to_owned(), users: users.to_vec() })
}

/// The assignee of a task, by its strategy.
pub(super) fn choose(
    assign: &Assign,
    choice: &[String],
    ranks: &[(String, i64)],
    instance: &Instance,
    activity: &str,
    context: &Context<'_>,
) -> Option<String> {
    match assign {
        Assign::Nobody => None,
        Assign::To(_) => choice.first().cloned(),
        Assign::By { strategy: AssignBy::RoundRobin | AssignBy::LeastLoaded, .. } => {
            let rank = |user: &String| ranks.iter().find(|(known, _)| known == user).map_or(0, |(_, rank)| *rank);
            // Of several users with the lowest rank the first, so that the order of the list decides.
            choice.iter().min_by_key(|user| rank(user)).cloned()
        }
        Assign::By { strategy: AssignBy::Random, .. } => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to the length of a list"
            )]
            let at = (context.chance.clamp(0.0, 1.0) * choice.len() as f64) as usize;
            choice.get(at.min(choice.len().saturating_sub(1))).cloned()
        }
        Assign::By { strategy: AssignBy::Previous, .. } => {
            let before = instance.state.actors.get(activity)?.as_ref()?;
            choice.iter().find(|user| *user == before).cloned()
        }
    }
}
