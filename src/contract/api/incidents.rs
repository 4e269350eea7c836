//! Bodies about incidents and their groups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::IncidentView;

/// Open incidents of one cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct IncidentGroupView {
    /// What they have in common: a hash of definition, activity, code and message without its variable parts.
    pub fingerprint: String,
    /// The definition's name.
    pub definition: String,
    /// The activity that failed.
    pub activity: Option<String>,
    /// The code.
    pub code: String,
    /// The message of the newest.
    pub message: String,
    /// The number of open incidents.
    pub count: i64,
    /// When the oldest was opened.
    pub first_at: Timestamp,
    /// When the newest was opened.
    pub last_at: Timestamp,
    /// The versions of the definition among the newest hundred.
    pub versions: Vec<i32>,
    /// The newest.
    pub sample: IncidentSample,
    /// The user who looks after it.
    pub assignee: Option<String>,
    /// Whether it is muted now.
    pub muted: bool,
    /// Until when it is, or was, muted.
    pub muted_until: Option<Timestamp>,
}

/// One incident of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct IncidentSample {
    /// Its instance.
    pub instance: Uuid,
    /// The bookmark's number inside the instance.
    pub bookmark: i64,
    /// Business key.
    pub key: Option<String>,
}

/// A group with its newest incidents, and what was noted about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct IncidentGroupDetails {
    /// The same as in the list.
    #[serde(flatten)]
    pub group: IncidentGroupView,
    /// The newest incidents.
    pub incidents: Vec<IncidentView>,
    /// What was noted, newest first.
    pub notes: Vec<IncidentNoteView>,
}

/// What was done to a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct IncidentNoteView {
    /// When.
    pub at: Timestamp,
    /// `assigned`, `commented` or `muted`.
    pub kind: String,
    /// The user, or else the sender.
    pub by: String,
    /// The assignee, the comment, or until when it is muted; null if that was taken back.
    pub value: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// `POST /api/v1/incidents/groups/{fingerprint}/assign`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupAssignRequest {
    /// The user who looks after it; null for nobody.
    pub assignee: Option<String>,
    /// Who assigns; `leveret.http` when left out.
    pub user: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// `POST /api/v1/incidents/groups/{fingerprint}/comment`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupCommentRequest {
    /// The comment.
    pub text: String,
    /// Who says it; `leveret.http` when left out.
    pub user: Option<String>,
}

/// `POST /api/v1/incidents/groups/{fingerprint}/mute`: one of `until` and `after`, or neither to unmute it.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupMuteRequest {
    /// Until then.
    #[serde(default, deserialize_with = "crate::time::moment::deserialize_option")]
    pub until: Option<Timestamp>,
    /// Or for this duration from now, as in `12h`.
    #[cfg_attr(feature = "server", schemars(extend("format" = "leveret-duration")))]
    pub after: Option<String>,
    /// Who mutes it; `leveret.http` when left out.
    pub user: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// `POST /api/v1/incidents/{instance}/resolve`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IncidentResolveRequest {
    /// `retry`, `fail` or `cancel`.
    #[cfg_attr(feature = "server", schemars(extend("enum" = ["retry", "fail", "cancel"])))]
    pub action: String,
    /// With `retry`: variables that are set before.
    #[serde(default)]
    pub variables: Map<String, Value>,
    /// The reason, kept in the history.
    pub reason: Option<String>,
    /// Answers what would change, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What resolving an incident has changed, or would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct IncidentResolveView {
    /// The instance.
    pub id: Uuid,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The status of the instance afterwards.
    pub status: String,
    /// The activities of its branches afterwards.
    pub at: Vec<String>,
    /// The variables that are set.
    pub variables: Map<String, Value>,
    /// The kinds of the new entries of its history.
    pub history: Vec<String>,
}
