//! The socket of a connection, with the sieve between it and the client library. TLS is beneath the sieve.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::sieve::Sieve;

/// Bytes of one read.
const READ_MAX: usize = 64 * 1024;

/// The runtime of a connection: Tokio with our own sockets.
pub(in crate::broker) fn runtime() -> Runtime<RuntimeParts<Tokio, Sieved>> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), Sieved(tokio)))
}

/// Opens sockets with a sieve.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Sieved(Tokio);

impl Reactor for Sieved {
    type TcpStream = Socket;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Socket::new(Box::new(connecting.await?), CancellationToken::new())) }
    }
}

/// What the bytes come from: TCP, or TLS over it.
pub(in crate::broker) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream whose reader sees only bytes that passed the sieve.
pub(in crate::broker) struct Socket {
    stream: Box<dyn Stream>,
    /// Ends a handshake that nobody waits for: the library would keep its thread and its buffers as long as the peer is silent.
    given_up: Pin<Box<WaitForCancellationFutureOwned>>,
    sieve: Sieve,
    read: Box<[u8]>,
    /// Bytes that passed the sieve.
    passed: Vec<u8>,
    /// How many of them the reader has taken.
    taken: usize,
}

impl Socket {
    /// `given_up` makes every later read fail.
    pub(in crate::broker) fn new(stream: Box<dyn Stream>, given_up: CancellationToken) -> Self {
        let read = vec![0; READ_MAX].into_boxed_slice();
        let given_up = Box::pin(given_up.cancelled_owned());
        Self { stream, given_up, sieve: Sieve::default(), read, passed: Vec::new(), taken: 0 }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.given_up.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        while this.taken == this.passed.len() {
            this.passed.clear();
            this.taken = 0;
            let count = ready!(Pin::new(&mut this.stream).poll_read(context, &mut this.read))?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            this.sieve.feed(&this.read[..count], &mut this.passed);
        }
        let left = &this.passed[this.taken..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        this.taken += count;
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(context)
    }
}
