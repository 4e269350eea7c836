//! Whether a server is alive. A frozen one accepts packets and never answers, its own time limits do not run, and its kernel
//! keeps the connections open: only this side can notice it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dial::{self, Look, Origin};

/// A server that was asked and has said nothing on any connection for this long is looked at.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(2);
/// A look takes at most this long; then the server is lost. A busy server needs milliseconds, a starved machine a second.
const LOOK_FOR: Duration = Duration::from_secs(3);

/// One start of one server, shared by the connections to it.
pub(super) struct Pulse {
    /// Where it can be reached anew.
    origin: Origin,
    place: String,
    /// Its identity: a promoted standby, or the same server started again, is another one.
    server: String,
    began: Instant,
    /// Milliseconds after `began` at which it last answered.
    heard_at: AtomicU64,
    /// Cancelled when it does not answer any longer: every connection to it is given up.
    lost: CancellationToken,
    /// Held by the one statement that looks.
    looking: Mutex<()>,
}

impl Pulse {
    pub(super) fn new(origin: Origin, place: String, server: String) -> Self {
        Self {
            origin,
            place,
            server,
            began: Instant::now(),
            heard_at: AtomicU64::new(0),
            lost: CancellationToken::new(),
            looking: Mutex::new(()),
        }
    }

    pub(super) fn host(&self) -> usize {
        self.origin.host
    }

    /// Host and port, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn is_of(&self, server: &str) -> bool {
        self.server == server
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Resolves when the server is lost.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Notes an answer.
    pub(super) fn heard(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_at.store(now, Ordering::Relaxed);
    }

    /// When the server last answered, but not before `since`, when it was asked.
    pub(super) fn silent_since(&self, since: Instant) -> Instant {
        (self.began + Duration::from_millis(self.heard_at.load(Ordering::Relaxed))).max(since)
    }

    /// Looks whether the server is alive, unless another statement is looking; if it is not, every connection to it is lost.
    pub(super) async fn look(&self) {
        let Ok(_looking) = self.looking.try_lock() else { return };
        let said = match dial::look(&self.origin, LOOK_FOR).await {
            Look::Alive(server) if server.as_ref().is_none_or(|server| self.is_of(server)) => return self.heard(),
            Look::Alive(_) => "another server answers at its address",
            Look::Silent => "it does not answer",
        };
        if !self.is_lost() {
            tracing::warn!(database = self.place, "the database server is lost, and with it its connections: {said}");
            self.lost.cancel();
        }
    }
}
