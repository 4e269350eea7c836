//! Limits of starts: how many may begin per time, and how many instances live. One row for each limited definition or sender, which is
//! read and written only where there is a limit.

use std::time::Duration;

use diesel::sql_types::{BigInt, Bool, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::moment::Moment;
use super::sql::Sql;
use super::{Connection, Error};
use crate::limits::rate::Rate;

/// A row that nothing has asked for this long is deleted; a later start begins with a full rate, as it would have by then.
pub const UNUSED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// The answer to a start that asks for its place in the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It may begin.
    Now,
    /// It has a place, at which it may begin without asking again.
    At(Timestamp),
    /// It has none: the next would be free at this time.
    Full(Timestamp),
}

/// Takes the next place in a rate, if it is free within `wait_max`. Places are numbered by their time: the row says when the next one is
/// free, so a start that waits has its place, and those that come later are behind it.
pub async fn take(conn: &mut Connection, scope: &str, rate: &Rate, wait_max: Duration) -> Result<Place, Error> {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let pace = micros(rate.pace()).max(1);
    // The places of one second may be taken at once: those but the first are ahead of their time.
    let ahead = pace.saturating_mul(rate.at_once_max().floor() as i64 - 1);
    let wait = micros(wait_max).min(WAIT_LIMIT_MICROS);
    let (is_taken, at, now): (bool, Moment, Moment) =
        Take::bind((scope, pace, ahead, ahead.saturating_add(wait))).get_result(conn).await?;
    Ok(match (is_taken, at.0 <= now.0) {
        (true, true) => Place::Now,
        (true, false) => Place::At(at.0),
        (false, _) => Place::Full(at.0),
    })
}

/// The longest wait, so that no sum overflows.
const WAIT_LIMIT_MICROS: i64 = 365 * 24 * 3_600 * 1_000_000;

struct Take;

impl Sql for Take {
    type Binds = (Text, BigInt, BigInt, BigInt);
    type Row = (Bool, Timestamptz, Timestamptz);
    const TEXT: &'static str = "
        WITH clock AS (SELECT now() AS now),
             taken AS (
                INSERT INTO leveret.start_limits AS known (scope, next_at)
                SELECT $1, now + $2 * interval '1 microsecond' FROM clock
                ON CONFLICT (scope) DO UPDATE
                   SET next_at = greatest(known.next_at, now()) + $2 * interval '1 microsecond'
                 WHERE known.next_at <= now() + $4 * interval '1 microsecond'
                RETURNING next_at - $2 * interval '1 microsecond' AS at)
        SELECT true, at - $3 * interval '1 microsecond', now FROM taken, clock
        UNION ALL
        SELECT false, next_at - $3 * interval '1 microsecond', now FROM leveret.start_limits, clock
         WHERE scope = $1 AND NOT EXISTS (SELECT FROM taken)";
}

/// Live instances of a definition that limits them, at most `max`.
pub async fn live_of_definition(conn: &mut Connection, definition: &str, max: u64) -> Result<u64, Error> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let live: i64 = LiveOfDefinition::bind((definition, max)).get_result(conn).await?;
    Ok(live.unsigned_abs())
}

struct LiveOfDefinition;

impl Sql for LiveOfDefinition {
    type Binds = (Text, BigInt);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT count(*) FROM (SELECT FROM leveret.instances
                               WHERE definition = $1 AND counted AND ended_at IS NULL LIMIT $2) AS live";
}

/// Live instances that a sender has started while a limit for senders was set, at most `max`.
pub async fn live_of_sender(conn: &mut Connection, sender: &str, max: u64) -> Result<u64, Error> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let live: i64 = LiveOfSender::bind((sender, max)).get_result(conn).await?;
    Ok(live.unsigned_abs())
}

struct LiveOfSender;

impl Sql for LiveOfSender {
    type Binds = (Text, BigInt);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT count(*) FROM (SELECT FROM leveret.instances
                               WHERE counted_sender = $1 AND ended_at IS NULL LIMIT $2) AS live";
}

/// Deletes at most `limit` rows whose next place was free before this time.
pub async fn delete_unused_before(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<usize, Error> {
    Ok(DeleteUnused::bind((Moment(before), limit)).execute(conn).await?)
}

struct DeleteUnused;

impl Sql for DeleteUnused {
    type Binds = (Timestamptz, BigInt);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.start_limits
         WHERE scope IN (SELECT scope FROM leveret.start_limits WHERE next_at < $1 LIMIT $2)";
}
