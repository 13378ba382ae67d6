//! What the kernel and every process it runs must agree on: frames, messages, limits, names, gas, denials.
//!
//! Pure data: no I/O, no clock, no policy. [`frame`] cuts a byte stream into frames, [`message`] is the one
//! place that knows the byte layout, [`limits`] holds every bound. `README.md` beside this crate describes the
//! same bytes for someone who writes a client in another language; the golden vectors in `tests/` hold both.
//!
//! Deliberately absent: contracts and keys (`kernel/core`), sockets (`ipc/sdk`, `kernel/daemon`).
#![forbid(unsafe_code)]

pub mod denial;
pub mod frame;
pub mod gas;
pub mod hello;
pub mod limits;
pub mod message;
pub mod name;

pub use denial::{Denial, DenialCode, Failure};
pub use frame::{FrameBuffer, FrameError};
pub use gas::Gas;
pub use hello::{KernelHello, MethodEntry, PeerHello, Role};
pub use message::{CancelReason, DecodeError, Message, Status};
pub use name::{MethodName, NameError, PluginName};
