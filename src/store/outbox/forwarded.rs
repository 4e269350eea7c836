//! Commands that PostgreSQL has taken for their senders, from SQL or to be executed later. Nobody would send them again if the broker lost
//! them: so they stay after the confirm, until the inbox knows them, and are published again if that takes long.

use diesel::sql_types::{Array, Bool, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::store::sql::Sql;
use crate::store::{Connection, Error};

/// Seconds from the first confirm to the next publishing; each time twice as many.
const AGAIN_AFTER: i32 = 30;
/// The most seconds between two publishings. A command that waits in a long queue comes several times; the inbox drops the others.
const AGAIN_AFTER_MAX: i32 = 3_600;
/// After this number of confirms, over half a day, it is deleted: the broker has it.
const CONFIRMS_MAX: i32 = 20;

/// Notes that the broker has confirmed these commands.
pub async fn keep_confirmed(conn: &mut Connection, ids: &[Uuid]) -> Result<(), Error> {
    KeepConfirmed::bind((ids, AGAIN_AFTER, AGAIN_AFTER_MAX, CONFIRMS_MAX)).execute(conn).await?;
    Ok(())
}

struct KeepConfirmed;

impl Sql for KeepConfirmed {
    type Binds = (Array<SqlUuid>, Integer, Integer, Integer);
    type Row = ();
    const TEXT: &'static str = "
        WITH last AS (DELETE FROM leveret.outbox WHERE id = ANY ($1) AND confirms + 1 >= $4)
        UPDATE leveret.outbox
           SET confirmed_at = now(), confirms = confirms + 1,
               claimable_at = now() + make_interval(secs => least($2 * power(2, confirms), $3))
         WHERE dead_at IS NULL AND id = ANY ($1) AND confirms + 1 < $4";
}

/// Deletes the confirmed commands that the inbox knows; true if others are left.
pub async fn delete_handled(conn: &mut Connection) -> Result<bool, Error> {
    Ok(DeleteHandled::bind(()).get_result(conn).await?)
}

struct DeleteHandled;

impl Sql for DeleteHandled {
    type Binds = ();
    type Row = Bool;
    const TEXT: &'static str = "
        WITH handled AS (
            DELETE FROM leveret.outbox AS o USING leveret.inbox AS i
             WHERE o.confirmed_at IS NOT NULL AND i.app_id = o.app_id AND i.message_id = coalesce(o.message_id, o.id::text)
            RETURNING o.id
        )
        SELECT EXISTS (SELECT FROM leveret.outbox AS o
                        WHERE o.confirmed_at IS NOT NULL AND NOT EXISTS (SELECT FROM handled WHERE handled.id = o.id))";
}
