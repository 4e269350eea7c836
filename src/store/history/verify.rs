//! Verifies chains: every row is hashed again, page by page, so that a history of any length needs little memory.

mod sealed;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::{HistoryRow, digest};
use crate::engine::InstanceId;
use crate::store::json::Legible;
use crate::store::moment::Moment;
use crate::store::schema::leveret::instances;
use crate::store::sql::Sql;
use crate::store::{Connection, Error};

pub use sealed::{Sealed, find_sealed};

/// Rows that a verification holds at once: the details of one may have a MiB.
const PAGE_MAX: i64 = 200;

/// Why a history is not as it was written.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It could not be read.
    #[error(transparent)]
    Unread(#[from] Error),
    /// A row is missing, or there is one too many.
    #[error("history row {0} is missing")]
    Gap(i64),
    /// The details were changed.
    #[error("the details of history row {0} were changed")]
    Details(i64),
    /// The row was changed: the next row has another hash for it.
    #[error("history row {0} was changed")]
    Chain(i64),
    /// The row comes after the newest one that the instance knows.
    #[error("history row {0} was added: the instance has no such row")]
    Extra(i64),
    /// There is no such instance.
    #[error("history row {0} is of an instance that does not exist")]
    Unowned(i64),
}

impl Broken {
    /// The number of the first row that does not fit; none if it could not be read.
    pub fn row(&self) -> Option<i64> {
        match self {
            Broken::Unread(_) => None,
            Broken::Gap(row)
            | Broken::Details(row)
            | Broken::Chain(row)
            | Broken::Extra(row)
            | Broken::Unowned(row) => Some(*row),
        }
    }
}

/// The end of a chain, as its instance knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The instance.
    pub instance: InstanceId,
    /// Its definition.
    pub definition: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The number of the newest row.
    pub number: i64,
    /// The hash of that row.
    pub hash: Vec<u8>,
}

type HeadColumns = (Uuid, String, Option<Moment>, i64, Vec<u8>);

fn head((instance, definition, ended_at, number, hash): HeadColumns) -> Head {
    Head { instance: InstanceId(instance), definition, ended_at: ended_at.map(Timestamp::from), number, hash }
}

/// The heads of at most `limit` instances with ids above `after`, in the order of their ids.
///
/// # Errors
/// As for any query.
pub async fn heads(conn: &mut Connection, after: Uuid, limit: i64) -> Result<Vec<Head>, Error> {
    let rows: Vec<HeadColumns> = instances::table
        .filter(instances::id.gt(after))
        .order(instances::id)
        .limit(limit)
        .select((
            instances::id,
            instances::definition,
            instances::ended_at,
            instances::history_count,
            instances::history_hash,
        ))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(head).collect())
}

/// The head of one instance.
///
/// # Errors
/// As for any query.
pub async fn find_head(conn: &mut Connection, id: InstanceId) -> Result<Option<Head>, Error> {
    let columns: Option<HeadColumns> = instances::table
        .find(id.0)
        .select((
            instances::id,
            instances::definition,
            instances::ended_at,
            instances::history_count,
            instances::history_hash,
        ))
        .first(conn)
        .await
        .optional()?;
    Ok(columns.map(head))
}

/// What a verification has found.
#[derive(Debug, Default)]
pub struct Verified {
    /// The number of rows that were hashed again.
    pub rows: u64,
    /// Of each chain that is not as it was written, the first row that does not fit.
    pub broken: Vec<(InstanceId, Broken)>,
}

/// Computes the chain of hashes of one instance again from the stored rows.
///
/// # Errors
/// The first row that is not as it was written.
pub async fn verify(conn: &mut Connection, instance: InstanceId) -> Result<(), Broken> {
    let head = find_head(conn, instance).await?.ok_or_else(|| Error::NotFound(format!("instance {instance}")))?;
    let before = Uuid::from_u128(instance.0.as_u128().saturating_sub(1));
    let verified = verify_between(conn, &[head], before, instance.0).await?;
    verified.broken.into_iter().next().map_or(Ok(()), |(_, broken)| Err(broken))
}

/// Computes the chains of all instances with ids above `after` up to `upto` again. `heads` are their heads, in the order of their
/// ids. What is committed meanwhile is left out; an instance that is deleted meanwhile is not reported.
///
/// # Errors
/// As for any query.
pub async fn verify_between(conn: &mut Connection, heads: &[Head], after: Uuid, upto: Uuid) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let mut walk = Walk::new(heads);
    let mut place = (after, i64::MAX);
    loop {
        let page = ReadPage::bind_limit(PAGE_MAX, (place.0, place.1, upto));
        let page: Vec<PageColumns> = page.get_results(conn).await?;
        let full = page.len() as i64 == PAGE_MAX;
        for columns in page {
            let (instance, row) = row(columns);
            place = (instance, row.number);
            verified.rows += u64::from(walk.take(InstanceId(instance), row)?);
        }
        if !full {
            break;
        }
    }
    let mut broken = walk.end();
    let beyond: Vec<(Uuid, bool, i64)> = Beyond::bind_limit(PAGE_MAX, (after, upto)).get_results(conn).await?;
    for (instance, is_owned, number) in beyond {
        let what = if is_owned { Broken::Extra(number) } else { Broken::Unowned(number) };
        broken.entry(InstanceId(instance)).or_insert(what);
    }
    for (instance, why) in broken {
        // Deleted since its head was read.
        let is_there = matches!(why, Broken::Unowned(_)) || find_head(conn, instance).await?.is_some();
        if is_there {
            verified.broken.push((instance, why));
        }
    }
    Ok(verified)
}

