//! The connection of every query. It begins transactions with the settings that Leveret needs, reads each answer to its end, and knows
//! whether an answer is outstanding: such a connection is closed and not lent again. It does not wait for a server that is frozen.

mod driven;
mod patience;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use diesel::connection::{TransactionDepthChange, TransactionManagerStatus};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as Driver};
use diesel_async::{
    AnsiTransactionManager, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use futures_util::{FutureExt, join};

use super::Error;
use super::session::{Kept, Prepared, Session, is_about_a_name};

pub use driven::Transactions;
pub(super) use patience::Patience;
use patience::Wait;

type Row = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;
type Rows = BoxStream<'static, QueryResult<Row>>;

/// The connection that queries and handlers use, inside or outside of a transaction, with the `RunQueryDsl` of diesel-async.
pub struct Connection {
    inner: AsyncPgConnection,
    session: Session,
    outstanding: Arc<Outstanding>,
    in_transaction: bool,
}

/// What the next borrower of the connection has to know.
#[derive(Default)]
struct Outstanding {
    /// Statements whose answer has not been read to its end.
    unanswered: AtomicUsize,
    /// Nothing more can be done on it.
    is_unusable: AtomicBool,
    /// An answer was not worth waiting for, and no other will come.
    is_given_up: AtomicBool,
    patience: Patience,
}

/// A statement that was sent. If it is dropped before the answer, its statement still runs on the server.
struct Sent(Arc<Outstanding>);

impl Sent {
    fn new(of: &Arc<Outstanding>) -> Self {
        of.unanswered.fetch_add(1, Ordering::Relaxed);
        Self(of.clone())
    }

    /// Notes that the answer was read to its end.
    fn answered<T>(&self, answer: &QueryResult<T>) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
        match answer {
            // The server has become a standby, or was made read-only: a new connection may lead to another one.
            Err(Driver::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)) => {
                self.0.is_unusable.store(true, Ordering::Relaxed);
            }
            // The client remembers a name that the server of this transaction does not know; a new connection remembers none.
            Err(error) if is_about_a_name(error) => self.0.is_unusable.store(true, Ordering::Relaxed),
            Err(Driver::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _)) => return,
            Ok(_) | Err(_) => {}
        }
        self.0.heard();
    }
}

impl Connection {
    pub(super) fn new(inner: AsyncPgConnection, session: Session, patience: Patience) -> Self {
        let outstanding = Arc::new(Outstanding { patience, ..Outstanding::default() });
        Self { inner, session, outstanding, in_transaction: false }
    }

    /// How long the settings of Leveret hold on this connection.
    pub fn settings_kept(&self) -> Kept {
        self.session.kept
    }

    /// How long statements stay prepared on this connection.
    pub fn statements_kept(&self) -> Prepared {
        self.session.prepared
    }

