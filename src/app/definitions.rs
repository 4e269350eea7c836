//! Definitions of this process: parsed ones by name and version, and the newest version of each name.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use moka::sync::Cache;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::App;
use crate::definition::{Definition, Problem, content};
use crate::store::{self, definitions};

/// Definitions kept parsed, and names whose newest version is kept.
const DEFINITIONS_MAX: usize = 1_000;

/// A parsed definition, or the one read that is under way: callers that arrive meanwhile wait for it.
type Entry = Arc<OnceCell<Arc<Definition>>>;

/// What this process knows of definitions.
pub(super) struct Definitions {
    /// A version never changes, so no entry is ever stale. The lookup is synchronous and does no I/O, because each commit makes
    /// one; only a miss is asynchronous.
    parsed: Cache<(String, i32), Entry>,
    newest: RwLock<HashMap<String, i32>>,
}

impl Default for Definitions {
    fn default() -> Self {
        Self { parsed: Cache::new(DEFINITIONS_MAX as u64), newest: RwLock::default() }
    }
}

impl App {
    /// The newest active version of a definition that this process knows. It may be outdated: a start verifies it.
    pub fn newest_version(&self, name: &str) -> Option<i32> {
        self.definitions.newest.read().ok()?.get(name).copied()
    }

    /// Remembers the newest version that was read from the table.
    pub fn remember_newest(&self, name: &str, version: i32) {
        if let Ok(mut newest) = self.definitions.newest.write() {
            // Bounded without bookkeeping: a full map is cleared, and names in use come back.
            if newest.len() >= DEFINITIONS_MAX {
                newest.clear();
            }
            newest.insert(name.to_owned(), version);
        }
    }

    /// Forgets a newest version that turned out to be outdated.
    pub fn forget_newest(&self, name: &str) {
        if let Ok(mut newest) = self.definitions.newest.write() {
            newest.remove(name);
        }
    }

    /// The definition of this name and version, if it is in memory.
    pub fn cached_definition(&self, name: &str, version: i32) -> Option<Arc<Definition>> {
        self.definitions.parsed.get(&(name.to_owned(), version))?.get().cloned()
    }

    /// The definition of this name and version; a cold cache causes one read, however many callers wait.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; `Busy` if only newer workers can read it.
    pub async fn definition(&self, name: &str, version: i32) -> Result<Arc<Definition>, store::Error> {
        let entry = self.definitions.parsed.get_with((name.to_owned(), version), Entry::default);
        entry.get_or_try_init(|| self.read_definition(name, version)).await.cloned()
    }

    async fn read_definition(&self, name: &str, version: i32) -> Result<Arc<Definition>, store::Error> {
        // Not from the steps' pool: callers may hold one of its connections, and all of them waiting for another would deadlock.
        let mut conn = self.store.background().await?;
        let stored = definitions::find(&mut conn, name, Some(version)).await?;
        drop(conn);
        let stored = stored.ok_or_else(|| store::Error::NotFound(format!("definition `{name}` version {version}")))?;
        let definition = self.read_content(stored.content).await?.map_err(|problems| {
            let first = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            // A newer binary checked and applied it, and shares the work while the upgrade is rolled out.
            tracing::warn!(definition = name, version, problem = first, "this binary cannot read a definition");
            store::Error::Busy(format!("definition `{name}` version {version} needs newer workers"))
        })?;
        Ok(Arc::new(definition))
    }

    /// Most documents are read here and now: behind long decisions they would wait for their turn. One that may take long waits.
    async fn read_content(&self, content: Value) -> Result<Result<Definition, Vec<Problem>>, store::Error> {
        if content::is_brief(&content) {
            return Ok(Definition::from_content(&content));
        }
        self.decide_elsewhere(move || Definition::from_content(&content)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::config::Config;
    use crate::handlers::Handlers;

    /// What waits for its turn has not had it by then.
    const WAITS: Duration = Duration::from_millis(200);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_small_document_is_read_while_long_decisions_take_every_turn() {
        let mut config = Config::default();
        config.database.url = "postgres://nobody@127.0.0.1:1/none".into();
        let app = App::without_publisher(config, Handlers::new(), "worker").unwrap();
        // More than there are turns.
        let mut ends = Vec::new();
        for _ in 0..8 {
            let (end, ended) = mpsc::channel::<()>();
            let decides = app.clone();
            app.tasks.spawn(async move { decides.decide_elsewhere(move || ended.recv().ok()).await });
            ends.push(end);
        }
        let document =
            |text: &str| json!({ "name": "a", "description": text, "activities": [{ "id": "b", "end": {} }] });
        let read = async |text: &str| {
            let read = timeout(WAITS, app.read_content(document(text))).await;
            read.ok().map(|read| read.unwrap().is_ok())
        };
        tokio::time::sleep(WAITS).await;
        assert_eq!(read("small").await, Some(true));
        assert_eq!(read(&"large ".repeat(10_000)).await, None, "it waits for its turn");
        drop(ends);
        let large = app.read_content(document(&"large ".repeat(10_000)));
        assert!(timeout(Duration::from_secs(10), large).await.unwrap().unwrap().is_ok());
    }
}
