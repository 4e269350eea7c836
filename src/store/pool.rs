//! Connections: two pools, so that steps cannot starve background work, one for the relay to listen on, and a lease that never leaves a transaction open.

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::QueueMode;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolableConnection, RecyclingMethod,
};
use futures_util::FutureExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::address::Address;
use super::commits::Prober;
use super::dial::{DIAL_MAX, Dialer};
use super::session::{Access, Opening, Pooler, Probe, Purpose};
use super::{Connection, Error};
use crate::config;
use crate::link::Protection;

/// How long to wait for a free connection before the caller gets `Busy`.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Time limit to open a connection and to verify its settings: longer than the hosts take together, so that the error names them.
const CREATE_MAX: Duration = Duration::from_secs(7);
/// Time limit to check that a pooled connection is alive.
const RECYCLE_MAX: Duration = Duration::from_secs(1);
/// What is not percent-encoded in a parameter of a connection URL.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// Seconds after which a connection whose packets nobody answers is given up.
const SILENCE_MAX: u32 = 10;

/// The pools of connections to PostgreSQL.
#[derive(Clone)]
pub struct Store {
    steps: Pool<Connection>,
    background: Pool<Connection>,
    /// The one on which the relay listens.
    listening: Pool<Connection>,
    dialer: Arc<Dialer>,
    /// One connection for the commits that look whether commits are confirmed: those that hang may hold all others.
    lookout: Pool<Connection>,
    /// Host, port and database, for messages.
    place: String,
    pub(super) prober: Arc<Prober>,
}

/// Usage of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections in use.
    pub lent: usize,
    /// Maximum number of connections.
    pub max: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
}

impl Store {
    /// Prepares both pools. It connects at the first lease, so an unavailable database is not an error here.
    ///
    /// # Errors
    /// `Bug` if the URL is invalid.
    pub fn connect(database: &config::Database, application_name: &str) -> Result<Store, Error> {
        let dialer = Arc::<Dialer>::default();
        let pooler = Arc::<Pooler>::default();
        let opening = |purpose| opening(database, application_name, purpose, &dialer, &pooler);
        let steps = pool(opening(Purpose::Steps)?, database.pool_max)?;
        let background = pool(opening(Purpose::Background)?, database.background_pool_max)?;
        let listening = pool(opening(Purpose::Background)?, 1)?;
        let lookout = pool(opening(Purpose::Background)?, 1)?;
        let place = place(&database.url);
        Ok(Store { steps, background, listening, lookout, dialer, place, prober: Arc::default() })
    }

    /// For a process that executes one command: one pool serves all of it, so that it opens one connection and not two.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub fn connect_for_one_command(database: &config::Database, application_name: &str) -> Result<Store, Error> {
        let store = Self::connect(database, application_name)?;
        Ok(Store { steps: store.background.clone(), ..store })
    }

    /// How the newest connection is protected; none if there was no connection yet.
    pub fn protection(&self) -> Option<Protection> {
        self.dialer.protection()
    }

    /// A connection for a step.
    ///
    /// # Errors
    /// `Busy` if no connection became free in time, `Unavailable` if the database cannot be reached.
    pub async fn steps(&self) -> Result<Lease, Error> {
        self.lease(&self.steps).await
    }

    /// A connection for everything that is not a step: relay, timers, HTTP.
    ///
    /// # Errors
    /// As [`Store::steps`].
    pub async fn background(&self) -> Result<Lease, Error> {
        self.lease(&self.background).await
    }

    /// The connection on which the relay listens; there is one.
    ///
    /// # Errors
    /// As [`Store::steps`].
    pub(super) async fn listening(&self) -> Result<Lease, Error> {
        self.lease(&self.listening).await
    }

    /// The connection on which a commit may hang.
    pub(super) async fn lookout(&self) -> Result<Lease, Error> {
        self.lease(&self.lookout).await
    }

    async fn lease(&self, pool: &Pool<Connection>) -> Result<Lease, Error> {
        pool.get().await.map(|object| Lease(Some(object))).map_err(|error| match Error::from(error) {
            Error::Unavailable(why) => {
                Error::Unavailable(format!("the database at {} does not answer: {why}", self.place))
            }
            other => other,
        })
    }

    /// Checks that the database answers and takes writes.
    ///
    /// # Errors
    /// As [`Store::steps`].
    pub async fn probe(&self) -> Result<Probe, Error> {
        let mut conn = self.background().await?;
        let probe = super::session::probe(&mut conn).await?;
        if probe.access == Access::ReadOnly {
            // A session keeps the default it began with, and the address may lead to another server by now.
            conn.give_up();
        }
        Ok(probe)
    }

    /// Usage of the pools: steps, then background.
    pub fn in_use(&self) -> [PoolUse; 2] {
        [&self.steps, &self.background].map(|pool| {
            let status = pool.status();
            let lent = status.size.saturating_sub(status.available);
            PoolUse { lent, max: status.max_size, waiting: status.waiting }
        })
    }

    /// Closes the pools; connections in use are closed when they are returned.
    pub fn close(&self) {
        self.steps.close();
        self.background.close();
        self.listening.close();
        self.lookout.close();
    }
}

