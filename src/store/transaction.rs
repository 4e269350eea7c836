//! Transactions. One that is dropped before its end closes its connection, so that no lock outlives its owner.

use std::ops::{Deref, DerefMut};

use diesel_async::{SimpleAsyncConnection, TransactionManager};
use futures_util::join;

use super::error::at_commit;
use super::instances::{self, Loaded};
use super::{Connection, Error, Lease, Transactions};
use crate::engine::InstanceId;

/// An open transaction and its connection.
// Dropped before its end, the lease's guard finds the transaction open and closes the socket: PostgreSQL then rolls
// back at once, instead of when the connection is next taken from the pool.
pub struct Transaction {
    lease: Lease,
}

/// Why the body of a transaction wants it rolled back.
#[derive(Debug)]
pub enum Undo<T, E> {
    /// Nothing is to be written, which is a result like any other: the transaction returns this value.
    Value(T),
    /// The body failed; the transaction fails with this error.
    Error(E),
}

impl<T, E: From<Error>> From<Error> for Undo<T, E> {
    fn from(error: Error) -> Self {
        Undo::Error(error.into())
    }
}

impl<T, E: From<Error>> From<diesel::result::Error> for Undo<T, E> {
    fn from(error: diesel::result::Error) -> Self {
        Error::from(error).into()
    }
}

impl Transaction {
    /// Runs `body` in a transaction: commits after `Ok`, rolls back after `Err`.
    ///
    /// If the future is dropped before its end, or the body panics, the connection is closed, which rolls back too.
    ///
    /// # Errors
    /// The error of the body; `Unavailable` if the server cannot be reached, or did not confirm the commit; `Rejected`
    /// if it refused the commit.
    pub async fn run<T, E: From<Error>>(
        lease: Lease,
        body: impl AsyncFnOnce(&mut Self) -> Result<T, Undo<T, E>>,
    ) -> Result<T, E> {
        let mut transaction = Self::begin(lease).await?;
        let done = body(&mut transaction).await;
        transaction.end(done).await
    }

    /// The same, with the lock of an instance: see [`Self::begin_locked`]. The body gets the instance if it exists.
    ///
    /// # Errors
    /// As for [`Self::run`]; `Busy` if the lock timeout expires.
    pub async fn run_locked<T, E: From<Error>>(
        lease: Lease,
        id: InstanceId,
        body: impl AsyncFnOnce(&mut Self, Option<Loaded>) -> Result<T, Undo<T, E>>,
    ) -> Result<T, E> {
        let (mut transaction, loaded) = Self::begin_locked(lease, id).await?;
        let done = body(&mut transaction, loaded).await;
        transaction.end(done).await
    }

    /// Ends the transaction as its body asks: [`Self::run`] for a body that owns the transaction.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn end<T, E: From<Error>>(self, done: Result<T, Undo<T, E>>) -> Result<T, E> {
        match done {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(Undo::Value(value)) => {
                self.rollback().await;
                Ok(value)
            }
            Err(Undo::Error(error)) => {
                self.rollback().await;
                Err(error)
            }
        }
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached.
    pub async fn begin(mut lease: Lease) -> Result<Self, Error> {
        Transactions::begin_transaction(&mut *lease).await?;
        Ok(Self { lease })
    }

    /// Opens a transaction and locks an instance in it, in one round trip.
    ///
    /// # Errors
    /// `Busy` if the lock timeout expires. After any error the connection is closed.
    pub async fn begin_locked(mut lease: Lease, id: InstanceId) -> Result<(Self, Option<Loaded>), Error> {
        // Noted before it is sent: a lease that is dropped in between closes its connection, as with any open
        // transaction.
        let begin = lease.note_begin()?;
        let transaction = Self { lease };
        let shared: &Connection = &transaction.lease;
        let (mut first, mut second) = (shared, shared);
        let (begun, loaded) = join!(first.batch_execute(&begin), instances::lock(&mut second, id));
        begun?;
        Ok((transaction, loaded?))
    }

    /// Commits. Without an answer the outcome is unknown: only the database can tell it.
    ///
    /// # Errors
    /// `Unavailable` if there was no answer; `Rejected` if the database refused.
    pub async fn commit(mut self) -> Result<(), Error> {
        Transactions::commit_transaction(&mut *self.lease).await.map_err(at_commit)
    }

    /// Rolls back. If that fails the connection is closed, which rolls back too.
    pub async fn rollback(mut self) {
        if let Err(error) = Transactions::rollback_transaction(&mut *self.lease).await {
            tracing::debug!(%error, "rolling back failed; the connection is closed");
        }
    }

    /// Sets a savepoint.
    pub async fn savepoint(&mut self) -> Result<(), Error> {
        Transactions::begin_transaction(&mut *self.lease).await?;
        Ok(())
    }

    /// Keeps what code of others has written since the savepoint, but no setting or role that it has set: the rest of the
    /// transaction, its commit and the next user of the connection need ours.
    ///
    /// # Errors
    /// Among others, if the error of a statement since then was ignored.
    pub async fn release(&mut self) -> Result<(), Error> {
        Ok(self.lease.release_and_reset().await?)
    }

    /// The error of the connection, if `error` came because the connection was lost.
    // The server's words are no proof, because they may be in any language: a lost connection answers nothing more.
    pub async fn find_loss(&mut self, error: &Error) -> Option<Error> {
        if let Error::Unavailable(why) = error {
            return Some(Error::Unavailable(why.clone()));
        }
        self.undo_to_savepoint().await.err().filter(|error| matches!(error, Error::Unavailable(_)))
    }

    /// The error of the connection, if it was lost before code of others panicked. None if a statement of that code may still run.
    pub async fn find_loss_after_panic(&mut self) -> Option<Error> {
        if !self.lease.is_answered() {
            return None;
        }
        self.undo_to_savepoint().await.err().filter(|error| matches!(error, Error::Unavailable(_)))
    }

    /// Undoes what was done since the savepoint.
    pub async fn undo_to_savepoint(&mut self) -> Result<(), Error> {
        Transactions::rollback_transaction(&mut *self.lease).await?;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.lease
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.lease
    }
}
