//! Advisory locks: on things without a row, or whose row must stay unlocked. All are released at the end of their
//! transaction.

use diesel::sql_types::{Array, BigInt, Bool};
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};

use super::sql::Sql;
use super::{Connection, Error};
use crate::definition::AssignBy;
use crate::engine::{Assignment, BranchId, InstanceId};

/// Locks names and keys of messages until the transaction ends, always in the same order. A transaction that opens a
/// wait for a message and one that delivers a message both lock first and read afterwards, so that neither can miss the
/// other.
///
/// # Errors
/// `Busy` if the lock timeout expires.
pub async fn lock_correlation(conn: &mut Connection, pairs: &[(String, String)]) -> Result<(), Error> {
    let mut hashes: Vec<i64> = pairs.iter().map(|(name, key)| correlation_hash(name, key)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    lock_all(conn, hashes).await
}

/// Locks what the choice of an assignee depends on, until the transaction ends: the turns of one activity, or the load
/// of all users. Lock first and read afterwards, so that two transactions cannot choose from the same state.
///
/// # Errors
/// `Busy` if the lock timeout expires.
pub async fn lock_assignment(conn: &mut Connection, definition: &str, asked: &Assignment) -> Result<(), Error> {
    let number = match asked.strategy {
        // Lists of users overlap, so all of them share one lock; it is held for the duration of a commit.
        AssignBy::LeastLoaded => lock_number(&[b"load of tasks"]),
        AssignBy::RoundRobin | AssignBy::Random | AssignBy::Previous => {
            let length = definition.len().to_be_bytes();
            lock_number(&[b"turns of tasks", &length, definition.as_bytes(), asked.activity.as_bytes()])
        }
    };
    lock_all(conn, vec![number]).await
}

fn correlation_hash(name: &str, key: &str) -> i64 {
    // The length separates ("a", "bc") from ("ab", "c").
    lock_number(&[b"message", &name.len().to_be_bytes(), name.as_bytes(), key.as_bytes()])
}

/// The number of an advisory lock: the first 64 bits of a SHA-256.
pub(super) fn lock_number(parts: &[&[u8]]) -> i64 {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let hash: [u8; 32] = hasher.finalize().into();
    hash[..8].iter().fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

pub(super) async fn lock_all(conn: &mut Connection, hashes: Vec<i64>) -> Result<(), Error> {
    LockAll::bind((hashes,)).execute(conn).await?;
    Ok(())
}

struct LockAll;

impl Sql for LockAll {
    type Binds = (Array<BigInt>,);
    type Row = ();
    const TEXT: &'static str = "SELECT pg_advisory_xact_lock(number) FROM unnest($1) AS number";
}

/// Locks a branch until the transaction ends; false if it is already locked. It is held while a handler runs, instead
/// of the row of the instance, so that messages, cancels and other branches need not wait.
pub async fn lock_branch_try(conn: &mut Connection, id: InstanceId, branch: BranchId) -> Result<bool, Error> {
    let number = lock_number(&[b"branch", id.0.as_bytes(), &branch.0.to_be_bytes()]);
    Ok(LockTry::bind((number,)).get_result(conn).await?)
}

struct LockTry;

impl Sql for LockTry {
    type Binds = (BigInt,);
    type Row = Bool;
    const TEXT: &'static str = "SELECT pg_try_advisory_xact_lock($1)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_key_are_separated_in_a_lock() {
        assert_ne!(correlation_hash("a", "bc"), correlation_hash("ab", "c"));
    }
}
