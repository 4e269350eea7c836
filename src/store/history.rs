//! History rows: numbered and chained by hash inside of each instance.

mod traffic;
mod verify;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::json::{Json, Legible};
use super::moment::Moment;
use super::schema::leveret::{history, instances};
use super::sql::Part;
use super::{Connection, Error};
use crate::contract::json;
use crate::engine::{Entry, InstanceId};

pub use traffic::{Traffic, traffic};
pub use verify::{Broken, Head, Sealed, Verified, find_head, find_sealed, heads, verify, verify_between};

/// One event in the life of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// Counted from 1 for each instance.
    pub number: i64,
    /// When it happened, by the database's clock.
    pub at: Timestamp,
    /// What happened: the name of an [`crate::engine::EntryKind`].
    pub kind: String,
    /// The activity it happened at.
    pub activity: Option<String>,
    /// The branch it happened to.
    pub branch: Option<i32>,
    /// Details; none after erasure.
    pub details: Option<Value>,
    /// Random bytes, so that details cannot be guessed from the digest; none after erasure.
    pub salt: Option<Vec<u8>>,
    /// SHA-256 of salt and details.
    pub digest: Vec<u8>,
    /// The hash of the row before; zeros for the first row.
    pub previous_hash: Vec<u8>,
}

impl HistoryRow {
    /// The row after number `number`, whose hash is `previous`.
    pub(super) fn after(
        instance: InstanceId,
        number: i64,
        previous: [u8; 32],
        entry: &Entry,
        at: Timestamp,
    ) -> Result<HistoryRow, Error> {
        let salt = Uuid::new_v4().into_bytes().to_vec();
        let digest = digest(&salt, &entry.details)
            .map_err(|error| Error::Bug(format!("history of {instance} cannot be hashed: {error}")))?;
        Ok(HistoryRow {
            number: number + 1,
            at,
            kind: entry.kind.name().to_owned(),
            activity: entry.activity.clone(),
            branch: entry.branch.map(|branch| branch.0),
            details: Some(entry.details.clone()),
            salt: Some(salt),
            digest: digest.to_vec(),
            previous_hash: previous.to_vec(),
        })
    }

    /// SHA-256 of the canonical JSON of the row, with the digest in place of the details.
    pub(super) fn hash(&self, instance: InstanceId) -> Result<[u8; 32], Error> {
        let whole = json!({
            "instance": instance,
            "number": self.number,
            "at": self.at.as_microsecond(),
            "kind": self.kind,
            "activity": self.activity,
            "branch": self.branch,
            "details": hex::encode(&self.digest),
            "previous": hex::encode(&self.previous_hash),
        });
        let mut bytes = Vec::new();
        json::write_canonical(&whole, &mut bytes).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(Sha256::digest(bytes).into())
    }
}

fn digest(salt: &[u8], details: &Value) -> serde_json::Result<[u8; 32]> {
    let mut bytes = salt.to_vec();
    json::write_canonical(details, &mut bytes)?;
    Ok(Sha256::digest(bytes).into())
}

/// Reads the history of an instance, oldest first: at most `limit` rows with numbers above `after`.
pub async fn list(
    conn: &mut Connection,
    instance: InstanceId,
    after: i64,
    limit: i64,
) -> Result<Vec<HistoryRow>, Error> {
    let rows: Vec<Columns> = history::table
        .filter(history::instance_id.eq(instance.0).and(history::number.gt(after)))
        .order(history::number)
        .limit(limit)
        .select((
            history::number,
            history::at,
            history::kind,
            history::activity,
            history::branch,
            history::details,
            history::salt,
            history::digest,
            history::previous_hash,
        ))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(HistoryRow::from).collect())
}

/// Reads the newest rows of the history of an instance, the newest first.
pub async fn newest(conn: &mut Connection, instance: InstanceId, limit: i64) -> Result<Vec<HistoryRow>, Error> {
    let count: Option<i64> =
        instances::table.find(instance.0).select(instances::history_count).first(conn).await.optional()?;
    let mut rows = list(conn, instance, count.unwrap_or(0).saturating_sub(limit), limit).await?;
    rows.reverse();
    Ok(rows)
}

/// The columns of a row, in the order of its fields.
type Columns = (i64, Moment, String, Option<String>, Option<i32>, Option<Legible>, Option<Vec<u8>>, Vec<u8>, Vec<u8>);

impl From<Columns> for HistoryRow {
    fn from(columns: Columns) -> Self {
        let (number, at, kind, activity, branch, details, salt, digest, previous_hash) = columns;
        HistoryRow {
            number,
            at: at.0,
            kind,
            activity,
            branch,
            // Details that cannot be read must not hide the rows after them; verification reports them.
            details: details.and_then(|details| details.0),
            salt,
            digest,
            previous_hash,
        }
    }
}

/// Creates the partitions of the month of `now` and of the two months after it; returns how many were missing.
pub async fn ensure_partitions(conn: &mut Connection, now: Timestamp) -> Result<usize, Error> {
    diesel::define_sql_function! {
        #[sql_name = "leveret.ensure_history_partitions"]
        fn ensure_history_partitions(moment: Timestamptz) -> Integer;
    }
    let made: i32 = diesel::select(ensure_history_partitions(Moment(now))).get_result(conn).await?;
    Ok(usize::try_from(made).unwrap_or(0))
}

