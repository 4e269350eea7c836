//! Spans: the context of log lines. They carry names and ids, never bodies, variables or secrets.

use tracing::Span;

/// One HTTP request. `route` is the pattern of the path (`/api/v1/instances/{id}`); `status` is recorded with the response.
pub fn request(method: &str, route: &str) -> Span {
    tracing::info_span!("request", method, route, status = tracing::field::Empty)
}
