//! Keys of the API, as they are shown. The key itself is shown once, when it is made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A key of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyView {
    /// Its id.
    pub id: Uuid,
    /// Who acts with it.
    pub name: String,
    /// Its beginning, to tell keys apart.
    pub hint: String,
    /// What it may do: `read`, `start`, `task`, `operate`, `admin`.
    pub scopes: Vec<String>,
    /// Groups of its user.
    pub groups: Vec<String>,
    /// Whether its commands may name another user.
    pub acts_for_others: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// It is refused from then on.
    pub expires_at: Option<Timestamp>,
    /// When it was used, to some minutes.
    pub last_used_at: Option<Timestamp>,
    /// It is refused from then on.
    pub revoked_at: Option<Timestamp>,
}
