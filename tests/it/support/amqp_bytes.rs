//! AMQP byte by byte: messages that no client library lets one send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xce;
/// Which properties follow: content type, headers, delivery mode, message id, type, app id.
const PROPERTIES: u16 = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 5 | 1 << 3;

/// Properties as bytes.
pub(crate) struct Strange<'a> {
    pub(crate) routing_key: &'a [u8],
    pub(crate) kind: &'a [u8],
    pub(crate) app_id: &'a [u8],
    pub(crate) message_id: &'a [u8],
    /// A table without its length.
    pub(crate) headers: &'a [u8],
}

impl Strange<'_> {
    /// A start in order.
    pub(crate) const IN_ORDER: Strange<'static> =
        Strange { routing_key: b"start.wire", kind: b"start", app_id: b"unknown", message_id: b"1", headers: b"" };
}

/// Headers inside headers inside headers.
pub(crate) fn nested(levels: usize) -> Vec<u8> {
    let mut table = Vec::new();
    // Built from its end, or it would be copied as often as it is deep.
    for level in 0..levels {
        let inner = u32::try_from(level * 6).unwrap();
        table.extend([&inner.to_be_bytes()[..], b"F\0"].concat().iter());
    }
    // Every level was written backwards, its name first: an empty name, the kind, the length.
    table.chunks(6).rev().flat_map(|level| [&[0, b'F'][..], &level[..4]].concat()).collect()
}

/// A connection with one channel in confirm mode.
pub(crate) struct Wire(TcpStream);

impl Wire {
    /// Connects to `amqp://user:password@host:port/…`, to the default host.
    pub(crate) async fn connect(url: &str) -> Self {
        let (login, place) = url.strip_prefix("amqp://").unwrap().split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let mut wire = Self(TcpStream::connect(place.split('/').next().unwrap()).await.unwrap());
        wire.0.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
        wire.expect(10, 10).await;
        let mut login = vec![0; 4];
        login.extend(short(b"PLAIN"));
        login.extend(long(format!("\0{user}\0{password}").as_bytes()));
        login.extend(short(b"en_US"));
        wire.call(0, 10, 11, &login).await;
        wire.expect(10, 30).await;
        wire.call(0, 10, 31, &[0, 10, 0, 2, 0, 0, 0, 0]).await;
        wire.call(0, 10, 40, &[short(b"/"), short(b""), vec![0]].concat()).await;
        wire.expect(10, 41).await;
        wire.call(1, 20, 10, &short(b"")).await;
        wire.expect(20, 11).await;
        wire.call(1, 85, 10, &[0]).await;
        wire.expect(85, 11).await;
        wire
    }

    /// Publishes something; returns when it is confirmed.
    pub(crate) async fn publish(&mut self, exchange: &str, strange: &Strange<'_>, body: &[u8]) {
        let to = [vec![0, 0], short(exchange.as_bytes()), short(strange.routing_key), vec![0]].concat();
        self.call(1, 60, 40, &to).await;
        let mut header = vec![0, 60, 0, 0];
        header.extend(u64::try_from(body.len()).unwrap().to_be_bytes());
        header.extend(PROPERTIES.to_be_bytes());
        header.extend([short(b"application/json"), long(strange.headers), vec![2]].concat());
        header.extend([short(strange.message_id), short(strange.kind), short(strange.app_id)].concat());
        self.frame(HEADER, 1, &header).await;
        self.frame(BODY, 1, body).await;
        self.expect(60, 80).await;
    }

    async fn call(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).unwrap();
        let frame = [&[kind], &channel.to_be_bytes()[..], &size.to_be_bytes(), payload, &[END]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// Reads the next frame, which must be this method.
    async fn expect(&mut self, class: u16, method: u16) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut rest = vec![0; usize::try_from(size).unwrap() + 1];
        self.0.read_exact(&mut rest).await.unwrap();
        let read = (u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
        assert_eq!(read, (class, method), "{}", String::from_utf8_lossy(&rest));
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
}
