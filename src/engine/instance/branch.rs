//! Branches: the lines of control of an instance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wait::{Wait, present};
use super::{BranchId, Failure};

/// One line of control, at one activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its identity inside the instance.
    pub id: BranchId,
    /// Raised by every step of the branch; a step command contains it.
    pub sequence: i64,
    /// Its current activity.
    pub activity: String,
    /// Ready or waiting.
    pub phase: Phase,
    /// The current or next attempt at the activity, from 1.
    pub attempt: u32,
    /// Steps since the last wait, bounded by `limits.steps_max`.
    #[serde(default)]
    pub steps: u32,
    /// How often a worker died while it executed the current step.
    #[serde(default)]
    pub crashes: u32,
    /// Failures per retry policy of the activity, by the index of the policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<usize, u32>,
    /// When the first attempt failed, or when the call was opened: `retry.within` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
}

impl Branch {
    /// Its open waits; empty if it is ready, or if its outcome is kept while the instance is suspended.
    pub fn waits(&self) -> &[Wait] {
        match &self.phase {
            Phase::Ready | Phase::Concluded(_) => &[],
            Phase::Waiting(waits) => waits,
        }
    }
}

/// Whether a branch is ready or waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The next step can be taken now.
    Ready,
    /// It waits for one of these bookmarks.
    Waiting(Vec<Wait>),
    /// Its work ended while the instance was suspended; `resume` continues with the outcome.
    Concluded(Concluded),
}

/// The outcome of work that ended while the instance was suspended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concluded {
    /// When it ended.
    pub at: Timestamp,
    /// Its result, if it succeeded; a null is a result too.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Its failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Concluded {
    pub(in crate::engine) fn outcome(self) -> Result<Value, Failure> {
        self.failure.map_or(Ok(self.result.unwrap_or_default()), Err)
    }
}
