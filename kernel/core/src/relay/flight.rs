//! One call in flight, and the table of them.

use crate::ledger::Reservation;
use crate::method::{MethodId, Price};
use crate::run::{PeerId, RunId};
use core::hash::{BuildHasherDefault, Hasher};
use pawang_protocol::{CancelReason, Gas};
use std::collections::HashMap;

/// Arguments up to this many bytes per message are part of a call's price; what exceeds it counts as data moved, so
/// that content cannot travel free of charge in the arguments.
pub const ARGS_FREE: u64 = 1024;

/// Who answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    /// A tool of the same run.
    Peer(PeerId),
    /// The kernel itself.
    Kernel,
    /// Nobody: the tool crashed too often in this run. The call fails at once.
    Nobody,
}

/// Why a call is stopped before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The caller lost interest.
    Caller,
    /// Its deadline passed.
    Deadline,
    /// It would cost more than the caller's own ceiling.
    GasMax,
    /// It would cost more than a sub-ceiling of the contract has left.
    Ceiling,
    /// Its caller is gone, or the call it is nested in has ended.
    Stopped,
}

/// Where a call stands. It leaves the table when its last reply, its callee's end or its run's end settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Relayed; replies are awaited.
    Relayed,
    /// The callee was told to stop; its last reply, or its death, is awaited.
    Cancelling(Why),
}

/// A call that was relayed.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) run: RunId,
    pub(super) caller: PeerId,
    /// The id the caller knows it by.
    pub(super) caller_id: u64,
    pub(super) callee: Callee,
    pub(super) method: MethodId,
    pub(super) price: Price,
    /// The call it is nested in, which pays for it.
    pub(super) parent: Option<u64>,
    pub(super) depth: u8,
    /// `None` for a nested call: its cost is its parent's.
    pub(super) reservation: Option<Reservation>,
    /// The caller's own ceiling.
    pub(super) gas_max: Option<Gas>,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Gas the callee declared on top.
    pub(super) declared: Gas,
    /// Gas of calls nested in this one, ended and in flight.
    pub(super) nested: Gas,
    /// How much of its own cost is already in its parent's `nested`.
    pub(super) booked: Gas,
    /// Calls nested in this one and in flight.
    pub(super) nested_open: u32,
    pub(super) stage: Stage,
    pub(super) started_us: u64,
    pub(super) deadline_us: u64,
    pub(super) resource: String,
    /// Whether secrets were put in, so that replies must be searched for them.
    pub(super) has_secrets: bool,
}

impl Why {
    /// The word for it on the wire.
    pub(super) const fn reason(self) -> CancelReason {
        match self {
            Self::Caller => CancelReason::Caller,
            Self::Deadline => CancelReason::Deadline,
            Self::GasMax | Self::Ceiling => CancelReason::Gas,
            Self::Stopped => CancelReason::Stopped,
        }
    }
}

impl Flight {
    /// What the call costs so far.
    pub(super) fn cost(&self) -> Gas {
        let moved = self.sent.saturating_add(self.received);
        self.price.of(moved).saturating_add(self.declared).saturating_add(self.nested)
    }

    /// What is set aside for it.
    pub(super) fn held(&self) -> Gas {
        self.reservation.as_ref().map_or(Gas::ZERO, Reservation::amount)
    }
}

/// How much of a message counts as data moved.
#[must_use]
pub fn moved(args: usize, data: usize) -> u64 {
    let args = u64::try_from(args).unwrap_or(u64::MAX).saturating_sub(ARGS_FREE);
    args.saturating_add(u64::try_from(data).unwrap_or(u64::MAX))
}

/// Calls by number. The kernel numbers them itself, one after the other, so hashing needs to resist nobody.
pub(super) type Flights = HashMap<u64, Flight, BuildHasherDefault<SequenceHasher>>;

/// Spreads consecutive numbers (multiplication by 2^64 / golden ratio; Knuth, TAOCP 6.4).
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct SequenceHasher(u64);

impl Hasher for SequenceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
