//! The socket of a connection, with the sieve between it and the client library.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};

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
    type TcpStream = Socket<<Tokio as Reactor>::TcpStream>;
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

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Socket::new(connecting.await?)) }
    }
}

/// A stream whose reader sees only bytes that passed the sieve.
pub(in crate::broker) struct Socket<S> {
    stream: S,
    sieve: Sieve,
    read: Box<[u8]>,
    /// Bytes that passed the sieve.
    passed: Vec<u8>,
    /// How many of them the reader has taken.
    taken: usize,
}

impl<S> Socket<S> {
    fn new(stream: S) -> Self {
        let read = vec![0; READ_MAX].into_boxed_slice();
        Self { stream, sieve: Sieve::default(), read, passed: Vec::new(), taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
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
