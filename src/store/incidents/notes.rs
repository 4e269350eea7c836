//! What people note about a group of incidents: who looks after it, comments, and until when it is muted.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::super::moment::Moment;
use super::super::sql::Sql;
use super::super::{Connection, Error, Transaction};
use crate::contract::api::IncidentNoteView;

/// Notes that are kept of a group, the newest.
pub const NOTES_MAX: i64 = 200;

/// What changes in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// This user looks after it, or nobody any more.
    Assign(Option<String>),
    /// Somebody says something.
    Comment(String),
    /// It is muted until a time, or not any more.
    Mute(Option<Timestamp>),
}

/// A change with its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNote {
    /// The change.
    pub change: GroupChange,
    /// The user, or else the sender.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// With `message_id` the identity of the command: sent again, it changes nothing.
    pub app_id: String,
    /// The idempotency key.
    pub message_id: String,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is made.
    Now,
    /// It was made before.
    Before,
    /// No open incident has the fingerprint.
    NoIncident,
}

impl GroupChange {
    /// The action in the audit log.
    pub fn action(&self) -> &'static str {
        match self {
            GroupChange::Assign(_) => "incident.assign",
            GroupChange::Comment(_) => "incident.comment",
            GroupChange::Mute(_) => "incident.mute",
        }
    }

    /// The kind of its note.
    pub fn kind(&self) -> &'static str {
        match self {
            GroupChange::Assign(_) => "assigned",
            GroupChange::Comment(_) => "commented",
            GroupChange::Mute(_) => "muted",
        }
    }

    /// What it is changed to.
    pub fn value(&self) -> Option<String> {
        match self {
            GroupChange::Assign(assignee) => assignee.clone(),
            GroupChange::Comment(text) => Some(text.clone()),
            GroupChange::Mute(until) => until.map(|until| until.to_string()),
        }
    }
}

/// Changes a group, once for each identity, and notes who did it and why.
///
/// # Errors
/// As for any query.
pub async fn change(transaction: &mut Transaction, fingerprint: &str, note: &GroupNote) -> Result<Changed, Error> {
    // Locks the row: changes of one group follow each other.
    let known = Touch::bind((fingerprint,)).execute(&mut **transaction).await?;
    if known == 0 {
        return Ok(Changed::NoIncident);
    }
    let (kind, value) = (note.change.kind(), note.change.value());
    let author = (fingerprint, kind, note.by.as_str(), value, note.reason.as_deref());
    let (a, b, c, d, e) = author;
    let noted =
        Note::bind((a, b, c, d, e, note.app_id.as_str(), note.message_id.as_str())).execute(&mut **transaction).await?;
    if noted == 0 {
        return Ok(Changed::Before);
    }
    match &note.change {
        GroupChange::Assign(assignee) => {
            Assign::bind((fingerprint, assignee.as_deref())).execute(&mut **transaction).await?;
        }
        GroupChange::Mute(until) => {
            Mute::bind((fingerprint, until.map(Moment))).execute(&mut **transaction).await?;
        }
        GroupChange::Comment(_) => {}
    }
    Forget::bind((fingerprint, NOTES_MAX)).execute(&mut **transaction).await?;
    Ok(Changed::Now)
}

/// Those of these groups that are muted now.
///
/// # Errors
/// As for any query.
pub async fn muted(conn: &mut Connection, fingerprints: &[String]) -> Result<Vec<String>, Error> {
    Ok(Muted::bind((fingerprints,)).get_results(conn).await?)
}

struct Muted;

impl Sql for Muted {
    type Binds = (Array<Text>,);
    type Row = Text;
    const TEXT: &'static str = "
        SELECT fingerprint FROM leveret.incident_groups WHERE fingerprint = ANY ($1) AND muted_until > now()";
}

struct Touch;

impl Sql for Touch {
    type Binds = (Text,);
    type Row = ();
    const TEXT: &'static str = "
        INSERT INTO leveret.incident_groups (fingerprint)
        SELECT $1 WHERE EXISTS (SELECT FROM leveret.bookmarks WHERE consumed_at IS NULL AND fingerprint = $1)
        ON CONFLICT (fingerprint) DO UPDATE SET changed_at = now()";
}

struct Note;

impl Sql for Note {
    type Binds = (Text, Text, Text, Nullable<Text>, Nullable<Text>, Text, Text);
    type Row = ();
    const TEXT: &'static str = "
        INSERT INTO leveret.incident_notes (fingerprint, kind, by, value, reason, app_id, message_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (fingerprint, app_id, message_id) DO NOTHING";
}

struct Assign;

impl Sql for Assign {
    type Binds = (Text, Nullable<Text>);
    type Row = ();
    const TEXT: &'static str = "UPDATE leveret.incident_groups SET assignee = $2 WHERE fingerprint = $1";
}

struct Mute;

impl Sql for Mute {
    type Binds = (Text, Nullable<Timestamptz>);
    type Row = ();
    const TEXT: &'static str = "UPDATE leveret.incident_groups SET muted_until = $2 WHERE fingerprint = $1";
}

struct Forget;

impl Sql for Forget {
    type Binds = (Text, BigInt);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.incident_notes WHERE fingerprint = $1 AND id <= (
            SELECT id FROM leveret.incident_notes WHERE fingerprint = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)";
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Timestamptz)]
    at: Moment,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    by: String,
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
}

/// The notes of a group, newest first; at most [`NOTES_MAX`].
///
/// # Errors
/// As for any query.
pub async fn notes(conn: &mut Connection, fingerprint: &str) -> Result<Vec<IncidentNoteView>, Error> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT at, kind, by, value, reason FROM leveret.incident_notes WHERE fingerprint = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind::<Text, _>(fingerprint)
    .bind::<BigInt, _>(NOTES_MAX)
    .get_results(conn)
    .await?;
    let view = |Row { at, kind, by, value, reason }| IncidentNoteView { at: at.0, kind, by, value, reason };
    Ok(rows.into_iter().map(view).collect())
}

/// Deletes at most `limit` groups, with their notes, that were not changed since a moment and have no open incident; returns their number.
///
/// # Errors
/// As for any query.
pub async fn delete_unused_before(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<usize, Error> {
    Ok(DeleteUnused::bind_limit(limit, (Moment(before),)).execute(conn).await?)
}

struct DeleteUnused;

impl Sql for DeleteUnused {
    type Binds = (Timestamptz,);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.incident_groups WHERE fingerprint IN (
            SELECT g.fingerprint FROM leveret.incident_groups AS g
             WHERE g.changed_at < $1 AND coalesce(g.muted_until, g.changed_at) < now()
               AND NOT EXISTS (SELECT FROM leveret.bookmarks AS b
                                WHERE b.consumed_at IS NULL AND b.fingerprint = g.fingerprint)
             ORDER BY g.changed_at LIMIT {limit} FOR UPDATE OF g SKIP LOCKED)";
}
