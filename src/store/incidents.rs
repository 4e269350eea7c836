//! Groups of open incidents: those of one fingerprint, with what people have noted about them.

mod notes;

use std::fmt;
use std::str::FromStr;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::json::Document;
use super::moment::Moment;
use super::{Connection, Error};
use crate::contract::api::{IncidentGroupView, IncidentSample, Page};
use crate::fault::is_fingerprint;

pub use notes::{Changed, GroupChange, GroupNote, NOTES_MAX, change, delete_unused_before, muted, notes};

/// Groups that are looked at for a page: more causes at a time are no list for a person.
const GROUPS_MAX: i64 = 10_000;
/// The newest incidents of a group whose versions are listed.
const VERSIONS_OF_MAX: i64 = 100;

/// Which groups.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this definition.
    pub definition: Option<String>,
    /// Only groups after the one with this place.
    pub before: Option<Place>,
    /// The most rows.
    pub limit: i64,
}

/// The place of a group in the list: where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    at: Timestamp,
    fingerprint: String,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.at.as_microsecond(), self.fingerprint)
    }
}

impl FromStr for Place {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (at, fingerprint) = text.split_once('.')?;
            let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
            is_fingerprint(fingerprint).then(|| Self { at, fingerprint: fingerprint.to_owned() })
        };
        read().ok_or("invalid cursor: use the `next` of the previous page")
    }
}

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = Text)]
    fingerprint: String,
    #[diesel(sql_type = SqlUuid)]
    instance_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Text>)]
    activity: Option<String>,
    #[diesel(sql_type = Jsonb)]
    details: Document,
    #[diesel(sql_type = Timestamptz)]
    last_at: Moment,
    #[diesel(sql_type = Text)]
    definition: String,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    first_at: Option<Moment>,
    #[diesel(sql_type = Nullable<Array<Integer>>)]
    versions: Option<Vec<i32>>,
    #[diesel(sql_type = Nullable<Text>)]
    assignee: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_until: Option<Moment>,
    #[diesel(sql_type = Bool)]
    muted: bool,
}

/// A page of groups of open incidents, the one with the newest incident first.
///
/// # Errors
/// As for any query.
pub async fn groups(conn: &mut Connection, filter: &Filter) -> Result<Page<IncidentGroupView>, Error> {
    let rows = load(conn, filter, None).await?;
    let place = |row: &Group| Place { at: row.last_at.0, fingerprint: row.fingerprint.clone() };
    Ok(Page::of(rows, filter.limit, |last| place(last).to_string(), view))
}

/// One group; none if no open incident has the fingerprint.
///
/// # Errors
/// As for any query.
pub async fn find_group(conn: &mut Connection, fingerprint: &str) -> Result<Option<IncidentGroupView>, Error> {
    let rows = load(conn, &Filter { limit: 1, ..Filter::default() }, Some(fingerprint)).await?;
    Ok(rows.into_iter().next().map(view))
}

async fn load(conn: &mut Connection, filter: &Filter, fingerprint: Option<&str>) -> Result<Vec<Group>, Error> {
    let text = include_str!("incidents/page.sql")
        .replace("{groups_max}", &GROUPS_MAX.to_string())
        .replace("{versions_max}", &VERSIONS_OF_MAX.to_string())
        .replace("{limit}", &filter.limit.to_string());
    let (at, after) = filter.before.as_ref().map(|place| (Moment(place.at), place.fingerprint.as_str())).unzip();
    Ok(diesel::sql_query(text)
        .bind::<Nullable<Timestamptz>, _>(at)
        .bind::<Nullable<Text>, _>(after)
        .bind::<Nullable<Text>, _>(filter.definition.as_deref())
        .bind::<Nullable<Text>, _>(fingerprint)
        .get_results(conn)
        .await?)
}

fn view(row: Group) -> IncidentGroupView {
    let text = |name: &str| row.details.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    IncidentGroupView {
        code: text("code"),
        message: text("message"),
        fingerprint: row.fingerprint,
        definition: row.definition,
        activity: row.activity,
        count: row.count,
        first_at: row.first_at.map_or(row.last_at.0, |at| at.0),
        last_at: row.last_at.0,
        versions: row.versions.unwrap_or_default(),
        sample: IncidentSample { instance: row.instance_id, bookmark: row.number, key: row.key },
        assignee: row.assignee,
        muted: row.muted,
        muted_until: row.muted_until.map(|until| until.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_an_invalid_one_is_refused() {
        let place = Place { at: Timestamp::from_microsecond(17).unwrap(), fingerprint: "0123456789abcdef".into() };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "17", "17.", "17.0123456789abcdeX", "x.0123456789abcdef", "17.0123456789abcdef0"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
