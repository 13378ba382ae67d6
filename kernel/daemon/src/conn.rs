//! One channel: what was received and is not yet a frame, what is to be sent and is not yet taken.
//!
//! Output is bounded: where a peer does not read, whoever feeds it is no longer read (f51). Output is appended while
//! frames are handled and written once, after the records of the same wake-up are in the log.

use pawang_protocol::{DecodeError, FrameBuffer, Message};
use std::io;
use std::rc::Rc;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Above this many bytes of waiting output, those who feed the peer are not read.
pub const OUTPUT_HIGH: usize = 1 << 20;
/// Memory kept by a buffer that is empty, in bytes.
const KEPT: usize = 16 << 10;

/// The kernel's end of a channel.
pub struct Conn {
    stream: Rc<UnixStream>,
    /// What came in and is part of a frame.
    pub input: FrameBuffer,
    output: Vec<u8>,
    sent: usize,
    /// Whether the peer's `Hello` has come.
    pub is_greeted: bool,
    /// Whether a task waits for the peer to take more.
    is_draining: bool,
    /// Told whenever waiting output shrinks, and when the channel closes.
    pub room: Rc<Notify>,
}

/// What became of an attempt to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was taken.
    All,
    /// The peer's buffer is full; someone must wait for it. Told once until it is drained.
    Blocked,
    /// Someone waits already.
    Waiting,
    /// The peer is gone.
    Gone,
}

impl Conn {
    /// A channel on a non-blocking stream.
    pub fn new(stream: Rc<UnixStream>) -> Self {
        Self {
            stream,
            input: FrameBuffer::default(),
            output: Vec::new(),
            sent: 0,
            is_greeted: false,
            is_draining: false,
            room: Rc::new(Notify::new()),
        }
    }

    /// Appends a message to the output.
    ///
    /// # Errors
    /// Where a field exceeds its limit; nothing is then appended.
    pub fn push(&mut self, message: &Message) -> Result<(), DecodeError> {
        message.encode_frame(&mut self.output)
    }

    /// Bytes that wait.
    pub fn backlog(&self) -> usize {
        self.output.len().saturating_sub(self.sent)
    }

    /// Whether more output than should wait is waiting.
    pub fn is_congested(&self) -> bool {
        self.backlog() > OUTPUT_HIGH
    }

    /// Sends as much as the peer takes now.
    pub fn send(&mut self) -> Sent {
        while self.backlog() > 0 {
            match self.stream.try_write(self.output.get(self.sent..).unwrap_or_default()) {
                Ok(0) => return Sent::Gone,
                Ok(taken) => self.sent = self.sent.saturating_add(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.block(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Sent::Gone,
            }
        }
        self.output.clear();
        self.output.shrink_to(KEPT);
        self.sent = 0;
        self.is_draining = false;
        Sent::All
    }

    /// The stream, for the tasks that wait on it.
    pub fn stream(&self) -> Rc<UnixStream> {
        Rc::clone(&self.stream)
    }

    fn block(&mut self) -> Sent {
        if self.sent > KEPT {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        match std::mem::replace(&mut self.is_draining, true) {
            true => Sent::Waiting,
            false => Sent::Blocked,
        }
    }
}
