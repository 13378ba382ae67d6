//! The five messages and their byte layout. The only module that knows bincode.
//!
//! A message is one frame's content: a `u32` tag, then the fields in order; integers little-endian and of fixed
//! width, a `bool` one byte, a string or byte field a `u64` length and its bytes. Decoding borrows from the frame,
//! checks every length against its limit before use, and refuses a frame with bytes left over.
//!
//! Contents are opaque here. `args` is JSON by convention and `data` is raw bytes; the kernel forwards both
//! untouched and reads neither.

use crate::limits::{ARGS_MAX, DATA_MAX, FRAME_MAX, HELLO_BODY_MAX, PLAN_MAX, RESOURCE_MAX};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{BorrowDecode, Encode};
use core::fmt;

/// One message. The tag is its position here, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub enum Message<'a> {
    /// Opens a channel, first from the kernel, then from the peer. Version and features are settled here.
    Hello {
        /// Kernel: the highest version it speaks. Peer: the version chosen.
        version: u16,
        /// Bits of optional features, none defined in version 1. Peer: a subset of what was offered.
        features: u64,
        /// JSON: [`crate::KernelHello`] or [`crate::PeerHello`].
        body: &'a [u8],
    },
    /// Kernel → launcher only: start a process. Descriptors travel beside it.
    Launch {
        /// Echoed in the reply.
        id: u64,
        /// The launch plan of `sandbox-policies`, opaque here.
        plan: &'a [u8],
    },
    /// Asks for one act on one resource.
    Call {
        /// Chosen by the caller, never used twice on a channel.
        id: u64,
        /// The call being served that this one is made for; 0 for none.
        parent: u64,
        /// Number of the method in the `Hello` of this channel.
        method: u32,
        /// How long the caller waits, in ms; 0 for the method's own deadline.
        deadline_ms: u32,
        /// Most gas this call may use; 0 lets the kernel reserve as the call grows.
        gas_max: u64,
        /// What the call is about. Towards a tool: the canonical form that was decided on.
        resource: &'a str,
        /// Secrets put in by the kernel on the way to a tool, JSON list of [`crate::hello::PutIn`]. Empty
        /// towards the kernel: a peer that fills it is at fault.
        secrets: &'a [u8],
        /// Arguments, JSON by convention.
        args: &'a [u8],
        /// Raw content.
        data: &'a [u8],
    },
    /// Answers a call; several times while `more` is set.
    Reply {
        /// The call answered.
        id: u64,
        /// One of [`Status`], as a number.
        status: u8,
        /// Whether another reply to the same call follows.
        more: bool,
        /// Towards the kernel: gas declared on top of what the kernel measures. From the kernel, on the last reply: gas charged.
        gas: u64,
        /// Result, or the denial or failure, JSON by convention.
        args: &'a [u8],
        /// Raw content.
        data: &'a [u8],
    },
    /// The answer to a call is no longer wanted. Answered by a last `Reply` with status cancelled.
    Cancel {
        /// The call.
        id: u64,
        /// One of [`CancelReason`], as a number.
        reason: u8,
    },
}

/// How a call ended. The numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Done; `args` and `data` hold the result.
    Ok = 0,
    /// The rules refuse; `args` is a [`crate::Denial`].
    Denied = 1,
    /// It was allowed but did not succeed; `args` is a [`crate::Failure`].
    Failed = 2,
    /// It was cancelled before it was done.
    Cancelled = 3,
}

/// Why a call is cancelled. The numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CancelReason {
    /// The caller lost interest.
    Caller = 0,
    /// Its deadline passed.
    Deadline = 1,
    /// Its gas is used up.
    Gas = 2,
    /// The contract was revoked or has expired.
    Revoked = 3,
    /// The run ends.
    Stopped = 4,
}

/// Why the bytes of a frame are not a message. Always the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The frame ends early, has an unknown tag, or a string is not UTF-8; carries the codec's words.
    Malformed(String),
    /// Bytes are left over after the message.
    Trailing(usize),
    /// A field is longer than its limit.
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A number stands for nothing.
    Unknown {
        /// Name of the field.
        field: &'static str,
        /// The number found.
        value: u8,
    },
}

