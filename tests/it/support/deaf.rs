//! A broker that does not answer for one queue: a proxy that swallows a method with certain words, and everything that follows on its
//! channel. To a client that is a queue whose node is frozen.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The bytes a client sends first.
const GREETING: usize = 8;
/// Kind, channel and length of a frame.
const HEAD: usize = 7;

/// Listens on a port of its own until it is dropped.
pub(crate) struct Deaf {
    swallowed: Rules,
    accepting: AbortHandle,
}

/// How many channels a rule has made deaf, the class and method, and the words.
type Rules = Arc<Mutex<Vec<(usize, [u8; 4], String)>>>;

impl Deaf {
    /// In front of the broker of a URL, and the URL that leads through it.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let (_, rest) = url.split_once("://").unwrap();
        let authority = rest.split(['/', '?']).next().unwrap();
        let server = authority.rsplit('@').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let through = url.replacen(&server, &format!("127.0.0.1:{port}"), 1);
        let swallowed = Rules::default();
        let rules = swallowed.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = server.into_split();
                let rules = rules.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = requests(from_client, to_server, rules) => {}
                        _ = copy(&mut from_server, &mut to_client) => {}
                    }
                });
            }
        });
        (Self { swallowed, accepting: accepting.abort_handle() }, through)
    }

    /// From now on, channels on which this method with these words is sent are not served.
    pub(crate) fn swallow(&self, method: [u8; 4], words: &str) {
        self.swallowed.lock().unwrap().push((0, method, words.to_owned()));
    }

    /// Serves new channels again.
    pub(crate) fn hear(&self) {
        self.swallowed.lock().unwrap().clear();
    }

    /// How many channels are not served.
    pub(crate) fn count(&self) -> usize {
        self.swallowed.lock().unwrap().iter().map(|(count, _, _)| count).sum()
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: Rules) -> std::io::Result<()> {
    let mut greeting = [0; GREETING];
    from.read_exact(&mut greeting).await?;
    to.write_all(&greeting).await?;
    let mut deaf = BTreeSet::new();
    loop {
        let mut head = [0; HEAD];
        from.read_exact(&mut head).await?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        // With the byte that ends a frame.
        let mut rest = vec![0; usize::try_from(length).unwrap() + 1];
        from.read_exact(&mut rest).await?;
        for (count, method, words) in rules.lock().unwrap().iter_mut() {
            let has = |words: &[u8]| rest.windows(words.len()).any(|part| part == words);
            if head[0] == 1 && rest.starts_with(method) && has(words.as_bytes()) && deaf.insert(channel) {
                *count += 1;
            }
        }
        if !deaf.contains(&channel) {
            to.write_all(&head).await?;
            to.write_all(&rest).await?;
        }
    }
}
