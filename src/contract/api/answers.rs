//! Answers that are no views of one object, and the places of a refused body.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ControlPreview, IncidentResolveView, InstanceView};
use crate::contract::schedule::TickView;

/// The answer of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum StartAnswer {
    /// With `?wait=`: the whole instance.
    Whole(Box<InstanceView>),
    /// Its id.
    Id(StartedView),
}

/// The instance that was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct StartedView {
    /// Its id.
    pub id: Uuid,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct MessageAnswer {
    /// `delivered`, `kept` or `broadcast`; of a repetition that was refused `refused`.
    pub outcome: String,
    /// The instance that received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
    /// The number of waits that a broadcast was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<usize>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of the outcome of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallAnswer {
    /// `completed`, `kept` (the instance is suspended) or `noted` (the call is unknown: kept for the person who resolves it).
    pub outcome: String,
}

/// The answer of an operation on one instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ControlAnswer {
    /// With `dry_run`: what would change.
    Preview(Box<ControlPreview>),
    /// What has changed.
    Done(ControlView),
}

/// What an operation on one instance has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ControlView {
    /// The instance; with the rerun of one that has ended, the new one.
    pub id: Uuid,
    /// Its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The instance that is run again as a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<Uuid>,
    /// Of a repetition: what the command did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// The answer of a resolution of incidents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum IncidentResolveAnswer {
    /// What has changed, or would.
    Resolved(IncidentResolveView),
    /// Of a repetition: what the command did.
    Repeated(RepeatedView),
}

/// The answer of a repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RepeatedView {
    /// The instance.
    pub id: Uuid,
    /// What the command did.
    pub outcome: String,
}

/// A timer with its new due time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RescheduleView {
    /// Its instance.
    pub instance: Uuid,
    /// Its new number inside the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bookmark: Option<i64>,
    /// The new due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Of a repetition: what the command did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// A group of incidents that was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct GroupChangedView {
    /// Its fingerprint.
    pub fingerprint: String,
}

/// The coming ticks of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TicksView {
    /// The ticks, the next one first.
    pub items: Vec<TickView>,
}

/// One place of a body that is refused, or of a document about which there is a warning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Place {
    /// The place, as a JSON pointer into the body; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of a document: `error` or `warning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Of a document: the place as its messages name it, as in `activities[2].next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of a document: the line, counted from 1; 0 if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Of a document: the column, counted from 1; 0 if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// A checked document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DefinitionCheckView {
    /// Its name.
    pub name: String,
    /// SHA-256 of its canonical JSON.
    pub hash: String,
    /// What its author may have meant otherwise.
    pub warnings: Vec<Place>,
    /// What it uses and this process lacks: others may have it.
    pub hints: Vec<String>,
}

/// An applied document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DefinitionAppliedView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// Whether the version is new.
    pub changed: bool,
    /// What its author may have meant otherwise.
    pub warnings: Vec<Place>,
    /// What it uses and this process lacks: others may have it.
    pub hints: Vec<String>,
}
