//! What correctness and time limits need of a session, whatever the defaults of the database and the role: sent as start-up options,
//! verified after connecting, and sent with each transaction where start-up options do not hold.

mod opening;
mod pooler;
mod prepared;

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::moment::Moment;
use super::{Connection, Error};
use crate::seeded::{self, Bug};

pub(super) use opening::Opening;
pub(super) use pooler::{Pooler, is_about_a_name};
pub use prepared::Prepared;

/// The server ends a session whose transaction is idle for longer: longer than any handler may take.
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(60);
/// How often the server checks, during a statement, whether its client still exists: the statement of a killed process
/// or of a handler that timed out ends, and releases its locks, long before `statement_timeout`.
const LOOK_FOR_CLIENT_EVERY: Duration = Duration::from_secs(1);
/// The beginning of every transaction.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// What code of others may have changed: its role and its settings go back to those of the session.
const RESET: &str = "RESET ROLE; RESET ALL";

/// The beginning of every transaction, unless a test has put a bug in.
fn begin() -> &'static str {
    seeded::text(BEGIN, Bug::IsolationLeftToTheDatabase, " ISOLATION LEVEL READ COMMITTED", "")
}

/// What every session needs, unless a test has put a bug in: the isolation is the first.
fn needed<'a>() -> impl Iterator<Item = (&'static str, &'a str)> {
    let first = usize::from(seeded::is(Bug::IsolationLeftToTheDatabase));
    NEEDED.into_iter().skip(first).map(|(name, value)| -> (&'static str, &'a str) { (name, value) })
}

/// What every session needs. The transactions of Leveret lock first and read afterwards, which is right under read
/// committed only; the others are what the texts of timestamps and numbers in registered statements depend on.
const NEEDED: [(&str, &str); 6] = [
    ("default_transaction_isolation", "read committed"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("standard_conforming_strings", "on"),
    ("extra_float_digits", "1"),
];

/// Background work searches few rows by index, whatever the size of a table. A plan that was cached while the table was
/// almost empty would read the whole table from then on: above all the outbox, whose rows live for milliseconds and
/// leave dead rows until the next vacuum. Without an index the table is read all the same, at a cost that must not
/// start the JIT compiler.
const BY_INDEX: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

/// What a pool is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Steps, with the handlers and statements of others.
    Steps,
    /// Everything else.
    Background,
}

/// Whether the database takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It does.
    Writable,
    /// It is a standby, or `default_transaction_read_only` is set for it or for the role.
    ReadOnly,
}

/// What a look at the database shows.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// The database's time.
    pub now: Timestamp,
    /// Whether it takes writes.
    pub access: Access,
}

pub(super) async fn probe(conn: &mut Connection) -> Result<Probe, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        now: Moment,
        #[diesel(sql_type = Bool)]
        is_read_only: bool,
    }
    let look = "SELECT clock_timestamp() AS now, current_setting('transaction_read_only')::boolean AS is_read_only";
    let row: Row = diesel::sql_query(look).get_result(conn).await?;
    let access = if row.is_read_only { Access::ReadOnly } else { Access::Writable };
    Ok(Probe { now: row.now.0, access })
}

/// How long the settings of Leveret hold on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As long as the session: the server has taken the start-up options.
    Session,
    /// For one transaction, because a pooler has dropped the start-up options: they are sent with each.
    Transaction,
}

/// The texts by which a connection keeps its settings.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) kept: Kept,
    pub(super) prepared: Prepared,
    /// Begins a transaction.
    pub(super) begin: Arc<str>,
    /// Takes back what code of others has changed.
    pub(super) reset: Arc<str>,
}

impl Session {
    /// Of a connection outside of the pools, with the settings of its server.
    pub(super) fn unmanaged() -> Self {
        let reset = format!("{RESET}; SET TIME ZONE 'UTC'");
        Self { kept: Kept::Session, prepared: Prepared::Connection, begin: begin().into(), reset: reset.into() }
    }
}

/// Settings whose values come from Leveret's own settings.
const LIMITS: [&str; 4] =
    ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "client_connection_check_interval"];

/// How the settings of the sessions stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How long they hold.
    pub kept: Kept,
    /// How long statements stay prepared.
    pub prepared: Prepared,
    /// Defaults of the database or the role that Leveret does not use, as `name = value`.
    pub replaced: Vec<String>,
    /// The value of `synchronous_commit` that is used.
    pub durability: String,
    /// The value of `lc_messages`.
    pub language: String,
}

/// Looks at a leased connection.
///
/// # Errors
/// As for any query.
pub async fn look(conn: &mut Connection) -> Result<Standing, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Array<Text>)]
        defaults: Vec<String>,
        #[diesel(sql_type = Text)]
        durability: String,
        #[diesel(sql_type = Text)]
        language: String,
    }
    let row: Row = diesel::sql_query(LOOK).get_result(conn).await?;
    let needed = |name: &str| NEEDED.iter().find(|(needed, _)| needed.eq_ignore_ascii_case(name));
    let is_replaced = |setting: &&String| {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        match needed(name) {
            Some((_, ours)) => !ours.eq_ignore_ascii_case(value),
            None => name == "synchronous_commit" && value == "off" || LIMITS.contains(&name),
        }
    };
    let replaced = row.defaults.iter().filter(is_replaced).map(|setting| setting.replacen('=', " = ", 1)).collect();
    Ok(Standing {
        kept: conn.settings_kept(),
        prepared: conn.statements_kept(),
        replaced,
        durability: row.durability,
        language: row.language,
    })
}

const LOOK: &str = "
    SELECT coalesce((SELECT array_agg(setting ORDER BY setting)
                       FROM pg_db_role_setting AS s, unnest(s.setconfig) AS setting
                      WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                        AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))), '{}') AS defaults,
           current_setting('synchronous_commit') AS durability, current_setting('lc_messages') AS language";
