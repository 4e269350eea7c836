//! A database and a queue prefix of a test's own, so that tests run side by side.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use leveret::broker::{self, Broker, delay};
use leveret::sandbox::Sandbox;
use leveret::time::clock::Clock;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{PgBouncer, Pooling, eventually, shared};

/// Exchanges and queues are there after this.
const DECLARED_WITHIN: Duration = Duration::from_secs(20);

/// Queues are deleted within this, or stay.
const DELETED_WITHIN: Duration = Duration::from_secs(5);

/// A migrated database and a prefix that no other test uses. At the end of the test the database is dropped and the delay queues are
/// deleted; the other queues stay until the servers are deleted (AMQP cannot list queues by prefix), so declare no more than the test
/// needs.
///
/// With `TEST_POOLER` every test has a PgBouncer of its own between its programs and the database.
pub(crate) struct Fresh {
    pub(crate) database_url: String,
    /// Without a pooler in between.
    pub(crate) direct_url: String,
    pub(crate) amqp_url: String,
    pub(crate) prefix: String,
    sandbox: Sandbox,
    pooler: Option<PgBouncer>,
}

impl Fresh {
    /// On the servers that all tests share.
    pub(crate) async fn new() -> Self {
        Self::on(shared()).await
    }

    /// The same for tests that send nothing: without exchanges and queues.
    pub(crate) async fn database() -> Self {
        Self::with_database(shared()).await
    }

    /// The same behind a PgBouncer, whatever `TEST_POOLER` says.
    pub(crate) async fn behind(pooling: Pooling) -> Self {
        let mut fresh = Self::new().await;
        fresh.pool(pooling);
        fresh
    }

    fn pool(&mut self, pooling: Pooling) {
        let (pooler, through) = PgBouncer::before(&self.direct_url, pooling);
        self.database_url = through;
        self.pooler = Some(pooler);
    }

    /// On these servers.
    pub(crate) async fn on(sandbox: &Sandbox) -> Self {
        let fresh = Self::with_database(sandbox).await;
        fresh.declare().await;
        fresh
    }

    async fn with_database(sandbox: &Sandbox) -> Self {
        let template = template(sandbox).await;
        let prefix = format!("t{:016x}", fastrand::u64(..));
        let url = sandbox.create_database(&prefix, Some(&template)).unwrap();
        let mut fresh = Self {
            database_url: url.clone(),
            direct_url: url,
            amqp_url: sandbox.amqp_url.clone(),
            prefix,
            sandbox: sandbox.clone(),
            pooler: None,
        };
        if let Some(pooling) = Pooling::from_environment() {
            fresh.pool(pooling);
        }
        fresh
    }

    /// The role that Leveret logs in with.
    pub(crate) fn role(&self) -> String {
        let (_, rest) = self.direct_url.split_once("://").unwrap();
        rest.split([':', '@']).next().unwrap().to_owned()
    }

    /// Makes exchanges and queues, as a process of Leveret does, for tests that send before one runs.
    async fn declare(&self) {
        let options = broker::Options {
            url: self.amqp_url.clone(),
            prefix: self.prefix.clone(),
            publishers: 1,
            confirm_timeout: DECLARED_WITHIN,
            name: "test".into(),
            topology: broker::Topology::Declared,
        };
        let (broker, supervisor) = Broker::start(options, Clock::default(), CancellationToken::new());
        let running = async {
            timeout(DECLARED_WITHIN, broker.connected()).await.expect("the broker answers");
            let declared = async || broker.verify().await.is_ok_and(|compared| compared.is_equal());
            eventually("everything is declared", DECLARED_WITHIN, declared).await;
            broker.close().await;
        };
        tokio::join!(supervisor, running);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // First, so that it does not connect again to what is dropped.
        self.pooler = None;
        if let Err(error) = self.sandbox.drop_database(&self.prefix) {
            eprintln!("a database is left behind: {error:#}");
        }
        delete_delay_queues(self.amqp_url.clone(), self.prefix.clone());
    }
}

/// They are the most queues of a test, and replicated: thousands of them would slow the broker down. A broker that is away has none.
fn delete_delay_queues(url: String, prefix: String) {
    let deleting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deleting = async {
            let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            for level in delay::levels() {
                channel.queue_delete(level.name(&prefix).as_str().into(), Default::default()).await?;
            }
            connection.close(200, "bye".into()).await
        };
        let _ = runtime.block_on(async { timeout(DELETED_WITHIN, deleting).await });
    });
    let _ = deleting.join();
}

/// The database that others are copies of. Its name says which migrations it went through, so that changed ones give a new template.
async fn template(sandbox: &Sandbox) -> String {
    let fingerprint = migrations_fingerprint();
    let name = format!("template_{fingerprint}");
    // It does not exist yet if the servers are not ours.
    fs::create_dir_all(sandbox.directory()).unwrap();
    let lock = File::create(sandbox.directory().join("template.lock")).unwrap();
    lock.lock().unwrap();
    if !sandbox.has_database(&name).unwrap() {
        let draft = format!("draft_{fingerprint}");
        sandbox.drop_database(&draft).unwrap();
        let url = sandbox.create_database(&draft, None).unwrap();
        prepare_template(&url).await;
        sandbox.rename_database(&draft, &name).unwrap();
    }
    name
}

/// Brings the template to the newest schema; leaves no connection open, or it could not be copied.
async fn prepare_template(url: &str) {
    let url = url.to_owned();
    // In a runtime of its own, which takes the connection's task with it: in the test's it might not run before the copy.
    let migrating = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(leveret::store::migrate::run(&url)).unwrap();
    });
    migrating.join().unwrap();
}

fn migrations_fingerprint() -> String {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"), &mut files);
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update(fs::read(&file).unwrap());
    }
    hex::encode(&hash.finalize()[..6])
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
