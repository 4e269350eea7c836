//! What diesel-async asks of a connection: each statement goes through [`Connection`], each transaction begins with its settings.

use std::sync::atomic::Ordering;

use diesel::associations::HasTable;
use diesel::connection::{CacheSize, Instrumentation, TransactionManagerStatus};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::ConnectionResult;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection,
    TransactionManager, UpdateAndFetchResults,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Connection, Patience, Row, Rows, Sent, Session, Wait};
use crate::store::dial::Dialer;

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.run_batch(query).await
    }
}

impl SimpleAsyncConnection for &Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.run_batch(query).await
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = Row;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        self.run_load(source)
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        self.run_execute(source)
    }
}

// Several statements can be sent before the first answer.
impl<'a> AsyncConnectionCore for &'a Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = Row;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        self.run_load(source)
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        self.run_execute(source)
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = Transactions;

    async fn establish(url: &str) -> ConnectionResult<Self> {
        // A migration takes the time it takes: there is no limit on this side either.
        let mut inner = Dialer::default().dial(url, "BEGIN").await?.inner;
        inner.batch_execute("COMMIT").await.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
        Ok(Self::new(inner, Session::unmanaged(), Patience::default()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

/// Begins transactions under read committed, whatever the default of the database or role: the locks of Leveret are taken first and
/// what they guard is read afterwards, which needs a new snapshot for each statement.
pub struct Transactions;

impl TransactionManager<Connection> for Transactions {
    type TransactionStateData = AnsiTransactionManager;

    async fn begin_transaction(conn: &mut Connection) -> QueryResult<()> {
        if conn.in_transaction {
            let begun = AnsiTransactionManager::begin_transaction(&mut conn.inner);
            return conn.outstanding.answer(Wait::Statement, begun).await;
        }
        let begin = conn.session.begin.clone();
        let begun = AnsiTransactionManager::begin_transaction_sql(&mut conn.inner, &begin);
        let begun = conn.outstanding.answer(Wait::Statement, begun).await;
        if begun.is_err() {
            // A part of the text may have been executed.
            conn.outstanding.is_unusable.store(true, Ordering::Relaxed);
        }
        conn.note_depth();
        begun
    }

    async fn rollback_transaction(conn: &mut Connection) -> QueryResult<()> {
        let ended = AnsiTransactionManager::rollback_transaction(&mut conn.inner);
        let ended = conn.outstanding.answer(Wait::Statement, ended).await;
        conn.note_depth();
        ended
    }

    async fn commit_transaction(conn: &mut Connection) -> QueryResult<()> {
        let ended = AnsiTransactionManager::commit_transaction(&mut conn.inner);
        let ended = conn.outstanding.answer(Wait::Commit, ended).await;
        conn.note_depth();
        ended
    }

    fn transaction_manager_status_mut(conn: &mut Connection) -> &mut TransactionManagerStatus {
        AnsiTransactionManager::transaction_manager_status_mut(&mut conn.inner)
    }

    fn is_broken_transaction_manager(conn: &mut Connection) -> bool {
        AnsiTransactionManager::is_broken_transaction_manager(&mut conn.inner)
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        self.outstanding.unanswered.load(Ordering::Relaxed) > 0
            || self.outstanding.is_unusable.load(Ordering::Relaxed)
            || self.outstanding.is_lost()
            || self.inner.is_broken()
    }
}

impl<Changes, Output> UpdateAndFetchResults<Changes, Output> for Connection
where
    Changes: Identifiable + HasTable + Send,
    Output: Send + 'static,
    AsyncPgConnection: UpdateAndFetchResults<Changes, Output>,
{
    fn update_and_fetch<'conn, 'changes>(&'conn mut self, changes: Changes) -> BoxFuture<'changes, QueryResult<Output>>
    where
        Changes: 'changes,
        'conn: 'changes,
        Self: 'changes,
    {
        let outstanding = self.outstanding.clone();
        let fetching = self.inner.update_and_fetch(changes);
        async move {
            let sent = Sent::new(&outstanding);
            let fetched = outstanding.answer(Wait::Statement, fetching).await;
            sent.answered(&fetched);
            fetched
        }
        .boxed()
    }
}
