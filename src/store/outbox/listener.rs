//! How the relay learns of rows that another process has written for it. A notification is only a hint: a sweep finds the row, too.

use std::time::Duration;

use diesel::sql_types::Integer;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use crate::store::session::Kept;
use crate::store::sql::Sql;
use crate::store::{Connection, Error, Lease, Store};

/// Listens on a connection of its own, until it is dropped or the connection is lost.
pub struct Listener(Lease);

impl Listener {
    /// Begins to listen. `None` behind a pooler, where notifications would reach another client.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be reached.
    pub async fn open(store: &Store) -> Result<Option<Self>, Error> {
        let mut conn = store.listening().await?;
        if conn.settings_kept() == Kept::Transaction {
            return Ok(None);
        }
        conn.batch_execute("LISTEN leveret_outbox").await?;
        Ok(Some(Self(conn)))
    }

    /// Resolves when rows were committed, at once while notifications are not forgotten.
    ///
    /// # Errors
    /// `Unavailable` if the connection was lost.
    pub async fn notified(&mut self) -> Result<(), Error> {
        self.0.notified().await
    }

    /// Forgets the notifications that have arrived, before a sweep for their rows.
    pub fn forget(&mut self) {
        self.0.forget_notifications();
    }
}

/// Promises that this relay looks for rows by itself for a time: nobody notifies it until then.
///
/// # Errors
/// As for any query.
pub async fn promise_to_look(conn: &mut Connection, time: Duration) -> Result<(), Error> {
    let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    Promise::bind((millis,)).execute(conn).await?;
    Ok(())
}

struct Promise;

impl Sql for Promise {
    type Binds = (Integer,);
    type Row = ();
    const TEXT: &'static str = "SELECT leveret.relay_looks($1)";
}
