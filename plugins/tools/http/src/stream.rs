//! An open connection, with a bound on what a server may send before its answer begins.
//!
//! hyper bounds a head, but skips any number of early hints (RFC 8297) before it. A server that sends nothing else would
//! keep the thread busy for nothing. So bytes are counted until the answer is there, and then no more.

use hyper_util::client::legacy::connect::{Connected, Connection};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes before the answer: a few early hints, a head and one full buffer of the body behind it, 64 KiB each.
const PREFACE_MAX: usize = 256 << 10;

/// Plain or encrypted.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection.
pub struct Stream {
    io: Box<dyn Duplex>,
    is_h2: bool,
    received: usize,
    answered: Answered,
}

/// Travels with the response; tells its connection that the answer is there.
#[derive(Clone, Default)]
pub struct Answered(Arc<AtomicBool>);

impl Answered {
    /// Lifts the bound.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stream {
    /// Wraps what was opened. HTTP/2 bounds what is sent by itself.
    pub fn new(io: Box<dyn Duplex>, is_h2: bool) -> Self {
        let answered = Answered::default();
        if is_h2 {
            answered.set();
        }
        Self { io, is_h2, received: 0, answered }
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.received = self.received.saturating_add(bytes);
        if self.received <= PREFACE_MAX || self.answered.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(io::Error::other(format!("{PREFACE_MAX} bytes came and no answer among them")))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.answered.clone());
        if self.is_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => Poll::Ready(self.count(buf.filled().len().saturating_sub(before))),
            other => other,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
