//! What correctness and time limits need of a session, whatever the defaults of the database and the role: sent as start-up options,
//! verified after connecting, and sent with each transaction where start-up options do not hold.

mod prepared;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::CacheSize;
use diesel::prelude::*;
use diesel::result::ConnectionResult;
use diesel::sql_types::{Array, Bool, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::connection::Patience;
use super::dial::{Dialed, Dialer};
use super::moment::Moment;
use super::{Connection, Error};
use crate::config;

pub use prepared::Prepared;
use prepared::Seen;
pub(super) use prepared::is_about_a_name;

/// The server ends a session whose transaction is idle for longer: longer than any handler may take.
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(60);
/// How often the server checks, during a statement, whether its client still exists: the statement of a killed process
/// or of a handler that timed out ends, and releases its locks, long before `statement_timeout`.
const LOOK_FOR_CLIENT_EVERY: Duration = Duration::from_secs(1);
/// The beginning of every transaction.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// What code of others may have changed: its role and its settings go back to those of the session.
const RESET: &str = "RESET ROLE; RESET ALL";

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
        Self { kept: Kept::Session, prepared: Prepared::Connection, begin: BEGIN.into(), reset: reset.into() }
    }
}

/// Settings whose values come from Leveret's own settings.
const LIMITS: [&str; 4] =
    ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "client_connection_check_interval"];

/// Opens the connections of a pool.
pub(super) struct Opening {
    /// The URL without options.
    url: String,
    /// Percent-encoded options that the configured URL has itself.
    own: Vec<String>,
    limits: Vec<(&'static str, String)>,
    purpose: Purpose,
    prepared: config::PreparedStatements,
    statement_timeout: Duration,
    dialer: Arc<Dialer>,
    /// Whether the server, which is a pooler then, has refused start-up options.
    is_refused: AtomicBool,
    /// Whether it is a pooler that does not keep the names of prepared statements.
    loses_names: AtomicBool,
}

/// What can be learned about a pooler from its refusals: that it takes no options, and that it loses names.
const LESSONS_MAX: usize = 2;

#[derive(QueryableByName)]
struct Verified {
    #[diesel(sql_type = Bool)]
    holds: bool,
    #[diesel(sql_type = Text)]
    durability: String,
    #[diesel(sql_type = Bool)]
    is_renamed: bool,
}

impl Opening {
    /// `url` has no options; `own` are the values of its parameters `options`.
    pub(super) fn new(
        url: String,
        own: Vec<String>,
        database: &config::Database,
        purpose: Purpose,
        dialer: Arc<Dialer>,
    ) -> Self {
        let millis = |limit: Duration| limit.as_millis().to_string();
        let limits =
            [database.statement_timeout, database.lock_timeout, IDLE_IN_TRANSACTION_MAX, LOOK_FOR_CLIENT_EVERY];
        let limits = LIMITS.into_iter().zip(limits.map(millis)).collect();
        Self {
            url,
            own,
            limits,
            purpose,
            prepared: database.prepared_statements,
            statement_timeout: database.statement_timeout,
            dialer,
            is_refused: AtomicBool::default(),
            loses_names: AtomicBool::default(),
        }
    }

    /// Settings that the options of the configured URL may change.
    fn changeable(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let more = match self.purpose {
            Purpose::Steps => &[][..],
            Purpose::Background => &BY_INDEX[..],
        };
        self.limits.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied())
    }

    /// Proves after connecting that the server took these options, and not those of another client of a pooler.
    fn mark(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in self.changeable().chain(NEEDED) {
            hash.update(format!("{name}={value}\n"));
        }
        self.own.iter().for_each(|own| hash.update(own));
        hex::encode(&hash.finalize()[..8])
    }

    /// The URL with all settings as options: those of the configured URL change ours, except for what correctness needs.
    pub(super) fn url(&self) -> String {
        let option = |(name, value): (&str, &str)| format!("-c {name}={}", value.replace(' ', "\\ "));
        let texts = |settings: Vec<String>| super::pool::encoded(&settings.join(" "));
        let mut options = vec![texts(self.changeable().map(option).collect())];
        options.extend(self.own.iter().cloned());
        let mark = self.mark();
        options.push(texts(NEEDED.into_iter().chain([("leveret.settings", mark.as_str())]).map(option).collect()));
        format!("{}&options={}", self.url, options.join("%20"))
    }