fn pool(opening: Opening, max: usize) -> Result<Pool<Connection>, Error> {
    let mut manager = ManagerConfig::<Connection>::default();
    let (url, opening) = (opening.url(), Arc::new(opening));
    manager.custom_setup = Box::new(move |_| {
        let opening = opening.clone();
        async move { opening.open().await }.boxed()
    });
    // The default asks the server at every lease. A closed socket and an open transaction are noticed without that.
    manager.recycling_method = RecyclingMethod::Fast;
    Pool::builder(AsyncDieselConnectionManager::new_with_config(url, manager))
        .max_size(max)
        .queue_mode(QueueMode::Lifo)
        .wait_timeout(Some(WAIT_MAX))
        .create_timeout(Some(CREATE_MAX))
        .recycle_timeout(Some(RECYCLE_MAX))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| Error::Bug(error.to_string()))
}

/// One connection outside of the pools, with the same settings, behind a pooler, too; but its statements take the time they take.
///
/// # Errors
/// `Bug` if the URL is invalid, `Unavailable` if the database cannot be reached.
pub(super) async fn connect(url: &str, application_name: &str) -> Result<Connection, Error> {
    let database =
        config::Database { url: url.to_owned(), statement_timeout: Duration::ZERO, ..config::Database::default() };
    Ok(opening(&database, application_name, Purpose::Steps, &Arc::default(), &Arc::default())?.open().await?)
}

/// How connections are opened: by the configured URL with our parameters.
fn opening(
    database: &config::Database,
    application_name: &str,
    purpose: Purpose,
    dialer: &Arc<Dialer>,
    pooler: &Arc<Pooler>,
) -> Result<Opening, Error> {
    let url = database.address();
    Address::read(&url).map_err(Error::Bug)?;
    let (place, query) = url.split_once('?').unwrap_or((&url, ""));
    let (own, others): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|part| !part.is_empty()).partition(|part| part.starts_with("options="));
    let name = encoded(application_name);
    let mut ours = format!("{place}?connect_timeout={}&tcp_user_timeout={SILENCE_MAX}", DIAL_MAX.as_secs());
    let _ = write!(ours, "&keepalives_idle=30&application_name={name}");
    for part in others {
        ours.push('&');
        ours.push_str(part);
    }
    let own = own.iter().map(|part| part["options=".len()..].to_owned()).collect();
    Ok(Opening::new(ours, own, database, purpose, dialer.clone(), pooler.clone()))
}

/// The part of a URL that may be displayed: without login and parameters.
fn place(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = rest.split_once('?').map_or(rest, |(address, _)| address);
    address.rsplit_once('@').map_or(address, |(_, place)| place).to_owned()
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// A leased connection. If it is dropped inside a transaction or before the answer to a statement, its socket is closed at
/// once: returned to the pool, the session would keep its row locks until it is leased again, and the next user would wait
/// for a statement that nobody needs.
pub struct Lease(Option<Object<Connection>>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut object) = self.0.take()
            && object.is_broken()
        {
            drop(Object::take(object));
        }
    }
}

impl Deref for Lease {
    type Target = Connection;
    #[expect(clippy::expect_used, reason = "only `drop` takes it, and nothing borrows it afterwards")]
    fn deref(&self) -> &Connection {
        self.0.as_ref().expect("a lease holds its connection until it is dropped")
    }
}

impl DerefMut for Lease {
    #[expect(clippy::expect_used, reason = "only `drop` takes it, and nothing borrows it afterwards")]
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect("a lease holds its connection until it is dropped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(url: &str) -> String {
        let database = config::Database { url: url.into(), ..config::Database::default() };
        opening(&database, "leveret worker", Purpose::Steps, &Arc::default(), &Arc::default()).unwrap().url()
    }

    #[test]
    fn sessions_carry_their_limits() {
        let url = url_of("postgres://me@localhost/db");
        assert!(url.starts_with("postgres://me@localhost/db?connect_timeout=5&"), "{url}");
        assert!(url.contains("application_name=leveret%20worker"), "{url}");
        assert!(url.contains("statement_timeout%3D15000%20-c%20lock_timeout%3D2000"), "{url}");
    }

    #[test]
    fn background_sessions_prefer_indexes_unless_the_url_overrides_it() {
        let of = |url: &str| {
            let database = config::Database { url: url.into(), ..config::Database::default() };
            opening(&database, "test", Purpose::Background, &Arc::default(), &Arc::default()).unwrap().url()
        };
        assert!(of("postgres://db/shop").contains("%20-c%20enable_seqscan%3Doff"));
        let own = of("postgres://db/shop?options=-c%20jit%3Don");
        assert!(own.find("jit%3Doff") < own.find("jit%3Don"), "{own}");
    }

    #[test]
    fn options_of_the_url_are_kept_and_win() {
        let url = url_of("postgres://me@localhost/db?sslmode=prefer&options=-c%20lock_timeout%3D1");
        assert!(url.contains("&sslmode=prefer&options="), "{url}");
        assert!(url.find("lock_timeout%3D2000") < url.find("lock_timeout%3D1%20"), "{url}");
        assert_eq!(url.matches("options=").count(), 1);
    }

    #[test]
    fn what_correctness_needs_comes_after_the_options_of_the_url() {
        let url = url_of("postgres://me@localhost/db?options=-c%20default_transaction_isolation%3Dserializable");
        let ours = "default_transaction_isolation%3Dread%5C%20committed";
        assert!(url.find("%3Dserializable") < url.find(ours), "{url}");
    }

    #[test]
    fn a_displayed_address_has_no_password() {
        assert_eq!(place("postgres://me:a@b@db:5432/shop?password=x@y"), "db:5432/shop");
        assert_eq!(place("postgresql://db/shop"), "db/shop");
    }

    #[test]
    fn an_invalid_url_is_refused() {
        let database = config::Database { url: "host=localhost".into(), ..config::Database::default() };
        assert!(matches!(Store::connect(&database, "test"), Err(Error::Bug(_))));
    }
}
