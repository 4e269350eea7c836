//! Opens the connections of a pool, and looks whether the server has taken their settings.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::CacheSize;
use diesel::prelude::*;
use diesel::result::ConnectionResult;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use sha2::{Digest, Sha256};

use super::pooler::{LESSONS_MAX, Pooler};
use super::prepared::{self, Seen};
use super::{
    BY_INDEX, IDLE_IN_TRANSACTION_MAX, Kept, LIMITS, LOOK_FOR_CLIENT_EVERY, Prepared, Purpose, RESET, Session, begin,
    needed,
};
use crate::config;
use crate::store::Connection;
use crate::store::connection::Patience;
use crate::store::dial::{Dialed, Dialer};

/// Opens the connections of a pool.
pub(in crate::store) struct Opening {
    /// The URL without options.
    url: String,
    /// Percent-encoded options that the configured URL has itself.
    own: Vec<String>,
    limits: Vec<(&'static str, String)>,
    purpose: Purpose,
    prepared: config::PreparedStatements,
    statement_timeout: Duration,
    dialer: Arc<Dialer>,
    pooler: Arc<Pooler>,
}

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
    pub(in crate::store) fn new(
        url: String,
        own: Vec<String>,
        database: &config::Database,
        purpose: Purpose,
        dialer: Arc<Dialer>,
        pooler: Arc<Pooler>,
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
            pooler,
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
        for (name, value) in self.changeable().chain(needed()) {
            hash.update(format!("{name}={value}\n"));
        }
        self.own.iter().for_each(|own| hash.update(own));
        hex::encode(&hash.finalize()[..8])
    }

    /// The URL with all settings as options: those of the configured URL change ours, except for what correctness needs.
    pub(in crate::store) fn url(&self) -> String {
        let option = |(name, value): (&str, &str)| format!("-c {name}={}", value.replace(' ', "\\ "));
        let texts = |settings: Vec<String>| crate::store::pool::encoded(&settings.join(" "));
        let mut options = vec![texts(self.changeable().map(option).collect())];
        options.extend(self.own.iter().cloned());
        let mark = self.mark();
        options.push(texts(needed().chain([("leveret.settings", mark.as_str())]).map(option).collect()));
        format!("{}&options={}", self.url, options.join("%20"))
    }

    /// Connects and verifies.
    pub(in crate::store) async fn open(&self) -> ConnectionResult<Connection> {
        let mut opened = self.connect().await;
        for _ in 0..LESSONS_MAX {
            match &opened {
                Err(error) if self.pooler.learns(&error.to_string()) => opened = self.connect().await,
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
                self.pooler.note_lost_names();
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
        let url = if self.pooler.refuses_options() { self.url.clone() } else { self.url() };
        let prepared = if self.pooler.loses_names() { Prepared::Transaction } else { Prepared::Connection };
        let mut dialed = self.dialer.dial(&url, &format!("{}{}", begin(), prepared.begin())).await?;
        let verified =
            self.verify(&mut dialed.inner).await.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
        Ok((dialed, verified))
    }

    /// Looks whether the settings hold, and raises `synchronous_commit = off`, which would lose what was answered with 2xx.
    /// The other values of an operator are kept: each of them waits at least for the disk of this server. Of an operator, and not
    /// of another client of a pooler: so it is the value that `RESET` would set.
    async fn verify(&self, conn: &mut AsyncPgConnection) -> QueryResult<Verified> {
        let mark = self.mark();
        let is_renamed = prepared::is_renamed(&mark);
        let wanted: Vec<String> =
            needed().map(|(name, value)| format!("current_setting('{name}') = '{value}'")).collect();
        let wanted = wanted.join(" AND ");
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
                Session { kept, prepared, begin: begin().into(), reset: reset.into() }
            }
            Kept::Transaction => {
                let mut local = String::new();
                for (name, value) in self.changeable().chain(needed()).chain([("synchronous_commit", durability)]) {
                    let _ = write!(local, "; SET LOCAL {name} = '{value}'");
                }
                // The tables of handlers are found by the path of the role, not by what another client has left behind.
                local.push_str("; SET LOCAL search_path TO DEFAULT; SET LOCAL role TO DEFAULT");
                // Ours by the start-up of each client; for the server of a pooler it is not what `RESET ALL` goes back to.
                local.push_str("; SET LOCAL client_encoding = 'UTF8'");
                let begin = format!("{}{}{local}", begin(), prepared.begin());
                Session { kept, prepared, begin: begin.into(), reset: format!("{RESET}{local}").into() }
            }
        }
    }
}
