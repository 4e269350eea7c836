//! Open timers and incidents in the form of the API, page by page.

use std::fmt;
use std::str::FromStr;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::json::Document;
use super::moment::Moment;
use super::page::PAGE_BYTES_MAX;
use super::{Connection, Error};
use crate::contract::api::{IncidentView, Page, TimerView};
use crate::engine::{Branch, Instance, State, TaskTimer, TimerKind, WaitOn};

/// The position of a row in a list: where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    instance: Uuid,
    number: i64,
}

impl Cursor {
    /// Before every row of an ascending list.
    const EARLIEST: Self = Self { at: Timestamp::UNIX_EPOCH, instance: Uuid::nil(), number: 0 };
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.at.as_microsecond(), self.instance, self.number)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let mut parts = text.splitn(3, '.');
            let at = Timestamp::from_microsecond(parts.next()?.parse().ok()?).ok()?;
            Some(Self { at, instance: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? })
        };
        read().ok_or("invalid cursor: use the `next` of the previous page")
    }
}

#[derive(QueryableByName)]
struct Timer {
    #[diesel(sql_type = SqlUuid)]
    instance_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Text>)]
    activity: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    branch: Option<i32>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    due_at: Option<Moment>,
    #[diesel(sql_type = Timestamptz)]
    next_check_at: Moment,
    #[diesel(sql_type = Timestamptz)]
    opened_at: Moment,
    #[diesel(sql_type = Text)]
    definition: String,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Jsonb)]
    branches: Document,
    /// Rows of the page if all of them are shown.
    #[diesel(sql_type = BigInt)]
    found: i64,
}

/// Open timers in the order in which the timers role checks them: by due time, near ones 1.5 s after it. Of all
/// instances, or of one.
pub async fn timers(
    conn: &mut Connection,
    instance: Option<Uuid>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Page<TimerView>, Error> {
    let after = after.unwrap_or(Cursor::EARLIEST);
    let one = if instance.is_some() { "AND b.instance_id = $5" } else { "AND $5::uuid IS NULL" };
    // The branches of an instance may hold results that a person has to decide about: the page ends where they would take too much.
    let rows: Vec<Timer> = diesel::sql_query(format!(
        "SELECT t.* FROM (SELECT p.*, count(*) OVER () AS found,
                sum(octet_length(p.branches::text)) OVER (ORDER BY p.next_check_at, p.instance_id, p.number)
                - octet_length(p.branches::text) AS before FROM (
         SELECT b.instance_id, b.number, b.activity, b.branch, b.due_at, b.next_check_at, b.opened_at,
                i.definition, i.key, i.status, i.branches
           FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id
          WHERE b.consumed_at IS NULL AND b.next_check_at IS NOT NULL
            AND (b.next_check_at, b.instance_id, b.number) > ($1, $2, $3) {one}
          ORDER BY b.next_check_at, b.instance_id, b.number LIMIT $4) AS p) AS t
          WHERE t.before < $6 ORDER BY t.next_check_at, t.instance_id, t.number"
    ))
    .bind::<Timestamptz, _>(Moment(after.at))
    .bind::<SqlUuid, _>(after.instance)
    .bind::<BigInt, _>(after.number)
    .bind::<BigInt, _>(limit)
    .bind::<Nullable<SqlUuid>, _>(instance)
    .bind::<BigInt, _>(PAGE_BYTES_MAX)
    .get_results(conn)
    .await?;
    let shown = i64::try_from(rows.len()).unwrap_or(limit);
    let full = if rows.iter().any(|row| row.found > shown) { shown } else { limit };
    let cursor = |row: &Timer| Cursor { at: row.next_check_at.0, instance: row.instance_id, number: row.number };
    Ok(Page::of(rows, full, |last| cursor(last).to_string(), timer))
}

fn timer(row: Timer) -> TimerView {
    // Of a state that only newer binaries can read, what is readable is shown.
    let state: State = row.branches.read().unwrap_or_default();
    TimerView {
        instance: row.instance_id,
        bookmark: row.number,
        what: what(&state, row.branch, row.number).to_owned(),
        definition: row.definition,
        key: row.key,
        status: row.status,
        activity: row.activity,
        opened_at: row.opened_at.0,
        due_at: row.due_at.map_or(row.next_check_at.0, |due_at| due_at.0),
    }
}

