//! Bulk jobs: one operation on everything that a filter matches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ResolveAction;
use super::api::InstanceSummary;

/// Items per second, of all processes together, without a `pace`.
pub const PACE: u32 = 50;
/// The highest `pace`.
pub const PACE_MAX: u32 = 1_000;
/// The most items of a job, and the default of `items_max`.
pub const ITEMS_MAX: u32 = 100_000;

/// `POST /api/v1/bulk`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// `cancel`, `terminate`, `retry`, `suspend`, `resume`, `skip`, `jump`, `variables.set`, `rerun`, `queue.set`, `priority.set` or `incident.resolve`.
    #[schemars(extend("enum" = ["cancel", "terminate", "retry", "suspend", "resume", "skip", "jump", "variables.set", "rerun", "queue.set", "priority.set", "incident.resolve"]))]
    pub operation: String,
    /// What the operation needs besides the instance: `result` and `activity`, `variables`, `queue`, `priority`, `action`.
    #[serde(default)]
    pub arguments: Value,
    /// The filter; it must have at least one term.
    #[schemars(length(min = 1, max = super::filter::FILTER_MAX), extend("format" = "leveret-filter"))]
    pub filter: String,
    /// The reason, kept in the history of each instance.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts, kept in the history.
    pub actor: Option<String>,
    /// Items per second; [`PACE`] when left out.
    #[schemars(range(min = 1, max = PACE_MAX))]
    pub pace: Option<u32>,
    /// The most items; [`ITEMS_MAX`] when left out.
    #[schemars(range(min = 1, max = ITEMS_MAX))]
    pub items_max: Option<u32>,
    /// Start nothing, and answer what the filter matches.
    #[serde(default)]
    pub dry_run: bool,
}

/// The operation of a bulk job, with what it needs besides the instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", content = "arguments", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it; docs/operations.md tells what each does")]
pub enum BulkOperation {
    Cancel,
    Terminate,
    Retry,
    Suspend,
    Resume,
    Skip(BulkSkip),
    Jump(BulkMove),
    #[serde(rename = "variables.set")]
    SetVariables(BulkVariables),
    Rerun(BulkMove),
    #[serde(rename = "queue.set")]
    SetQueue(BulkQueue),
    #[serde(rename = "priority.set")]
    SetPriority(BulkPriority),
    #[serde(rename = "incident.resolve")]
    ResolveIncident(BulkResolve),
}

/// The arguments of `skip`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkSkip {
    /// The activity that is meant; an instance that is at another one is left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// Its result.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// The arguments of `jump` and `rerun`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkMove {
    /// The activity.
    pub activity: String,
}

/// The arguments of `variables.set`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkVariables {
    /// The new values by name.
    pub variables: Map<String, Value>,
}

/// The arguments of `queue.set`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkQueue {
    /// The queue.
    pub queue: String,
}

/// The arguments of `priority.set`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkPriority {
    /// The priority.
    pub priority: i16,
}

/// The arguments of `incident.resolve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkResolve {
    /// How.
    pub action: ResolveAction,
    /// With `retry`: variables that are set before.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
}

impl BulkOperation {
    /// Reads an operation by its name, with its arguments.
    ///
    /// # Errors
    /// A sentence with the problem.
    pub fn read(name: &str, arguments: &Value) -> Result<Self, String> {
        let said = match (arguments, name) {
            // A skip needs none; the others say what is missing in them.
            (
                Value::Null,
                "skip" | "jump" | "rerun" | "variables.set" | "queue.set" | "priority.set" | "incident.resolve",
            ) => {
                json!({ "operation": name, "arguments": {} })
            }
            (Value::Null, _) => json!({ "operation": name }),
            (Value::Object(_), "cancel" | "terminate" | "retry" | "suspend" | "resume") => {
                return Err(format!("`{name}` takes no arguments"));
            }
            (arguments, _) => json!({ "operation": name, "arguments": arguments }),
        };
        let read =
            serde_json::from_value(said).map_err(|error| format!("the operation `{name}` cannot be read: {error}"));
        if let Ok(BulkOperation::ResolveIncident(resolve)) = &read {
            resolve.action.allows(&resolve.variables)?;
        }
        read
    }