const CONFIG: Configuration<LittleEndian, Fixint, Limit<{ FRAME_MAX + 64 }>> =
    bincode::config::legacy().with_limit::<{ FRAME_MAX + 64 }>();

impl<'a> Message<'a> {
    /// Reads the content of one frame (without its length word).
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not exactly one message within its limits.
    pub fn decode(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let (message, used): (Self, usize) = bincode::borrow_decode_from_slice(frame, CONFIG)
            .map_err(|e| DecodeError::Malformed(e.to_string()))?;
        if used != frame.len() {
            return Err(DecodeError::Trailing(frame.len().saturating_sub(used)));
        }
        message.check()?;
        Ok(message)
    }

    /// Appends the message to `out` as a whole frame, length word included.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] where a field exceeds its limit; `out` is then as it was.
    pub fn encode_frame(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.check()?;
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let written = bincode::encode_into_std_write(self, out, CONFIG);
        let length = written.ok().filter(|n| *n <= FRAME_MAX).and_then(|n| u32::try_from(n).ok());
        match (length, out.get_mut(start..start.saturating_add(4))) {
            (Some(length), Some(word)) => {
                word.copy_from_slice(&length.to_le_bytes());
                Ok(())
            }
            _ => {
                let len = out.len().saturating_sub(start);
                out.truncate(start);
                Err(DecodeError::TooLong { field: "frame", len, max: FRAME_MAX })
            }
        }
    }

    fn check(&self) -> Result<(), DecodeError> {
        let within = |field, len, max| {
            if len <= max { Ok(()) } else { Err(DecodeError::TooLong { field, len, max }) }
        };
        match *self {
            Self::Hello { body, .. } => within("body", body.len(), HELLO_BODY_MAX),
            Self::Launch { plan, .. } => within("plan", plan.len(), PLAN_MAX),
            Self::Call { resource, secrets, args, data, .. } => {
                within("resource", resource.len(), RESOURCE_MAX)?;
                within("secrets", secrets.len(), ARGS_MAX)?;
                within("args", args.len(), ARGS_MAX)?;
                within("data", data.len(), DATA_MAX)
            }
            Self::Reply { status, args, data, .. } => {
                Status::try_from(status)?;
                within("args", args.len(), ARGS_MAX)?;
                within("data", data.len(), DATA_MAX)
            }
            Self::Cancel { reason, .. } => CancelReason::try_from(reason).map(drop),
        }
    }
}

impl TryFrom<u8> for Status {
    type Error = DecodeError;
    fn try_from(value: u8) -> Result<Self, DecodeError> {
        match value {
            0 => Ok(Self::Ok),
            1 => Ok(Self::Denied),
            2 => Ok(Self::Failed),
            3 => Ok(Self::Cancelled),
            _ => Err(DecodeError::Unknown { field: "status", value }),
        }
    }
}

impl TryFrom<u8> for CancelReason {
    type Error = DecodeError;
    fn try_from(value: u8) -> Result<Self, DecodeError> {
        match value {
            0 => Ok(Self::Caller),
            1 => Ok(Self::Deadline),
            2 => Ok(Self::Gas),
            3 => Ok(Self::Revoked),
            4 => Ok(Self::Stopped),
            _ => Err(DecodeError::Unknown { field: "reason", value }),
        }
    }
}

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => 0,
            Status::Denied => 1,
            Status::Failed => 2,
            Status::Cancelled => 3,
        }
    }
}

impl From<CancelReason> for u8 {
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Caller => 0,
            CancelReason::Deadline => 1,
            CancelReason::Gas => 2,
            CancelReason::Revoked => 3,
            CancelReason::Stopped => 4,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "not a message: {what}"),
            Self::Trailing(len) => write!(f, "{len} bytes left over after the message"),
            Self::TooLong { field, len, max } => {
                write!(f, "{field} of {len} bytes; at most {max} are allowed")
            }
            Self::Unknown { field, value } => write!(f, "{field} {value} is not known"),
        }
    }
}

impl std::error::Error for DecodeError {}