/// Follows the chains of several instances, row by row.
struct Walk<'a> {
    heads: &'a [Head],
    number: i64,
    hash: [u8; 32],
    is_broken: bool,
    broken: BTreeMap<InstanceId, Broken>,
}

impl<'a> Walk<'a> {
    fn new(heads: &'a [Head]) -> Self {
        Walk { heads, number: 0, hash: [0; 32], is_broken: false, broken: BTreeMap::new() }
    }

    /// Takes the next row in the order of instances and numbers; false if it is of no chain that is followed, or newer than its head.
    fn take(&mut self, instance: InstanceId, row: HistoryRow) -> Result<bool, Error> {
        while let Some((head, _)) = self.heads.split_first() {
            match head.instance.0.cmp(&instance.0) {
                Ordering::Less => self.close(),
                Ordering::Greater => return Ok(false),
                Ordering::Equal if row.number > head.number => return Ok(false),
                Ordering::Equal => {
                    if !self.is_broken {
                        match check(&row, self.number + 1, &self.hash) {
                            Ok(()) => (self.number, self.hash) = (row.number, row.hash(instance)?),
                            Err(why) => self.report(instance, why),
                        }
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn report(&mut self, instance: InstanceId, why: Broken) {
        self.is_broken = true;
        self.broken.insert(instance, why);
    }

    /// Compares the chain with its head, and goes on to the next.
    fn close(&mut self) {
        let Some((head, rest)) = self.heads.split_first() else { return };
        if !self.is_broken && self.number < head.number {
            self.report(head.instance, Broken::Gap(self.number + 1));
        } else if !self.is_broken && head.hash != self.hash {
            self.report(head.instance, Broken::Chain(self.number));
        }
        (self.heads, self.number, self.hash, self.is_broken) = (rest, 0, [0; 32], false);
    }

    fn end(mut self) -> BTreeMap<InstanceId, Broken> {
        while !self.heads.is_empty() {
            self.close();
        }
        self.broken
    }
}

pub(super) fn check(row: &HistoryRow, number: i64, previous: &[u8; 32]) -> Result<(), Broken> {
    if row.number != number {
        return Err(Broken::Gap(number));
    }
    if row.previous_hash != previous {
        return Err(Broken::Chain(number - 1));
    }
    match (&row.salt, &row.details) {
        // Erased: only the digest is left, which is part of the hash.
        (None, None) => Ok(()),
        (Some(salt), Some(details)) => match digest(salt, details) {
            Ok(digest) if row.digest == digest => Ok(()),
            Ok(_) | Err(_) => Err(Broken::Details(number)),
        },
        (Some(_), None) | (None, Some(_)) => Err(Broken::Details(number)),
    }
}

/// A row of several instances: its instance comes first.
type PageColumns =
    (Uuid, i64, Moment, String, Option<String>, Option<i32>, Option<Legible>, Option<Vec<u8>>, Vec<u8>, Vec<u8>);
/// The same as types of SQL.
type PageTypes = (
    SqlUuid,
    BigInt,
    Timestamptz,
    Text,
    Nullable<Text>,
    Nullable<Integer>,
    Nullable<Jsonb>,
    Nullable<Binary>,
    Binary,
    Binary,
);

fn row(columns: PageColumns) -> (Uuid, HistoryRow) {
    let (instance, number, at, kind, activity, branch, details, salt, digest, previous) = columns;
    (instance, (number, at, kind, activity, branch, details, salt, digest, previous).into())
}

struct ReadPage;

impl Sql for ReadPage {
    type Binds = (SqlUuid, BigInt, SqlUuid);
    type Row = PageTypes;
    // The first condition says the same as the second, for the choice of partitions.
    const TEXT: &'static str = "
        SELECT instance_id, number, at, kind, activity, branch, details, salt, digest, previous_hash
          FROM leveret.history
         WHERE instance_id >= $1 AND (instance_id, number) > ($1, $2) AND instance_id <= $3
         ORDER BY instance_id, number LIMIT {limit}";
}

struct Beyond;

impl Sql for Beyond {
    type Binds = (SqlUuid, SqlUuid);
    type Row = (SqlUuid, Bool, BigInt);
    // One statement sees the instances and their history as of one moment, whatever is committed meanwhile.
    const TEXT: &'static str = "
        SELECT h.instance_id, bool_and(i.id IS NOT NULL), min(h.number)
          FROM leveret.history AS h LEFT JOIN leveret.instances AS i ON i.id = h.instance_id AND i.id > $1 AND i.id <= $2
         WHERE h.instance_id > $1 AND h.instance_id <= $2 AND h.number > coalesce(i.history_count, 0)
         GROUP BY h.instance_id ORDER BY h.instance_id LIMIT {limit}";
}
