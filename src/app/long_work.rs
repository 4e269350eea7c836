//! Pure work that may take long runs on threads of its own, a few at once: those that serve sockets stay free.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use crate::store;

/// Decisions and stored documents that are worked on at once: each may take a tenth of a second of a core, and some tens of
/// megabytes.
const DECISIONS_MAX: usize = 2;
/// Documents and schedules of strangers that are checked at once.
const CHECKS_MAX: usize = 2;
/// Checks that wait for their turn; more are refused.
const CHECKS_WAITING_MAX: usize = 16;

/// The turns of long work in this process.
pub(super) struct LongWork {
    decisions: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    /// Checks that wait, and those that run.
    checking: AtomicUsize,
}

impl Default for LongWork {
    fn default() -> Self {
        Self {
            decisions: Arc::new(Semaphore::new(DECISIONS_MAX)),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            checking: AtomicUsize::new(0),
        }
    }
}

impl App {
    /// Does work of a committed instance or document on a thread of its own, when it is its turn.
    ///
    /// # Errors
    /// `Bug` if the work panics.
    pub async fn decide_elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, store::Error> {
        let turn = self.long_work.decisions.clone().acquire_owned().await;
        elsewhere(turn.ok(), work).await
    }

    /// Checks what a stranger has sent on a thread of its own, when it is its turn. None if too many wait already.
    ///
    /// # Errors
    /// `Bug` if the check panics.
    pub async fn check_elsewhere<T: Send + 'static>(
        &self,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, store::Error> {
        let before = self.long_work.checking.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.long_work.checking);
        if before >= CHECKS_MAX + CHECKS_WAITING_MAX {
            return Ok(None);
        }
        let turn = self.long_work.checks.clone().acquire_owned().await;
        elsewhere(turn.ok(), check).await.map(Some)
    }
}

/// The place of a check among those that wait; left also if its sender goes away.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The turn goes with the work: it ends when the work does, even if nobody waits for it any longer.
async fn elsewhere<T: Send + 'static>(
    turn: Option<OwnedSemaphorePermit>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, store::Error> {
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        span.in_scope(work)
    });
    done.await.map_err(|_| store::Error::Bug("long work has panicked; the log of the server has the details".into()))
}