/// Part of the statement of a commit: all rows, for the instance in `moved`.
const INSERT: &str = "
INSERT INTO leveret.history (instance_id, number, at, kind, activity, branch, details, salt, digest, previous_hash)
SELECT moved.id, row.*
  FROM moved, unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS row";

/// History rows as arrays, so that one prepared statement writes any number of them.
pub(super) struct HistoryColumns<'a> {
    numbers: Vec<i64>,
    at: Vec<Moment>,
    kinds: Vec<&'a str>,
    activities: Vec<Option<&'a str>>,
    branches: Vec<Option<i32>>,
    details: Vec<Option<Json<'a, Value>>>,
    salts: Vec<Option<&'a [u8]>>,
    digests: Vec<&'a [u8]>,
    previous: Vec<&'a [u8]>,
}

impl<'a> HistoryColumns<'a> {
    pub(super) fn new(rows: &'a [HistoryRow]) -> Self {
        HistoryColumns {
            numbers: rows.iter().map(|row| row.number).collect(),
            at: rows.iter().map(|row| Moment(row.at)).collect(),
            kinds: rows.iter().map(|row| row.kind.as_str()).collect(),
            activities: rows.iter().map(|row| row.activity.as_deref()).collect(),
            branches: rows.iter().map(|row| row.branch).collect(),
            details: rows.iter().map(|row| row.details.as_ref().map(Json)).collect(),
            salts: rows.iter().map(|row| row.salt.as_deref()).collect(),
            digests: rows.iter().map(|row| row.digest.as_slice()).collect(),
            previous: rows.iter().map(|row| row.previous_hash.as_slice()).collect(),
        }
    }

    pub(super) fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut part = Part::new(INSERT, out);
        part.bind::<Array<BigInt>, _>(&self.numbers)?;
        part.bind::<Array<Timestamptz>, _>(&self.at)?;
        part.bind::<Array<Text>, _>(&self.kinds)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.activities)?;
        part.bind::<Array<Nullable<Integer>>, _>(&self.branches)?;
        part.bind::<Array<Nullable<Jsonb>>, _>(&self.details)?;
        part.bind::<Array<Nullable<Binary>>, _>(&self.salts)?;
        part.bind::<Array<Binary>, _>(&self.digests)?;
        part.bind::<Array<Binary>, _>(&self.previous)?;
        part.end()
    }
}

#[cfg(test)]
mod tests {
    use super::verify::check;
    use super::*;
    use crate::engine::EntryKind;

    fn chain(details: Vec<Value>) -> (Vec<HistoryRow>, [u8; 32]) {
        let id = InstanceId(Uuid::nil());
        let (mut number, mut hash) = (0, [0; 32]);
        let rows = details
            .into_iter()
            .map(|details| {
                let entry = Entry { kind: EntryKind::ActivityCompleted, activity: None, branch: None, details };
                let row = HistoryRow::after(id, number, hash, &entry, Timestamp::UNIX_EPOCH).unwrap();
                (number, hash) = (row.number, row.hash(id).unwrap());
                row
            })
            .collect();
        (rows, hash)
    }

    #[test]
    fn each_row_carries_the_hash_of_the_one_before() {
        let (rows, newest) = chain(vec![json!(1), json!(2)]);
        let first = rows[0].hash(InstanceId(Uuid::nil())).unwrap();
        assert_eq!(rows[1].previous_hash, first);
        assert_ne!(newest, first);
        assert!(check(&rows[1], 2, &first).is_ok());
    }

    #[test]
    fn changed_details_are_noticed() {
        let (mut rows, _) = chain(vec![json!({"amount": 1})]);
        rows[0].details = Some(json!({"amount": 2}));
        assert!(matches!(check(&rows[0], 1, &[0; 32]), Err(Broken::Details(1))));
    }

    #[test]
    fn erased_details_leave_the_chain_valid() {
        let (mut rows, newest) = chain(vec![json!({"name": "Jo"})]);
        (rows[0].details, rows[0].salt) = (None, None);
        assert!(check(&rows[0], 1, &[0; 32]).is_ok());
        assert_eq!(rows[0].hash(InstanceId(Uuid::nil())).unwrap(), newest);
    }

    #[test]
    fn a_missing_row_is_noticed() {
        let (rows, _) = chain(vec![json!(1), json!(2)]);
        assert!(matches!(check(&rows[1], 1, &[0; 32]), Err(Broken::Gap(1))));
    }

    #[test]
    fn an_integer_that_became_its_double_is_noticed() {
        for (written, changed) in
            [(json!(7), json!(7.0)), (json!(9_007_199_254_740_992_i64), json!(9_007_199_254_740_993_i64))]
        {
            let (mut rows, _) = chain(vec![json!({ "amount": written })]);
            rows[0].details = Some(json!({ "amount": changed }));
            assert!(matches!(check(&rows[0], 1, &[0; 32]), Err(Broken::Details(1))), "{changed}");
        }
    }
}