    /// Connects and verifies.
    pub(super) async fn open(&self) -> ConnectionResult<Connection> {
        let mut opened = self.connect().await;
        for _ in 0..LESSONS_MAX {
            match &opened {
                Err(error) if self.learns(error) => opened = self.connect().await,
                Ok(_) | Err(_) => break,
            }
        }
        let (Dialed { mut inner, pulse, statement_timeout }, verified) = opened?;
        let seen = Seen { has_options: verified.holds, is_renamed: verified.is_renamed };
        let prepared = Prepared::choose(self.prepared, seen);
        let kept = match (verified.holds, prepared) {
            (true, Prepared::Connection) => Kept::Session,
            (false, _) | (true, Prepared::Transaction) => Kept::Transaction,
        };
        if kept == Kept::Transaction {
            tracing::debug!(
                ?prepared,
                "the server did not take the start-up options: they are sent with each transaction"
            );
        }
        match prepared {
            Prepared::Connection => {}
            Prepared::Transaction => {
                self.loses_names.store(true, Ordering::Relaxed);
                inner.set_prepared_statement_cache_size(CacheSize::Disabled);
            }
        }
        // What the start-up options say counts if the server took them; they may have changed ours.
        let statement = if verified.holds { statement_timeout } else { self.statement_timeout };
        let session = self.session(kept, prepared, &verified.durability);
        Ok(Connection::new(inner, session, Patience::new(pulse, statement)))
    }

    /// A connection after its first transaction, in which its settings were looked at.
    async fn connect(&self) -> ConnectionResult<(Dialed, Verified)> {
        let is_refused = AtomicBool::load(&self.is_refused, Ordering::Relaxed);
        let url = if is_refused { self.url.clone() } else { self.url() };
        let loses_names = AtomicBool::load(&self.loses_names, Ordering::Relaxed);
        let prepared = if loses_names { Prepared::Transaction } else { Prepared::Connection };
        let mut dialed = self.dialer.dial(&url, &format!("{BEGIN}{}", prepared.begin())).await?;
        let verified =
            self.verify(&mut dialed.inner).await.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
        Ok((dialed, verified))
    }

    /// Whether the next attempt may succeed because of what the error says about a pooler.
    fn learns(&self, error: &diesel::ConnectionError) -> bool {
        let text = error.to_string();
        // As PgBouncer says it, unless `ignore_startup_parameters` lists them.
        if text.contains("unsupported startup parameter") {
            self.is_refused.store(true, Ordering::Relaxed);
            return true;
        }
        // Another client has left it on the server.
        let is_about_a_name = text.contains("prepared statement \"");
        self.loses_names.fetch_or(is_about_a_name, Ordering::Relaxed);
        is_about_a_name
    }

    /// Looks whether the settings hold, and raises `synchronous_commit = off`, which would lose what was answered with 2xx.
    /// The other values of an operator are kept: each of them waits at least for the disk of this server. Of an operator, and not
    /// of another client of a pooler: so it is the value that `RESET` would set.
    async fn verify(&self, conn: &mut AsyncPgConnection) -> QueryResult<Verified> {
        let mark = self.mark();
        let is_renamed = prepared::is_renamed(&mark);
        let wanted = NEEDED.map(|(name, value)| format!("current_setting('{name}') = '{value}'")).join(" AND ");
        // Not for the session of a pooler, which others use too.
        let look = format!(
            "WITH now AS (SELECT coalesce(current_setting('leveret.settings', true), '') = '{mark}' AND {wanted} AS holds,
                                 replace(reset_val, 'off', 'on') AS wanted
                            FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit')
             SELECT holds, set_config('synchronous_commit', wanted, NOT holds) AS durability, {is_renamed} AS is_renamed
               FROM now"
        );
        let verified: Verified = diesel::sql_query(look).get_result(conn).await?;
        // What diesel-async and we have set is for the session, or for nobody: a pooler gives its server to others.
        conn.batch_execute(if verified.holds { "COMMIT" } else { "ROLLBACK" }).await?;
        Ok(verified)
    }

    fn session(&self, kept: Kept, prepared: Prepared, durability: &str) -> Session {
        match kept {
            Kept::Session => {
                let reset = format!("{RESET}; SET synchronous_commit = '{durability}'");
                Session { kept, prepared, begin: BEGIN.into(), reset: reset.into() }
            }
            Kept::Transaction => {
                let mut local = String::new();
                for (name, value) in self.changeable().chain(NEEDED).chain([("synchronous_commit", durability)]) {
                    let _ = write!(local, "; SET LOCAL {name} = '{value}'");
                }
                // The tables of handlers are found by the path of the role, not by what another client has left behind.
                local.push_str("; SET LOCAL search_path TO DEFAULT; SET LOCAL role TO DEFAULT");
                // Ours by the start-up of each client; for the server of a pooler it is not what `RESET ALL` goes back to.
                local.push_str("; SET LOCAL client_encoding = 'UTF8'");
                let begin = format!("{BEGIN}{}{local}", prepared.begin());
                Session { kept, prepared, begin: begin.into(), reset: format!("{RESET}{local}").into() }
            }
        }
    }
}

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
