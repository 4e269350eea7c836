//! Waiting for what the code under test does not report: a row, a depth, a status. The database and the broker do not say what has
//! changed, so this is the one place that polls. Where there is a signal (an answer, an event, a line of output, a request), a test
//! waits for that.

use std::time::{Duration, Instant};

/// The bound of what is not about speed.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The pause between two polls.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Polls until it holds; fails the test with these words if it does not within the time.
pub(crate) async fn eventually(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}
