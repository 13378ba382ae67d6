//! Takes possession of the channel, descriptor 3, once.
//!
//! The only unsafe line of this crate. A process is born with an open descriptor whose number is all it knows
//! of it, and the standard library has no safe way from a number to an owned descriptor. (`/proc/self/fd/3`
//! would be one; the sandbox has no `/proc`, and a socket cannot be opened by path.)

use crate::error::Lost;
use pawang_protocol::limits::CHANNEL_FD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Do not wait.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The channel to the kernel. Succeeds once per process.
///
/// # Errors
/// [`Lost::NoChannel`] where descriptor 3 is not open, or `is_wanted` says that it is something else: the program was
/// not started by Pawang. [`Lost::Protocol`] where the channel was taken before.
pub(crate) fn take(is_wanted: fn(&OwnedFd) -> bool) -> Result<OwnedFd, Lost> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(Lost::Protocol("the channel was opened before in this process".to_owned()));
    }
    let channel = claim();
    if is_open(&channel) && is_wanted(&channel) {
        return Ok(channel);
    }
    // Nothing is open there, or something of this process lives on that number: neither is ours to close.
    std::mem::forget(channel);
    Err(Lost::NoChannel)
}

/// Whether it is a socket. For automations, which anyone may start by hand. Tools are started by the kernel alone,
/// and the narrowest of them may not ask.
pub(crate) fn is_socket(channel: &OwnedFd) -> bool {
    fstat(channel).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket)
}

fn is_open(channel: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(channel, PollFlags::IN)];
    poll(&mut polled, Some(&NOW)).is_ok() && polled.iter().all(|fd| !fd.revents().contains(PollFlags::NVAL))
}

#[allow(unsafe_code)]
fn claim() -> OwnedFd {
    // SAFETY: `from_raw_fd` asks that the descriptor is open and owned by nobody else. Descriptor 3 is the
    // channel by contract with the launcher, nothing in this process was told of it, and `TAKEN` lets this line
    // run once. Where the contract does not hold (no such descriptor, or not a socket) the caller forgets the
    // value before anything is read, written or closed through it; `poll` and `fstat` on a wrong number are harmless.
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
    matches!(poll(&mut [PollFd::new(channel, PollFlags::IN)], Some(&NOW)), Ok(1..))
}

/// Room made before every read: one write of a kernel that coalesces, many small calls.
const READ_MIN: usize = 64 << 10;