    /// Its name and its arguments, as [`BulkOperation::read`] reads them.
    pub fn written(&self) -> (String, Value) {
        let mut said = json!(self);
        let name = said["operation"].as_str().unwrap_or_default().to_owned();
        (name, said["arguments"].take())
    }
}

/// The answer of the start of a bulk job.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum BulkAnswer {
    /// With `dry_run`: what it would do.
    Preview(BulkPreview),
    /// The job.
    Job(BulkView),
}

/// What a bulk job would do.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BulkPreview {
    /// Always true: nothing was started.
    pub dry_run: bool,
    /// The operation.
    pub operation: String,
    /// The filter.
    pub filter: String,
    /// How many instances it matches, as far as they were counted.
    pub count: u64,
    /// Whether there are more than `count`.
    pub more: bool,
    /// The newest of them.
    pub sample: Vec<InstanceSummary>,
}

/// A bulk job.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BulkView {
    /// Its id.
    pub id: Uuid,
    /// The operation.
    pub operation: String,
    /// Its arguments.
    pub arguments: Value,
    /// The filter.
    pub filter: String,
    /// The person who acts.
    pub actor: Option<String>,
    /// Where the request came from: `leveret.http`, `leveret.cli`.
    pub sender: String,
    /// The reason.
    pub reason: Option<String>,
    /// Items per second.
    pub pace: i32,
    /// `collecting`, `running`, `paused`, `done`, `aborted`.
    pub state: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it was done or aborted.
    pub ended_at: Option<Timestamp>,
    /// Its items so far.
    pub collected: i64,
    /// Whether the filter matched more than `items_max`: start another job for the rest.
    pub more: bool,
    /// Items whose command was executed.
    pub done: i64,
    /// Items whose command was refused.
    pub refused: i64,
    /// Items whose command could not be executed after many attempts.
    pub failed: i64,
    /// Items that are not worked off.
    pub open: i64,
}

/// One instance of a bulk job.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BulkItemView {
    /// The instance.
    pub instance: Uuid,
    /// `open`, `done`, `refused`, `failed`.
    pub state: String,
    /// Why it was refused or failed, or the instance that a rerun has started.
    pub detail: Option<String>,
    /// When its command was executed or refused.
    pub ended_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, arguments: Value) -> String {
        BulkOperation::read(name, &arguments).unwrap_err()
    }

    #[test]
    fn an_operation_is_written_as_it_is_read() {
        let variables = Map::from_iter([("n".to_owned(), json!(1))]);
        for operation in [
            BulkOperation::Cancel,
            BulkOperation::Skip(BulkSkip::default()),
            BulkOperation::Skip(BulkSkip { activity: Some("a".into()), result: json!([1]) }),
            BulkOperation::Jump(BulkMove { activity: "a".into() }),
            BulkOperation::SetVariables(BulkVariables { variables }),
            BulkOperation::SetQueue(BulkQueue { queue: "slow".into() }),
            BulkOperation::SetPriority(BulkPriority { priority: -3 }),
            BulkOperation::ResolveIncident(BulkResolve { action: ResolveAction::Fail, variables: Map::new() }),
        ] {
            let (name, arguments) = operation.written();
            assert_eq!(BulkOperation::read(&name, &arguments), Ok(operation));
        }
        assert_eq!(BulkOperation::read("skip", &Value::Null), Ok(BulkOperation::Skip(BulkSkip::default())));
    }

    #[test]
    fn a_problem_names_the_operation() {
        assert!(refused("remove", Value::Null).contains("unknown variant `remove`, expected one of `cancel`"));
        assert!(refused("jump", json!({ "activty": "a" })).contains("unknown field `activty`"));
        assert!(refused("jump", Value::Null).starts_with("the operation `jump` cannot be read: missing"));
        let both = json!({ "action": "fail", "variables": { "n": 1 } });
        assert_eq!(refused("incident.resolve", both), "`variables` are allowed only with `retry`");
        assert_eq!(refused("cancel", json!({ "activity": "a" })), "`cancel` takes no arguments");
    }
}
