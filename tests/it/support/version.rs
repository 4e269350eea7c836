//! The version of the broker: for tests of what only some versions do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The major and minor number of the broker's version, from its greeting.
pub(crate) async fn broker_version(url: &str) -> (u32, u32) {
    let (_, rest) = url.split_once("://").unwrap();
    let authority = rest.split(['/', '?']).next().unwrap();
    let mut stream = TcpStream::connect(authority.rsplit('@').next().unwrap()).await.unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    // Type, channel and size of the frame; then its payload, in which a table has the version as a text.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.unwrap();
    let mut payload = vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]).try_into().unwrap()];
    stream.read_exact(&mut payload).await.unwrap();
    let name = b"\x07versionS";
    let at = payload.windows(name.len()).position(|part| part == name).unwrap() + name.len() + 4;
    let version = String::from_utf8_lossy(&payload[at..]).into_owned();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
