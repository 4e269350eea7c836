//! Conversion between jiff timestamps and `timestamptz`: both count microseconds.

use std::time::Duration;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{BigInt, Timestamptz};
use jiff::Timestamp;

use crate::time::moment::LAST;

/// A timestamp as the database stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Timestamptz)]
pub(super) struct Moment(pub(super) Timestamp);

/// A duration as statements take it: in whole milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// PostgreSQL counts from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl ToSql<Timestamptz, Pg> for Moment {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let micros = self.0.as_microsecond() - EPOCH_MICROS;
        ToSql::<BigInt, Pg>::to_sql(&micros, &mut out.reborrow())
    }
}

impl FromSql<Timestamptz, Pg> for Moment {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Pg>>::from_sql(value)?;
        let micros = micros.saturating_add(EPOCH_MICROS);
        // A row must be legible although it was written by hand, as `infinity`.
        let beyond = if micros > 0 { LAST } else { Timestamp::MIN };
        Ok(Moment(Timestamp::from_microsecond(micros).unwrap_or(beyond)))
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

/// The database's time.
pub(super) async fn now(conn: &mut super::Connection) -> Result<Timestamp, super::Error> {
    use diesel_async::RunQueryDsl;
    let now: Moment = diesel::select(super::schema::functions::clock_timestamp()).get_result(conn).await?;
    Ok(now.0)
}

/// The timestamp without the fraction that the database would drop.
pub(super) fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_microsecond_is_dropped() {
        let at: Timestamp = "2026-11-24T10:00:00.123456789Z".parse().unwrap();
        assert_eq!(whole_micros(at).to_string(), "2026-11-24T10:00:00.123456Z");
    }
}
