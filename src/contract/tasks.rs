//! Commands about tasks.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Complete a task, or cast a vote.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskComplete {
    /// The task, as events name it.
    pub task: Uuid,
    /// The user who completes it.
    pub user: String,
    /// The groups of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The revision of the task that the user has seen: the command is refused if the task has changed since. Not compared when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// One of the decisions of the task; left out if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The form as filled in.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub form: Value,
    /// A comment, kept in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Claim a task for a limited time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskClaim {
    /// The task, as events name it.
    pub task: Uuid,
    /// The user who claims it.
    pub user: String,
    /// The groups of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Seconds until the claim expires; `tasks.lease_for` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<u32>,
}

/// Release a claimed task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskRelease {
    /// The task, as events name it.
    pub task: Uuid,
    /// The user who releases it.
    pub user: String,
}

/// The groups of a list such as `managers,heads`. A name of a directory may hold commas and outer blanks (`CN=Heads,OU=Sales`), and nothing
/// tells it from a list: the whole text is one of the groups, too.
pub fn listed_groups(text: &str) -> Vec<String> {
    let mut groups = vec![text.to_owned()];
    groups.extend(text.split(',').map(|group| group.trim().to_owned()));
    groups.retain(|group| !group.is_empty());
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::listed_groups;

    #[test]
    fn a_list_of_groups_may_be_the_name_of_one() {
        assert_eq!(listed_groups("managers"), ["managers"]);
        assert_eq!(listed_groups("managers, heads,"), ["managers, heads,", "managers", "heads"]);
        assert_eq!(listed_groups(" managers"), [" managers", "managers"]);
        assert_eq!(listed_groups(""), [""; 0]);
    }
}