    /// Whether every statement was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.outstanding.unanswered.load(Ordering::Relaxed) == 0
    }

    /// Closes the connection when it is returned.
    pub(super) fn give_up(&self) {
        self.outstanding.is_unusable.store(true, Ordering::Relaxed);
    }

    /// Resolves at the next notification of a channel that this session listens to.
    pub(super) async fn notified(&mut self) -> Result<(), Error> {
        let next = std::pin::pin!(self.inner.notifications_stream()).next().await;
        match next {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Error::from(error)),
            None => Err(Error::Unavailable("the connection that listens was lost".into())),
        }
    }

    /// Forgets the notifications that have arrived.
    pub(super) fn forget_notifications(&mut self) {
        let mut arrived = std::pin::pin!(self.inner.notifications_stream());
        // The end of the connection is an item too, and shows again when somebody waits.
        while let Some(Some(Ok(_))) = arrived.next().now_or_never() {}
    }

    /// Notes a transaction that the caller begins by sending the returned text, before any other statement.
    pub(super) fn note_begin(&mut self) -> QueryResult<Arc<str>> {
        match AnsiTransactionManager::transaction_manager_status_mut(&mut self.inner) {
            TransactionManagerStatus::Valid(status) => {
                status.change_transaction_depth(TransactionDepthChange::IncreaseDepth)?;
                self.in_transaction = true;
                Ok(self.session.begin.clone())
            }
            TransactionManagerStatus::InError => Err(Driver::BrokenTransactionManager),
        }
    }

    /// Releases the first savepoint, and takes back what the code since then has changed in the session: a setting or a
    /// role would hold for the rest of the transaction, and for the next user of the connection.
    pub(super) async fn release_and_reset(&mut self) -> QueryResult<()> {
        let release = format!("RELEASE SAVEPOINT diesel_savepoint_1; {}", self.session.reset);
        self.batch_execute(&release).await?;
        match AnsiTransactionManager::transaction_manager_status_mut(&mut self.inner) {
            TransactionManagerStatus::Valid(status) => {
                status.change_transaction_depth(TransactionDepthChange::DecreaseDepth)
            }
            TransactionManagerStatus::InError => Err(Driver::BrokenTransactionManager),
        }
    }

    /// Whether each statement outside of a transaction needs one that carries the settings.
    fn sends_settings(&self) -> bool {
        self.session.kept == Kept::Transaction && !self.in_transaction
    }

    fn note_depth(&mut self) {
        self.in_transaction = match AnsiTransactionManager::transaction_manager_status_mut(&mut self.inner) {
            TransactionManagerStatus::Valid(status) => status.transaction_depth().is_some(),
            TransactionManagerStatus::InError => true,
        };
    }

    fn run_load<'a, 'q, T>(&'a self, source: T) -> BoxFuture<'a, QueryResult<Rows>>
    where
        T: AsQuery + 'q,
        T::Query: QueryFragment<Pg> + QueryId + 'q,
    {
        let mut inner = &self.inner;
        let loading = AsyncConnectionCore::load(&mut inner, source);
        if self.sends_settings() {
            let collecting = async move { loading.await?.try_collect::<Vec<Row>>().await };
            let rows = self.in_own_transaction(collecting);
            return async move { Ok(stream::iter(rows.await?.into_iter().map(Ok)).boxed()) }.boxed();
        }
        async move {
            let sent = Sent::new(&self.outstanding);
            match self.outstanding.answer(Wait::Statement, loading).await {
                Ok(rows) => Ok(Answer { rows, sent: Some(sent), ahead: None, giving_up: None }.boxed()),
                Err(error) => {
                    let failed = Err(error);
                    sent.answered(&failed);
                    failed
                }
            }
        }
        .boxed()
    }

    fn run_execute<'a, 'q, T>(&'a self, source: T) -> BoxFuture<'a, QueryResult<usize>>
    where
        T: QueryFragment<Pg> + QueryId + 'q,
    {
        let mut inner = &self.inner;
        let executing = AsyncConnectionCore::execute_returning_count(&mut inner, source);
        if self.sends_settings() {
            return self.in_own_transaction(executing).boxed();
        }
        async move {
            let sent = Sent::new(&self.outstanding);
            let executed = self.outstanding.answer(Wait::Statement, executing).await;
            sent.answered(&executed);
            executed
        }
        .boxed()
    }

    /// A statement in a transaction of its own that carries the settings. It is sent together with `BEGIN`.
    async fn in_own_transaction<T>(&self, statement: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
        let sent = Sent::new(&self.outstanding);
        let (mut first, mut last) = (&self.inner, &self.inner);
        let both = async { join!(first.batch_execute(&self.session.begin), statement) };
        let done = self.outstanding.answer(Wait::Statement, both.map(|(begun, done)| begun.and(done))).await;
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.outstanding.answer(Wait::Commit, last.batch_execute(end)).await;
        if ended.is_err() {
            self.outstanding.is_unusable.store(true, Ordering::Relaxed);
        }
        let done = done.and_then(|value| ended.map(|()| value));
        sent.answered(&done);
        done
    }

    async fn run_batch(&self, query: &str) -> QueryResult<()> {
        let sent = Sent::new(&self.outstanding);
        let mut inner = &self.inner;
        let done = self.outstanding.answer(Wait::Batch, inner.batch_execute(query)).await;
        sent.answered(&done);
        done
    }
}

/// The rows of an answer. A row is passed on when the next message has arrived: a single statement is committed after its
/// last row was sent, and an error of the commit is the outcome of the statement.
struct Answer {
    rows: Rows,
    sent: Option<Sent>,
    ahead: Option<Row>,
    /// Resolves when the next message is not worth waiting for.
    giving_up: Option<BoxFuture<'static, Driver>>,
}

impl Answer {
    fn poll_row(&mut self, sent: &Arc<Outstanding>, context: &mut Context<'_>) -> Poll<Option<QueryResult<Row>>> {
        if let Poll::Ready(next) = self.rows.poll_next_unpin(context) {
            self.giving_up = None;
            return Poll::Ready(next);
        }
        let giving_up = self.giving_up.get_or_insert_with(|| {
            let sent = sent.clone();
            async move { sent.given_up(Wait::Statement).await }.boxed()
        });
        let error = ready!(giving_up.poll_unpin(context));
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Answer {
    type Item = QueryResult<Row>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while let Some(outstanding) = this.sent.as_ref().map(|sent| sent.0.clone()) {
            let ended = match ready!(this.poll_row(&outstanding, context)) {
                Some(Ok(row)) => match this.ahead.replace(row) {
                    Some(before) => return Poll::Ready(Some(Ok(before))),
                    None => continue,
                },
                Some(Err(error)) => Err(error),
                None => Ok(()),
            };
            if let Some(sent) = this.sent.take() {
                sent.answered(&ended);
            }
            if let Err(error) = ended {
                this.ahead = None;
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(this.ahead.take().map(Ok))
    }
}
