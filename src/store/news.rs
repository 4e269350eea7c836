//! What is new of instances that somebody watches, and which tables have changed: read once for everybody who watches.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::json::Document;
use super::moment::Moment;
use super::schema::leveret::instances;
use super::sql::Sql;
use super::{Connection, Error};
use crate::contract::api::HistoryView;
use crate::engine::InstanceId;

/// The most entries of one instance that one look reads; the next look continues.
pub const ENTRIES_MAX: i64 = 100;

/// How far an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its status.
    pub status: String,
    /// Its revision.
    pub revision: i64,
    /// The number of its last entry of history.
    pub entries: i64,
    /// Whether it has ended.
    pub is_ended: bool,
}

/// How far an instance is; none if there is none.
///
/// # Errors
/// As for any query.
pub async fn find_progress(conn: &mut Connection, id: InstanceId) -> Result<Option<Progress>, Error> {
    let columns = (instances::status, instances::revision, instances::history_count, instances::ended_at.is_not_null());
    let row: Option<(String, i64, i64, bool)> =
        instances::table.find(id.0).select(columns).first(conn).await.optional()?;
    Ok(row.map(|(status, revision, entries, is_ended)| Progress { status, revision, entries, is_ended }))
}

/// New entries of one instance, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// The instance.
    pub instance: InstanceId,
    /// How far it is.
    pub progress: Progress,
    /// The next entries, at most [`ENTRIES_MAX`].
    pub entries: Vec<HistoryView>,
}

/// The entries that these instances have beyond the numbers beside them; those without news are left out.
///
/// # Errors
/// As for any query.
pub async fn news(conn: &mut Connection, watched: &[(InstanceId, i64)]) -> Result<Vec<News>, Error> {
    let (ids, known): (Vec<Uuid>, Vec<i64>) = watched.iter().map(|(id, known)| (id.0, *known)).unzip();
    let rows: Vec<Row> = Entries::bind_limit(ENTRIES_MAX, (ids, known)).load(conn).await?;
    let mut all: Vec<News> = Vec::new();
    for (id, status, revision, entries, is_ended, number, at, kind, activity, branch, details) in rows {
        let entry = HistoryView {
            number,
            at: at.into(),
            kind,
            activity,
            branch,
            details: details.map(|details| details.0).unwrap_or_default(),
        };
        match all.last_mut() {
            Some(news) if news.instance.0 == id => news.entries.push(entry),
            _ => {
                let progress = Progress { status, revision, entries, is_ended };
                all.push(News { instance: InstanceId(id), progress, entries: vec![entry] });
            }
        }
    }
    Ok(all)
}

type Row = (Uuid, String, i64, i64, bool, i64, Moment, String, Option<String>, Option<i32>, Option<Document>);

struct Entries;

impl Sql for Entries {
    type Binds = (Array<diesel::sql_types::Uuid>, Array<BigInt>);
    type Row = (
        diesel::sql_types::Uuid,
        Text,
        BigInt,
        BigInt,
        Bool,
        BigInt,
        Timestamptz,
        Text,
        Nullable<Text>,
        Nullable<Integer>,
        Nullable<Jsonb>,
    );
    const TEXT: &'static str = "
        SELECT w.id, i.status, i.revision, i.history_count, i.ended_at IS NOT NULL,
               h.number, h.at, h.kind, h.activity, h.branch, h.details
          FROM unnest($1::uuid[], $2::bigint[]) AS w (id, known)
          JOIN leveret.instances AS i ON i.id = w.id AND i.history_count > w.known
         CROSS JOIN LATERAL (
               SELECT * FROM leveret.history AS e
                WHERE e.instance_id = w.id AND e.number > w.known ORDER BY e.number LIMIT {limit}) AS h
         ORDER BY w.id, h.number";
}

/// How often rows of each table were written, by the statistics of the server, which cost the same however large a table is. They lag by up
/// to ten seconds, and a crash sets them back: a number that differs means a change, nothing else. The row `anything` does not lag: it is how
/// far the log of the server is, of whatever was written.
///
/// # Errors
/// As for any query.
pub async fn writes(conn: &mut Connection) -> Result<Vec<(String, i64)>, Error> {
    Ok(Writes::bind(()).load(conn).await?)
}

struct Writes;

impl Sql for Writes {
    type Binds = ();
    type Row = (Text, BigInt);
    const TEXT: &'static str = "
        SELECT relname::text, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables
         WHERE schemaname = 'leveret'
           AND relname IN ('instances', 'bookmarks', 'tasks', 'calls', 'dead_letters', 'definitions', 'schedules', 'targets',
                           'bulk_jobs', 'incident_groups')
        UNION ALL SELECT 'anything', (pg_current_wal_insert_lsn() - '0/0')::bigint";
}
