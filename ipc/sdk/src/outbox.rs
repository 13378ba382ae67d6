//! The sending half of the channel: whole frames, appended and written together.
//!
//! Shared by the serving loop and by replies that finish on other threads, hence the lock; with one thread it is
//! never contended. A frame is appended under the lock, so frames never interleave.

use crate::error::Lost;
use pawang_protocol::{DecodeError, Message};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes waiting above which they are written without waiting for more.
const FLUSH_AT: usize = 64 << 10;

/// A handle to the sending half. Clones write to the same channel.
#[derive(Clone)]
pub(crate) struct Outbox {
    channel: Arc<OwnedFd>,
    pending: Arc<Mutex<Vec<u8>>>,
}

/// Why a message was not sent.
pub(crate) enum SendError {
    /// It does not fit; the channel is as it was.
    TooLarge(DecodeError),
    /// The channel is gone.
    Lost(Lost),
}

impl Outbox {
    pub(crate) fn new(channel: Arc<OwnedFd>) -> Self {
        Self { channel, pending: Arc::default() }
    }

    /// Appends a message, to be written with the next [`Self::flush`], or at once if much is waiting.
    pub(crate) fn queue(&self, message: &Message<'_>) -> Result<(), SendError> {
        let mut pending = self.lock();
        message.encode_frame(&mut pending).map_err(SendError::TooLarge)?;
        if pending.len() < FLUSH_AT { Ok(()) } else { self.write(&mut pending).map_err(SendError::Lost) }
    }

    /// Appends a message and writes all that is waiting.
    pub(crate) fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let mut pending = self.lock();
        message.encode_frame(&mut pending).map_err(SendError::TooLarge)?;
        self.write(&mut pending).map_err(SendError::Lost)
    }

    /// Writes all that is waiting.
    pub(crate) fn flush(&self) -> Result<(), Lost> {
        self.write(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // A panic elsewhere cannot leave half a frame: `encode_frame` takes back what it could not finish.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, pending: &mut Vec<u8>) -> Result<(), Lost> {
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(&self.channel, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => return Err(Lost::Closed),
                Err(e) => return Err(Lost::Io(io::Error::from(e))),
            }
        }
        pending.clear();
        Ok(())
    }
}
