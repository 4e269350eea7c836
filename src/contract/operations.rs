//! Operations of a person or a service on one instance, besides `cancel`, `retry`, `suspend` and `resume`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Target;

/// An operation on one instance. The AMQP property `type` names the variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// `terminate`
    Terminate(Target),
    /// `skip`
    Skip(Skip),
    /// `jump`
    Jump(Jump),
    /// `variables.set`
    SetVariables(SetVariables),
    /// `rerun`
    Rerun(Rerun),
    /// `queue.set`
    SetQueue(SetQueue),
    /// `priority.set`
    SetPriority(SetPriority),
    /// `incident.resolve`
    ResolveIncident(ResolveIncident),
}

impl Operation {
    /// The AMQP property `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Operation::Terminate(_) => "terminate",
            Operation::Skip(_) => "skip",
            Operation::Jump(_) => "jump",
            Operation::SetVariables(_) => "variables.set",
            Operation::Rerun(_) => "rerun",
            Operation::SetQueue(_) => "queue.set",
            Operation::SetPriority(_) => "priority.set",
            Operation::ResolveIncident(_) => "incident.resolve",
        }
    }

    /// The instance, and who asks for what reason.
    pub fn target(&self) -> &Target {
        match self {
            Operation::Terminate(target)
            | Operation::Skip(Skip { target, .. })
            | Operation::Jump(Jump { target, .. })
            | Operation::SetVariables(SetVariables { target, .. })
            | Operation::Rerun(Rerun { target, .. })
            | Operation::SetQueue(SetQueue { target, .. })
            | Operation::SetPriority(SetPriority { target, .. })
            | Operation::ResolveIncident(ResolveIncident { target, .. }) => target,
        }
    }

    /// Its other names, with their places in the body.
    pub fn names(&self) -> Vec<(&'static str, &String)> {
        match self {
            Operation::Terminate(_) | Operation::SetVariables(_) | Operation::SetPriority(_) => Vec::new(),
            Operation::ResolveIncident(_) => Vec::new(),
            Operation::Skip(skip) => skip.activity.iter().map(|activity| ("activity", activity)).collect(),
            Operation::Jump(jump) => vec![("activity", &jump.activity)],
            Operation::Rerun(rerun) => vec![("activity", &rerun.activity)],
            Operation::SetQueue(set) => vec![("queue", &set.queue)],
        }
    }
}

/// Complete what an instance waits for, or what has an incident, with a result: it goes on as if the activity had succeeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Skip {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// The activity that is meant: the command is refused if the instance is at another one. Not compared when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The result that `output` and `next` of the activity read; null when left out.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// Continue at another activity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Jump {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// The activity to continue at.
    pub activity: String,
}

/// Set variables. Those that are not named keep their values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SetVariables {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// The new values by name.
    pub variables: Map<String, Value>,
}

/// Run again from an activity that was begun before. An instance that has ended is not touched: a new one begins at that activity, with
/// its variables.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Rerun {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// The activity to begin at.
    pub activity: String,
}

/// Change the queue of the step commands of an instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SetQueue {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// The queue.
    pub queue: String,
}

/// Change the priority of an instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SetPriority {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// The priority: above 0, its step commands go before those of instances that have none.
    pub priority: i16,
}

/// Resolve the incidents of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ResolveIncident {
    /// The instance.
    #[serde(flatten)]
    pub target: Target,
    /// How.
    pub action: ResolveAction,
    /// With `retry`: variables that are set before.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
}

/// How incidents are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ResolveAction {
    /// The activities are tried again.
    Retry,
    /// The instance ends as failed, with the failure of its oldest incident.
    Fail,
    /// The instance is cancelled.
    Cancel,
}

impl ResolveAction {
    /// Refuses variables that would have no effect.
    ///
    /// # Errors
    /// A sentence with the problem.
    pub fn allows(self, variables: &Map<String, Value>) -> Result<(), String> {
        match self {
            ResolveAction::Retry => Ok(()),
            ResolveAction::Fail | ResolveAction::Cancel if variables.is_empty() => Ok(()),
            ResolveAction::Fail | ResolveAction::Cancel => Err("`variables` are allowed only with `retry`".into()),
        }
    }
}
