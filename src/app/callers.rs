//! What this process knows of API keys and sessions, so that not every request asks the database.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::App;
use crate::store::api_keys::{self, KnownKey};
use crate::store::{self, Connection};

/// How long an answer of the database counts: a key that was revoked is refused after this at the latest.
pub const KNOWN_FOR: Duration = Duration::from_secs(5);
/// How long it counts while the database does not answer: nothing else can be read or changed then, except what this process counts.
const KNOWN_WITHOUT_DATABASE_FOR: Duration = Duration::from_secs(3_600);
/// Keys and sessions that are known at once.
const KNOWN_MAX: u64 = 10_000;
/// Questions at once, so that invented keys do not take the connections of others.
const ASKING_MAX: usize = 2;
/// The use of a key is noted again after this.
const USE_NOTED_EVERY: Duration = Duration::from_secs(300);

/// What a hash is the hash of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A key.
    Key,
    /// The cookie of a session.
    Session,
}

#[derive(Clone)]
struct Entry {
    known: Option<Arc<KnownKey>>,
    asked_at: Instant,
}

/// Keys and sessions by their hashes, and hashes that belong to none.
pub(super) struct Callers {
    known: Cache<[u8; 32], Entry>,
    asking: Semaphore,
}

impl Default for Callers {
    fn default() -> Self {
        let known = Cache::builder().max_capacity(KNOWN_MAX).time_to_live(KNOWN_WITHOUT_DATABASE_FOR).build();
        Self { known, asking: Semaphore::new(ASKING_MAX) }
    }
}

impl Callers {
    /// What the database has said a moment ago.
    fn fresh(&self, hash: &[u8; 32]) -> Option<Option<Arc<KnownKey>>> {
        let entry = self.known.get(hash)?;
        (entry.asked_at.elapsed() < KNOWN_FOR).then_some(entry.known)
    }
}

impl App {
    /// The key of this hash, or the one with which its session was opened; whether it still counts is for the caller to decide.
    ///
    /// # Errors
    /// If the database does not answer, and has never said anything of this hash.
    pub async fn known_key(&self, proof: Proof, hash: &[u8; 32]) -> Result<Option<Arc<KnownKey>>, store::Error> {
        if let Some(known) = self.callers.fresh(hash) {
            return Ok(known);
        }
        let asking = self.callers.asking.acquire().await;
        // Another request may have asked meanwhile.
        if let Some(known) = self.callers.fresh(hash) {
            return Ok(known);
        }
        let asked = ask(self, proof, hash).await;
        drop(asking);
        match (asked, self.callers.known.get(hash)) {
            (Ok(known), _) => {
                let known = known.map(Arc::new);
                self.callers.known.insert(*hash, Entry { known: known.clone(), asked_at: Instant::now() });
                Ok(known)
            }
            (Err(store::Error::Unavailable(_) | store::Error::Busy(_)), Some(entry)) => Ok(entry.known),
            (Err(error), _) => Err(error),
        }
    }

    /// Forgets a key or session that this process has ended itself.
    pub fn forget_key(&self, hash: &[u8; 32]) {
        self.callers.known.invalidate(hash);
    }
}

async fn ask(app: &App, proof: Proof, hash: &[u8; 32]) -> Result<Option<KnownKey>, store::Error> {
    let mut conn = app.store.background().await?;
    let known = match proof {
        Proof::Key => api_keys::find(&mut conn, hash).await?,
        Proof::Session => api_keys::find_by_session(&mut conn, hash).await?,
    };
    if let Some(known) = &known {
        note_use(app, &mut conn, known).await;
    }
    Ok(known)
}

/// Notes that a key is used, if that was not noted for a while. A request does not fail for it.
async fn note_use(app: &App, conn: &mut Connection, known: &KnownKey) {
    let noted = known.last_used_at.and_then(|at| Duration::try_from(app.clock.now().duration_since(at)).ok());
    let is_noted = noted.is_some_and(|ago| ago < USE_NOTED_EVERY);
    if is_noted || known.is_revoked {
        return;
    }
    if let Err(error) = api_keys::mark_used(conn, known.id).await {
        tracing::debug!(%error, key = %known.id, "the use of a key could not be noted");
    }
}
