//! What can happen to a relay, as far as the laws need to know of it.

use pawang_core::run::PeerId;
use pawang_protocol::DenialCode;

/// One event.
#[derive(Debug, Clone)]
pub enum Event {
    /// A peer calls.
    Call {
        from: PeerId,
        id: u64,
        parent: u64,
        method: u32,
        resource: String,
        deadline_ms: u32,
        gas_max: u64,
        sent: u64,
        /// The denial it must meet.
        must: Option<DenialCode>,
        /// It breaks the protocol, so it must be refused as a fault.
        is_fault: bool,
    },
    /// A tool replies.
    Reply { id: u64, gas: u64, received: u64, is_fault: bool },
    /// The kernel itself replies.
    Served { id: u64, gas: u64, received: u64 },
    /// The channel of a process closes.
    Gone { peer: PeerId },
    /// A process broke the protocol.
    Fault { peer: PeerId },
    /// Time has passed.
    Tick,
    /// Anything else.
    Other,
}
