//! What is there now of rows that were sealed outside of the database.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{PageColumns, PageTypes, row};
use crate::engine::InstanceId;
use crate::store::schema::leveret::instances;
use crate::store::sql::Sql;
use crate::store::{Connection, Error};

/// What is left of a chain that was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealed {
    /// The instance does not exist any more.
    Gone,
    /// It exists, and has no row with that number.
    Missing,
    /// Its row with that number has this hash now.
    Hash([u8; 32]),
}

/// What is there now of rows that were sealed, by their instances. At most one row of each instance is asked for.
///
/// # Errors
/// As for any query.
pub async fn find_sealed(
    conn: &mut Connection,
    ids: &[InstanceId],
    numbers: &[i64],
) -> Result<BTreeMap<InstanceId, Sealed>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    // The rows first: who is there afterwards was there when its row was read.
    let rows: Vec<PageColumns> = ReadRows::bind((ids.as_slice(), numbers)).get_results(conn).await?;
    let there: Vec<Uuid> =
        instances::table.filter(instances::id.eq_any(ids.clone())).select(instances::id).load(conn).await?;
    let there: BTreeSet<Uuid> = there.into_iter().collect();
    let missing = |id: &Uuid| if there.contains(id) { Sealed::Missing } else { Sealed::Gone };
    let mut found: BTreeMap<_, _> = ids.iter().map(|id| (InstanceId(*id), missing(id))).collect();
    for columns in rows {
        let (instance, row) = row(columns);
        if there.contains(&instance) {
            found.insert(InstanceId(instance), Sealed::Hash(row.hash(InstanceId(instance))?));
        }
    }
    Ok(found)
}

struct ReadRows;

impl Sql for ReadRows {
    type Binds = (Array<SqlUuid>, Array<BigInt>);
    type Row = PageTypes;
    const TEXT: &'static str = "
        SELECT h.instance_id, h.number, h.at, h.kind, h.activity, h.branch, h.details, h.salt, h.digest, h.previous_hash
          FROM unnest($1, $2) AS s (id, number)
          JOIN leveret.history AS h ON h.instance_id = s.id AND h.number = s.number";
}
