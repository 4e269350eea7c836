//! The private servers: one start for many, nothing left behind, and back again after every kind of fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use diesel_async::AsyncConnection;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use leveret::sandbox::{Profile, Sandbox};

use crate::support::{Fresh, Private, SOON, eventually, lines, shared};

/// A queue that no other file of the broker names.
const DURABLE: &str = "declared-before-the-crash";

/// A directory that the servers' users cannot enter if we are root, as root's home is.
struct Closed(PathBuf);

impl Closed {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("leveret-closed-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn concurrent_starts_share_the_same_servers_even_below_an_unreadable_directory() {
    let closed = Closed::new();
    let servers = Private::start_in(&closed.0);
    let directory = servers.directory().to_owned();
    let start = || Sandbox::start(&directory, Profile::Test).unwrap();
    let racing: Vec<Sandbox> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for found in &racing {
        assert_eq!((&found.database_url, &found.amqp_url), (&servers.database_url, &servers.amqp_url));
    }

    let running = Sandbox::status(&directory).unwrap().unwrap();
    assert_eq!(running.database_url.as_ref(), Some(&servers.database_url));
    let is_root = nix::unistd::Uid::effective().is_root();
    assert_eq!(running.root != directory, is_root, "only root has to go elsewhere");

    Sandbox::stop(&directory).unwrap();
    let stopped = Sandbox::status(&directory).unwrap().unwrap();
    assert_eq!((stopped.database_url, stopped.amqp_url), (None, None));

    Sandbox::remove(&directory).unwrap();
    assert!(!running.root.exists() && !directory.exists(), "nothing is left");
}

/// Whether a table of the broker contains the name of the queue. Its folder has it earlier, in a file `.queue_name`. The broker
/// replaces files meanwhile.
fn is_written(path: &Path, queue: &str) -> bool {
    if let Ok(entries) = fs::read_dir(path) {
        return entries.flatten().any(|entry| is_written(&entry.path(), queue));
    }
    if path.file_name().is_some_and(|name| name == ".queue_name") {
        return false;
    }
    fs::read(path).unwrap_or_default().windows(queue.len()).any(|part| part == queue.as_bytes())
}

#[tokio::test]
async fn a_crash_keeps_committed_data_and_a_wipe_deletes_it() {
    let servers = Private::start();
    servers.create_database("committed", None).unwrap();
    let queue_is_there = async || {
        let connection = Connection::connect(&servers.amqp_url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        channel.queue_declare(DURABLE.into(), passive, FieldTable::default()).await.is_ok()
    };
    declare_durable(&servers.amqp_url, DURABLE).await;
    // RabbitMQ 3.10 confirms a declaration up to two seconds before it writes it.
    let root = Sandbox::status(servers.directory()).unwrap().unwrap().root;
    let data = root.join("rabbitmq/data");
    eventually("the queue is written", SOON, async || is_written(&data, DURABLE)).await;

    servers.postgres().unwrap().stop_immediate().unwrap();
    assert!(servers.has_database("committed").is_err(), "the server is down");
    servers.postgres().unwrap().start().unwrap();
    assert!(servers.has_database("committed").unwrap());

    let broker = servers.rabbitmq().unwrap();
    broker.stop_immediate().unwrap();
    broker.start().unwrap();
    assert!(queue_is_there().await, "a durable queue survives a crash");

    assert!(broker.wipe().is_err(), "not while it runs");
    broker.stop_immediate().unwrap();
    broker.wipe().unwrap();
    broker.start().unwrap();
    assert!(!queue_is_there().await, "nothing survives a wipe");
}

#[tokio::test]
async fn each_test_has_its_own_database() {
    let (one, other) = (Fresh::new().await, Fresh::new().await);
    assert_ne!(one.database_url, other.database_url);
    let name = one.prefix.clone();
    assert!(shared().has_database(&name).unwrap());
    drop(one);
    assert!(!shared().has_database(&name).unwrap());

    declare_durable(&other.amqp_url, &other.prefix).await;
    let connection = Connection::connect(&other.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete(other.prefix.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
}

async fn declare_durable(url: &str, name: &str) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), durable, FieldTable::default()).await.unwrap();
}

#[tokio::test]
async fn servers_are_durable_except_those_of_tests() {
    for (profile, fsync) in [(Profile::Durable, "on"), (Profile::Test, "off")] {
        let closed = Closed::new();
        let directory = profile.directory(&closed.0);
        let at = directory.clone();
        let url = tokio::task::spawn_blocking(move || Sandbox::start(&at, profile).map(|it| it.database_url.clone()));
        let url = url.await.unwrap().unwrap();
        let conn = &mut leveret::store::Connection::establish(&url).await.unwrap();
        let setting = |name: &str| format!("pg_settings WHERE name = '{name}'");
        assert_eq!(lines(conn, "setting", &setting("fsync")).await, [fsync]);
        assert_eq!(lines(conn, "setting", &setting("synchronous_commit")).await, ["on"]);
        tokio::task::spawn_blocking(move || Sandbox::remove(&directory)).await.unwrap().unwrap();
    }
}
