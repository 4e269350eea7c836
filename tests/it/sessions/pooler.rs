//! Behind a pooler that drops start-up options, or refuses them: the settings are sent with each transaction.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use leveret::config::Database;
use leveret::store::Store;
use leveret::store::session::Kept;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{NEEDED, WRONG, meet, serve, set_default, settings};
use crate::support::{CommandLine, Fresh};

/// What a pooler does with the parameter `options` of a new client.
#[derive(Clone, Copy)]
enum Options {
    Dropped,
    Refused,
}

/// A pooler as far as start-up is concerned; each client has its own server here.
struct Pooler {
    port: u16,
    accepting: AbortHandle,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Pooler {
    /// In front of the database of a URL; and the URL that leads through it.
    async fn before(url: &str, options: Options) -> (Self, String) {
        let authority = url.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
        let server = authority.rsplit('@').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = server.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to.clone(), options));
            }
        });
        let through = url.replacen(&server, &format!("127.0.0.1:{port}"), 1);
        (Self { port, accepting: accepting.abort_handle() }, through)
    }
}

/// The code with which a client asks for TLS.
const TLS_WANTED: [u8; 4] = 80_877_103_i32.to_be_bytes();

/// The first message of a client.
async fn opening(client: &mut TcpStream) -> Option<Vec<u8>> {
    let length = client.read_i32().await.ok()?;
    let mut message = vec![0; usize::try_from(length).ok()? - 4];
    client.read_exact(&mut message).await.ok()?;
    Some(message)
}

async fn carry(mut client: TcpStream, server: String, options: Options) -> Option<()> {
    let mut startup = opening(&mut client).await?;
    // The client asks for TLS first, and goes on without.
    if startup == TLS_WANTED {
        client.write_all(b"N").await.ok()?;
        startup = opening(&mut client).await?;
    }
    let (version, texts) = startup.split_at(4);
    let texts: Vec<&[u8]> = texts.split(|byte| *byte == 0).collect();
    let (mut kept, mut had_options) = (version.to_vec(), false);
    for pair in texts.chunks(2).take_while(|pair| !pair[0].is_empty()) {
        had_options |= pair[0] == b"options";
        if pair[0] != b"options" {
            kept.extend([pair[0], &[0], pair[1], &[0]].concat());
        }
    }
    kept.push(0);
    if let (Options::Refused, true) = (options, had_options) {
        let said = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
        client.write_u8(b'E').await.ok()?;
        client.write_i32(i32::try_from(said.len()).ok()? + 4).await.ok()?;
        client.write_all(said).await.ok()?;
        return client.shutdown().await.ok();
    }
    let mut server = TcpStream::connect(server).await.ok()?;
    server.write_i32(i32::try_from(kept.len()).ok()? + 4).await.ok()?;
    server.write_all(&kept).await.ok()?;
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_no_message_misses_its_wait_whatever_the_defaults() {
    let fresh = Fresh::new().await;
    for wrong in WRONG {
        set_default(&fresh, wrong).await;
    }
    let (pooler, through) = Pooler::before(&fresh.database_url, Options::Dropped).await;
    let leveret = serve(fresh, |config| config.database.url = through.clone()).await;
    let store = &leveret.app().store;
    assert_eq!(store.steps().await.unwrap().settings_kept(), Kept::Transaction);
    for (name, value) in NEEDED {
        assert_eq!(settings(store, name).await, [value, value], "{name}");
    }
    assert_eq!(settings(store, "enable_seqscan").await, ["on", "off"]);
    meet(&leveret, 60).await;
    let said = CommandLine::on(&leveret.fresh).with("DATABASE_URL", &through).say("doctor -o json").await.good();
    assert!(said.contains("a pooler drops the start-up options"), "{said}");
    leveret.close().await;
    assert!(pooler.port > 0);
}

#[tokio::test]
async fn a_pooler_that_refuses_start_up_options_is_used_without_them() {
    let fresh = Fresh::database().await;
    set_default(&fresh, "default_transaction_isolation = 'repeatable read'").await;
    let (_pooler, through) = Pooler::before(&fresh.database_url, Options::Refused).await;
    let store = Store::connect(&Database { url: through, ..Database::default() }, "pooled").unwrap();
    let lease = store.steps().await.unwrap();
    assert_eq!(lease.settings_kept(), Kept::Transaction);
    drop(lease);
    assert_eq!(settings(&store, "transaction_isolation").await, ["read committed", "read committed"]);
}

#[tokio::test]
async fn without_a_pooler_the_settings_hold_for_the_session() {
    let fresh = Fresh::database().await;
    let store = Store::connect(&Database { url: fresh.database_url.clone(), ..Database::default() }, "direct").unwrap();
    assert_eq!(store.steps().await.unwrap().settings_kept(), Kept::Session);
    assert_eq!(store.background().await.unwrap().settings_kept(), Kept::Session);
}