/// The purpose of a timer, in a word.
fn what(state: &State, branch: Option<i32>, number: i64) -> &'static str {
    if branch.is_none() {
        return "deadline";
    }
    let waits = state.branches.iter().flat_map(Branch::waits);
    match waits.into_iter().find(|wait| wait.bookmark == number).map(|wait| &wait.on) {
        Some(WaitOn::Timer(kind)) => match kind {
            TimerKind::Wait => "wait",
            TimerKind::Timeout => "timeout",
            TimerKind::Retry => "retry",
            TimerKind::Task(TaskTimer::Overdue) => "due",
            TimerKind::Task(TaskTimer::Reminder { .. }) => "reminder",
            TimerKind::Task(TaskTimer::Escalation { .. }) => "escalation",
        },
        Some(WaitOn::Message { .. } | WaitOn::Intervention { .. } | WaitOn::Task | WaitOn::Call { .. }) | None => {
            "timer"
        }
    }
}

#[derive(QueryableByName)]
struct Incident {
    #[diesel(sql_type = SqlUuid)]
    instance_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Text>)]
    activity: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    branch: Option<i32>,
    #[diesel(sql_type = Timestamptz)]
    opened_at: Moment,
    #[diesel(sql_type = Jsonb)]
    details: Document,
    #[diesel(sql_type = Text)]
    definition: String,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Nullable<Text>)]
    fingerprint: Option<String>,
}

/// Which incidents.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// Only of this definition.
    pub definition: Option<String>,
    /// Only of this group.
    pub fingerprint: Option<String>,
    /// Only after the one with this cursor.
    pub before: Option<Cursor>,
    /// The most rows.
    pub limit: i64,
}

/// Open incidents, by failure or by a person, newest first.
pub async fn incidents(conn: &mut Connection, filter: &IncidentFilter) -> Result<Page<IncidentView>, Error> {
    let before = filter.before.map(|before| (before.instance, before.number, Moment(before.at)));
    let (instance, number, at) = before.map_or((None, None, None), |(a, b, c)| (Some(a), Some(b), Some(c)));
    // Two texts, because a plan is made once for all values: that of a group reads its own index.
    let group = match filter.fingerprint {
        Some(_) => "AND b.fingerprint = $6",
        None => "AND $6::text IS NULL",
    };
    let rows: Vec<Incident> = diesel::sql_query(format!(
        "SELECT b.instance_id, b.number, b.activity, b.branch, b.opened_at, b.details, b.fingerprint,
                i.definition, i.key, i.version
           FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id
          WHERE b.consumed_at IS NULL AND b.kind = 'intervention' {group}
            AND ($1::timestamptz IS NULL OR (b.opened_at, b.instance_id, b.number) < ($1, $2, $3))
            AND ($5::text IS NULL OR i.definition = $5)
          ORDER BY b.opened_at DESC, b.instance_id DESC, b.number DESC LIMIT $4"
    ))
    .bind::<Nullable<Timestamptz>, _>(at)
    .bind::<Nullable<SqlUuid>, _>(instance)
    .bind::<Nullable<BigInt>, _>(number)
    .bind::<BigInt, _>(filter.limit)
    .bind::<Nullable<Text>, _>(filter.definition.as_deref())
    .bind::<Nullable<Text>, _>(filter.fingerprint.as_deref())
    .get_results(conn)
    .await?;
    let cursor = |row: &Incident| Cursor { at: row.opened_at.0, instance: row.instance_id, number: row.number };
    Ok(Page::of(rows, filter.limit, |last| cursor(last).to_string(), incident))
}

fn incident(row: Incident) -> IncidentView {
    let by_person = row.branch.is_none();
    let text = |name: &str| row.details.0.get(name).and_then(Value::as_str).map(str::to_owned);
    IncidentView {
        instance: row.instance_id,
        bookmark: row.number,
        kind: if by_person { "suspended" } else { "failed" }.to_owned(),
        definition: row.definition,
        key: row.key,
        activity: row.activity,
        opened_at: row.opened_at.0,
        by: text("by"),
        note: text("reason"),
        failure: (!by_person).then(|| row.details.0.clone()),
        version: Some(row.version),
        fingerprint: row.fingerprint,
    }
}

/// Who suspended the instance and why, from its bookmark.
pub(super) fn note(instance: &Instance, number: i64, details: &Value) -> Option<String> {
    let by_person = instance.state.suspension == Some(number);
    details.get("reason").filter(|_| by_person).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_an_invalid_one_is_refused() {
        let cursor = Cursor { at: Timestamp::from_microsecond(17).unwrap(), instance: Uuid::from_u128(9), number: 3 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1", "1.2.3", "a.00000000-0000-0000-0000-000000000009.3", "9223372036854775807.x.1"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
