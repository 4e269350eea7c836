//! Exports the history of ended instances before they are deleted: JSON lines, compressed, to a folder or a bucket, each file with a
//! manifest. A file counts when it was read back with the same checksum; until then none of its instances is deleted.
//!
//! A process that ends in between leaves a claim behind; when its time is over, the same file is written again from the beginning.

mod file;
mod place;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStore;
use tokio::time::Instant;

use super::retention::{self, Rule, rules};
use crate::app::App;
use crate::config::ExportPlace;
use crate::store::exports::{self, Claim};
use crate::store::{self, retention::After};

pub use place::open;

/// Instances of one file.
const INSTANCES_MAX: i64 = 2_000;
/// How long a file is left to its writer, which holds it again while it writes.
const HOLD_FOR: Duration = Duration::from_secs(300);

/// Why something was not exported. What was not exported is not deleted either.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The folder or the bucket.
    #[error("history cannot be exported to `export.to`: {0}")]
    Place(String),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Error::Place(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Place(error.to_string())
    }
}

/// What instances need before they are deleted.
pub fn needs(app: &App) -> After {
    match app.config.export.place() {
        ExportPlace::None => After::Time,
        ExportPlace::Folder(_) | ExportPlace::Bucket { .. } => After::Export,
    }
}

/// Exports everything that is about to be deleted, or as much as there is time for until the process stops. Returns the number of
/// instances.
///
/// # Errors
/// The first that was met; files that were verified before count.
pub async fn pass(app: &App) -> Result<usize, Error> {
    let Some(place) = open(app)? else { return Ok(0) };
    let mut exported = 0;
    loop {
        let mut conn = app.store.background().await?;
        let Some(claim) = exports::claim_abandoned(&mut conn, HOLD_FOR).await? else { break };
        drop(conn);
        exported += one(app, &place, claim).await?;
    }
    for rule in rules(app).await? {
        if let Some(before) = rule.keeps.ends(app.clock.now()) {
            exported += of_rule(app, &place, &rule, before).await?;
        }
    }
    Ok(exported)
}

async fn of_rule(app: &App, place: &Arc<dyn ObjectStore>, rule: &Rule, before: Timestamp) -> Result<usize, Error> {
    let mut exported = 0;
    while !app.stop.is_cancelled() {
        let began = Instant::now();
        let mut conn = app.store.background().await?;
        let claim = exports::claim(&mut conn, &rule.of, before, app.new_id(), HOLD_FOR, INSTANCES_MAX).await?;
        drop(conn);
        let Some(claim) = claim else { break };
        let count = claim.instances.len();
        exported += one(app, place, claim).await?;
        if count < INSTANCES_MAX as usize {
            break;
        }
        retention::pause(app, began).await;
    }
    Ok(exported)
}

/// Writes, reads back and notes one file.
async fn one(app: &App, place: &Arc<dyn ObjectStore>, claim: Claim) -> Result<usize, Error> {
    crate::failpoint::reach("export::before_file");
    let Some(written) = file::write(app, place, &claim, HOLD_FOR).await? else {
        tracing::info!(export = %claim.id, "another process has taken over this export");
        return Ok(0);
    };
    crate::failpoint::reach("export::after_file");
    file::verify(place, &written).await?;
    file::write_manifest(place, &claim, &written).await?;
    crate::failpoint::reach("export::before_verified");
    exports::mark_verified(&mut *app.store.background().await?, claim.id, &written).await?;
    retention::count("exported", claim.instances.len());
    Ok(claim.instances.len())
}
