//! Takes possession of the channel, descriptor 3, once.
//!
//! The only unsafe line of this crate. A process is born with an open descriptor whose number is all it knows
//! of it, and the standard library has no safe way from a number to an owned descriptor. (`/proc/self/fd/3`
//! would be one; the sandbox has no `/proc`, and a socket cannot be opened by path.)

use crate::error::Lost;
use pawang_protocol::limits::CHANNEL_FD;
use rustix::fs::{FileType, fstat};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The channel to the kernel. Succeeds once per process.
///
/// # Errors
/// [`Lost::NoChannel`] where descriptor 3 is not an open socket: the program was not started by Pawang.
/// [`Lost::Protocol`] where the channel was taken before.
pub(crate) fn take() -> Result<OwnedFd, Lost> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(Lost::Protocol("the channel was opened before in this process".to_owned()));
    }
    let channel = claim();
    match fstat(&channel) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => Ok(channel),
        Ok(_) => {
            // Something else of this process lives on that number: leave it open.
            std::mem::forget(channel);
            Err(Lost::NoChannel)
        }
        Err(_) => {
            // Nothing is open there, so there is nothing to close either.
            std::mem::forget(channel);
            Err(Lost::NoChannel)
        }
    }
}

#[allow(unsafe_code)]
fn claim() -> OwnedFd {
    // SAFETY: `from_raw_fd` asks that the descriptor is open and owned by nobody else. Descriptor 3 is the
    // channel by contract with the launcher, nothing in this process was told of it, and `TAKEN` lets this line
    // run once. Where the contract does not hold (no such descriptor, or not a socket) the caller forgets the
    // value before anything is read, written or closed through it; `fstat` on a wrong number is harmless.
    unsafe { OwnedFd::from_raw_fd(CHANNEL_FD) }
}

/// Reads what is there, at least one byte, into the spare room of `buffer`.
///
/// # Errors
/// [`Lost::Closed`] at the end of the stream; [`Lost::Io`] otherwise.
pub(crate) fn read(channel: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Lost> {
    buffer.reserve(READ_MIN);
    loop {
        match rustix::io::read(channel, rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => return Err(Lost::Closed),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Err(Lost::Closed),
            Err(e) => return Err(Lost::Io(io::Error::from(e))),
        }
    }
}

/// Whether a read would not block: bytes are there, or the end of the stream.
pub(crate) fn is_readable(channel: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(channel, PollFlags::IN)], Some(&now)), Ok(1..))
}

/// Room made before every read: one write of a kernel that coalesces, many small calls.
const READ_MIN: usize = 64 << 10;
