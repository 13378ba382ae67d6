//! What the relay wants done. The daemon does it, in order, after the records among it are written.

use crate::method::MethodId;
use crate::record::Entry;
use crate::run::{Outcome, PeerId, RunId};
use pawang_protocol::{CancelReason, Denial, Failure, Gas, Status};

/// One act.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Write this down, before anything that follows is done (INV-2).
    Record(Entry),
    /// Pass the call just received on to a tool, with these fields in place of the caller's.
    Forward {
        /// The tool.
        to: PeerId,
        /// The kernel's number for the call.
        id: u64,
        /// The kernel's number of the call it is nested in, or 0.
        parent: u64,
        /// Method.
        method: MethodId,
        /// Time left, in ms.
        deadline_ms: u32,
        /// The resource as it was decided on.
        resource: String,
        /// Secrets to put in, as positions in the contract's list.
        secrets: Vec<u16>,
    },
    /// A call the kernel serves itself. Answered through [`super::Relay::served`].
    Serve {
        /// The run.
        run: RunId,
        /// The kernel's number for the call.
        id: u64,
        /// Method.
        method: MethodId,
        /// The resource as it was decided on.
        resource: String,
    },
    /// Answer a caller.
    Answer {
        /// The caller.
        to: PeerId,
        /// The id the caller chose.
        id: u64,
        /// How it ended, or goes on.
        status: Status,
        /// Whether more follows.
        more: bool,
        /// Gas charged; 0 while more follows.
        gas: Gas,
        /// What is said.
        body: Body,
        /// The kernel's number, where replies must be searched for secrets that were put in.
        redact: Option<u64>,
    },
    /// Tell a tool that a call is no longer wanted.
    Cancel {
        /// The tool.
        to: PeerId,
        /// The kernel's number for the call.
        id: u64,
        /// Why.
        reason: CancelReason,
    },
    /// The same for a call the kernel serves itself.
    CancelServed {
        /// The kernel's number for the call.
        id: u64,
    },
    /// Start a tool for a run; what is sent to `peer` meanwhile waits for it.
    StartTool {
        /// The run.
        run: RunId,
        /// Its peer id.
        peer: PeerId,
        /// Name of the plugin.
        plugin: &'static str,
        /// Back-off: wait this long first, in ms.
        delay_ms: u64,
        /// Crashes so far.
        crashes: u32,
    },
    /// Kill a tool's process; tell when it is gone through [`super::Relay::peer_gone`].
    Kill {
        /// The tool.
        peer: PeerId,
    },
    /// Kill everything of a run; when all of it is gone call [`super::Relay::finish`].
    EndRun {
        /// The run.
        run: RunId,
        /// How it ends.
        outcome: Outcome,
    },
    /// Read the CPU clock of a run soon, within this many ms.
    CheckCpu {
        /// The run.
        run: RunId,
        /// At the latest in this many ms.
        within_ms: u64,
    },
}

/// What an answer says.
#[derive(Debug, PartialEq)]
pub enum Body {
    /// Arguments and data of the reply just received.
    Forwarded,
    /// A denial.
    Denial(Box<Denial>),
    /// A failure.
    Failure(Box<Failure>),
    /// Nothing.
    Empty,
}
