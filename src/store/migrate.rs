//! Migrations: applied in order by one process at a time, and refused if the database is newer than the binary.

use std::collections::BTreeSet;

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use diesel_async::{AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Connection, Error, Transactions, pool};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The name that the database shows of a connection that migrates.
const NAME: &str = "leveret migrate";
// diesel finds the list of applied migrations in our own schema by the search path. Concurrent migrations run one after
// the other; and a change of a table that cannot get its lock must not queue up all other users of the table behind it.
// All of it ends with the transaction, so that a pooler hands nothing of it to another client.
const PREPARE: &str = "SET LOCAL lock_timeout = '60s';
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SELECT pg_advisory_xact_lock(hashtextextended('leveret.migrate', 0));
    CREATE SCHEMA IF NOT EXISTS leveret;
    SET LOCAL search_path = leveret;
    SET LOCAL lock_timeout = '10s';";

/// How the schema of the database compares to this binary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Migrations that are not applied yet.
    pub pending: Vec<String>,
    /// Applied migrations that this binary does not know: it is too old.
    pub unknown: Vec<String>,
}

impl Standing {
    /// Whether this binary and the database match.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && self.unknown.is_empty()
    }
}

/// Compares the database with this binary, without changes.
pub async fn check(conn: &mut Connection) -> Result<Standing, Error> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Nullable<Text>)]
        name: Option<String>,
    }
    let table = "leveret.__diesel_schema_migrations";
    let found: Found =
        diesel::sql_query(format!("SELECT to_regclass('{table}')::text AS name")).get_result(conn).await?;
    let applied: Vec<Found> = if found.name.is_some() {
        diesel::sql_query(format!("SELECT version::text AS name FROM {table}")).get_results(conn).await?
    } else {
        Vec::new()
    };
    let applied: BTreeSet<String> = applied.into_iter().filter_map(|found| found.name).collect();
    let known = known()?;
    Ok(Standing {
        pending: known.difference(&applied).cloned().collect(),
        unknown: applied.difference(&known).cloned().collect(),
    })
}

fn known() -> Result<BTreeSet<String>, Error> {
    let migrations: Vec<Box<dyn Migration<Pg>>> =
        MIGRATIONS.migrations().map_err(|error| Error::Bug(error.to_string()))?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// Checks that the database at `url` matches this binary.
///
/// # Errors
/// `Bug` with the missing or unknown migrations and what to do next.
pub async fn fits(url: &str) -> Result<(), Error> {
    let mut conn = pool::connect(url, NAME).await?;
    let standing = check(&mut conn).await?;
    if !standing.unknown.is_empty() {
        return Err(too_old(&standing.unknown));
    }
    if !standing.pending.is_empty() {
        let pending = standing.pending.join(", ");
        return Err(Error::Bug(format!("migrations are missing ({pending}): run `leveret migrate`")));
    }
    Ok(())
}

fn too_old(unknown: &[String]) -> Error {
    let unknown = unknown.join(", ");
    Error::Bug(format!("the database has migrations this binary does not know ({unknown}): use a newer one"))
}

/// Applies all pending migrations to the database at `url` in one transaction, all or none, and returns them. Uses a
/// connection of its own, without the time limits of the pools; any number of processes may call it concurrently.
///
/// # Errors
/// `Bug` if the database has migrations this binary does not know, or one fails; `Busy` if another process migrates for
/// too long.
pub async fn run(url: &str) -> Result<Vec<String>, Error> {
    let mut conn = pool::connect(url, NAME).await?;
    // Without an end it is rolled back: the connection is closed.
    Transactions::begin_transaction(&mut conn).await?;
    conn.batch_execute(PREPARE).await?;
    let standing = check(&mut conn).await?;
    if !standing.unknown.is_empty() {
        return Err(too_old(&standing.unknown));
    }
    let mut conn = apply(conn).await?;
    // There may be months without a new version.
    conn.batch_execute("SELECT leveret.ensure_history_partitions(now())").await?;
    Transactions::commit_transaction(&mut conn).await?;
    Ok(standing.pending)
}

// The harness of diesel blocks its thread, so it runs on a blocking thread.
async fn apply(conn: Connection) -> Result<Connection, Error> {
    let applied = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn);
        harness.run_pending_migrations(MIGRATIONS).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(harness.into_inner())
    });
    applied.await.map_err(|error| Error::Bug(error.to_string()))?
}
