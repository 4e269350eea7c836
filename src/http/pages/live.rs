//! Where a page listens for changes. What it shows is asked for again when something has changed.

use uuid::Uuid;

/// The stream of one instance.
pub(super) fn instance(id: Uuid) -> Option<String> {
    Some(format!("/api/v1/instances/{id}/events"))
}

/// The stream of lists and counts.
pub(super) fn lists() -> Option<String> {
    Some("/api/v1/events".to_owned())
}
