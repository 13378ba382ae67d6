//! What can go wrong with a call one makes, and with the channel itself.

use pawang_protocol::{DecodeError, Denial, Failure, FrameError};
use std::{fmt, io};

/// Why a call that this process made did not succeed.
#[derive(Debug)]
pub enum Error {
    /// The rules refuse. Trying again is refused again, and costs gas again.
    Denied(Box<Denial>),
    /// It was allowed and went wrong.
    Failed(Failure),
    /// It was cancelled before it was done.
    Cancelled,
    /// The channel is gone; no call can succeed any more.
    Lost(Lost),
}

/// Why the channel to the kernel is unusable.
#[derive(Debug)]
pub enum Lost {
    /// Descriptor 3 is not a socket.
    NoChannel,
    /// The kernel closed it: the run is over.
    Closed,
    /// Reading or writing failed.
    Io(io::Error),
    /// What arrived is not the protocol, or not at this time; carries what is wrong.
    Protocol(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => write!(f, "{denial}"),
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::Cancelled => f.write_str("the call was cancelled"),
            Self::Lost(lost) => write!(f, "{lost}"),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChannel => f.write_str(
                "no channel to the kernel on descriptor 3; try: start this program with `pawang run`",
            ),
            Self::Closed => f.write_str("the kernel closed the channel; the run is over"),
            Self::Io(e) => write!(f, "the channel to the kernel failed: {e}"),
            Self::Protocol(what) => write!(f, "the kernel broke the protocol: {what}"),
        }
    }
}

impl std::error::Error for Error {}
impl std::error::Error for Lost {}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<FrameError> for Lost {
    fn from(e: FrameError) -> Self {
        Self::Protocol(e.to_string())
    }
}

impl From<DecodeError> for Lost {
    fn from(e: DecodeError) -> Self {
        Self::Protocol(e.to_string())
    }
}

/// A message of ours that does not fit: a failure of the call, not of the channel.
pub(crate) fn too_large(e: &DecodeError) -> Failure {
    Failure::new("too_large", format!("the message does not fit: {e}")).hint("send less at a time")
}
