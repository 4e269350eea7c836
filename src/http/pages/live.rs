//! Where a page listens for changes. What it shows is asked for again when something has changed; without a stream, every few seconds.

use uuid::Uuid;

/// The beginning of the addresses of streams, where this process has them.
const STREAMS: Option<&str> = None;
/// What the script of a page understands as: ask every few seconds.
const POLL: &str = "poll";

/// The stream of one instance.
pub(super) fn instance(id: Uuid) -> Option<String> {
    Some(STREAMS.map_or_else(|| POLL.to_owned(), |streams| format!("{streams}/instances/{id}")))
}

/// The stream of lists and counts.
pub(super) fn lists() -> Option<String> {
    Some(STREAMS.map_or_else(|| POLL.to_owned(), |streams| format!("{streams}/lists")))
}
