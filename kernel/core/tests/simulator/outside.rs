//! What there is outside a relay: processes, runs, calls that are open.

use pawang_core::method::MethodId;
use pawang_core::run::{PeerId, RunId};

/// A process.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pub run: RunId,
    /// `None` for an automation.
    pub tool: Option<&'static str>,
    pub is_alive: bool,
}

/// A call that was recorded and not settled.
#[derive(Debug, Clone)]
pub struct Open {
    pub run: RunId,
    pub caller: PeerId,
    pub caller_id: u64,
    pub method: MethodId,
    pub resource: String,
    pub parent: Option<u64>,
    /// Where it was relayed to.
    pub to: To,
    pub is_cancelled: bool,
    pub gas_max: u64,
    pub moved: u64,
    pub declared: u64,
    pub nested: u64,
    pub reserved: u64,
    /// The next tick after this must do something about it, µs.
    pub due_us: u64,
}

/// Who serves a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Nobody,
    Kernel,
    Tool(PeerId),
}

/// A run as it is seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    pub parent: Option<RunId>,
    pub automation: Option<PeerId>,
    pub is_ending: bool,
    pub cpu_ms: u64,
}

/// A call that settled within the event at hand.
pub struct Settled {
    pub call: u64,
    pub open: Open,
    pub cost: u64,
    pub spent: u64,
}
