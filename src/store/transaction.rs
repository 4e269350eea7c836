//! One transaction, opened and ended by name; one that is forgotten closes its connection, so that no lock outlives its owner.

use std::ops::{Deref, DerefMut};

use diesel::connection::{TransactionDepthChange, TransactionManagerStatus};
use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};
use futures_util::join;

use super::error::at_commit;
use super::instances::{self, Loaded};
use super::{Connection, Error, Lease};
use crate::engine::InstanceId;

/// An open transaction on a connection of its own.
// Dropped without `commit` or `rollback`, the lease's guard finds the transaction open and closes the socket:
// PostgreSQL then rolls back at once, instead of when somebody next takes the connection from the pool.
pub struct Transaction {
    lease: Lease,
}

impl Transaction {
    /// Opens a transaction.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached.
    pub async fn begin(mut lease: Lease) -> Result<Self, Error> {
        AnsiTransactionManager::begin_transaction(&mut *lease).await?;
        Ok(Self { lease })
    }

    /// Opens a transaction and locks an instance in it, both sent at once.
    ///
    /// # Errors
    /// As for any query; the connection is closed then.
    pub async fn begin_locked(mut lease: Lease, id: InstanceId) -> Result<(Self, Option<Loaded>), Error> {
        // Noted before it is sent: whoever drops the lease in between closes it, as with any open transaction.
        match AnsiTransactionManager::transaction_manager_status_mut(&mut *lease) {
            TransactionManagerStatus::Valid(status) => {
                status.change_transaction_depth(TransactionDepthChange::IncreaseDepth)?;
            }
            TransactionManagerStatus::InError => {
                return Err(Error::Unavailable("the connection has a transaction that cannot be ended".into()));
            }
        }
        let transaction = Self { lease };
        let shared: &Connection = &transaction.lease;
        let (mut first, mut second) = (shared, shared);
        let (begun, loaded) = join!(first.batch_execute("BEGIN"), instances::lock(&mut second, id));
        begun?;
        Ok((transaction, loaded?))
    }

    /// Makes everything done so far happen. An answer that does not come leaves the outcome unknown: only the database can tell.
    ///
    /// # Errors
    /// `Unavailable` if the answer did not come; `Rejected` if the database refused.
    pub async fn commit(mut self) -> Result<(), Error> {
        AnsiTransactionManager::commit_transaction(&mut *self.lease).await.map_err(at_commit)
    }

    /// Undoes everything. Failing to say so closes the connection, which undoes it too.
    pub async fn rollback(mut self) {
        if let Err(error) = AnsiTransactionManager::rollback_transaction(&mut *self.lease).await {
            tracing::debug!(%error, "rolling back failed; the connection is closed");
        }
    }

    /// Sets a savepoint.
    pub async fn savepoint(&mut self) -> Result<(), Error> {
        AnsiTransactionManager::begin_transaction(&mut *self.lease).await?;
        Ok(())
    }

    /// Keeps what was done since the savepoint.
    ///
    /// # Errors
    /// As for any statement; notably if a failed statement was swallowed in between.
    pub async fn release(&mut self) -> Result<(), Error> {
        AnsiTransactionManager::commit_transaction(&mut *self.lease).await?;
        Ok(())
    }

    /// Undoes what was done since the savepoint.
    pub async fn undo_to_savepoint(&mut self) -> Result<(), Error> {
        AnsiTransactionManager::rollback_transaction(&mut *self.lease).await?;
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
