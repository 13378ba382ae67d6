//! What the audit log says: one record per decision, written before the effect it allows, and one when it settles.
//!
//! A record is one line of JSON. Every line carries its number, its time, the digest of the line before it, and an
//! entry. Anyone can check the chain with SHA-256 and the kernel's public key; `ARCHITECTURE.md` shows how in twenty lines.
//! Bodies, secrets and the query part of URLs are not in it: sizes and digests are.

use crate::digest::Digest;
use crate::ledger::{Account, Share};
use crate::run::{Outcome, RunId};
use pawang_protocol::{Denial, Gas};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1 over all segments.
    pub n: u64,
    /// Unix time in ms. Never runs backwards within a log.
    pub t: u64,
    /// SHA-256 of the line before, without its line end; all zeros for the first.
    pub prev: Digest,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What is under way when a segment is opened in the middle of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// Runs alive and their contracts.
    pub runs: BTreeMap<RunId, Digest>,
    /// Calls in flight: number, run, gas set aside, sub-ceilings.
    pub calls: Vec<(u64, RunId, Gas, Vec<usize>)>,
    /// Calls in flight that are nested in one of those, and draw on its gas: number, run.
    pub nested: Vec<(u64, RunId)>,
    /// Gas set aside for CPU time.
    pub leases: BTreeMap<RunId, Gas>,
    /// Helper contracts: whose gas they have, how much, and what else of that contract.
    pub carved: BTreeMap<Digest, (Digest, Gas, Share)>,
}

/// What happened. The word in `kind` is the variant's name in snake_case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// Opens a segment: all live state, so that nothing older need be read.
    Snapshot {
        /// The kernel's public key, `ed25519:<hex>`.
        key: String,
        /// Digest of the price table in force.
        prices: Digest,
        /// Every account whose contract has not expired, by contract digest.
        accounts: BTreeMap<Digest, Account>,
        /// Contracts revoked and not yet expired.
        revoked: Vec<Digest>,
        /// The trust store, as JSON.
        trust: serde_json::Value,
        /// The first call number not used.
        next_call: u64,
        /// What is under way: runs, calls, gas set aside.
        live: Live,
    },
    /// The daemon started; runs that the last one left behind are listed.
    Boot {
        /// Version of the daemon.
        version: String,
        /// Runs that were live when the last daemon ended without saying so.
        lost: Vec<RunId>,
    },
    /// The daemon ends in order.
    Halt {},
    /// The trust store changed; the whole new store, as JSON.
    Trust {
        /// The store after the change.
        trust: serde_json::Value,
    },
    /// A contract was seen for the first time, verified, and given an account.
    Admit {
        /// Digest of the contract.
        contract: Digest,
        /// Its name.
        name: String,
        /// Who signed it, `ed25519:<hex>`; the kernel itself for a helper's.
        issuer: String,
        /// The account as it is opened.
        account: Account,
        /// The contract, as signed.
        payload: String,
    },
    /// A contract was revoked.
    Revoke {
        /// Digest of the contract.
        contract: Digest,
    },
    /// A run begins and takes one use of its contract.
    Start {
        /// The run.
        run: RunId,
        /// Digest of its contract.
        contract: Digest,
        /// Name of the contract.
        name: String,
        /// The run that started it as a helper.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<RunId>,
        /// What is executed, for reading: path and arguments.
        program: Vec<String>,
        /// The walls put up, as the child proved them.
        walls: String,
    },
    /// A call was allowed; its gas is set aside. Written before it is relayed.
    Call {
        /// The run that pays.
        run: RunId,
        /// Number of the call, unique in the log.
        call: u64,
        /// The call it is nested in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<u64>,
        /// Method.
        method: String,
        /// Canonical resource; of a URL all but its query.
        resource: String,
        /// Gas set aside; 0 for a nested call, which draws on its parent's.
        reserved: Gas,
        /// Sub-ceilings it counts against.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        each: Vec<usize>,
        /// The grant that allows it, where that grant counts its calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counted: Option<(usize, u32)>,
        /// Bytes of arguments and data sent.
        sent: u64,
        /// Names of the secrets put in.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<String>,
    },
    /// More gas was set aside for a call that grows.
    Extend {
        /// The run.
        run: RunId,
        /// The call.
        call: u64,
        /// Gas added to its reservation.
        more: Gas,
    },
    /// A call ended.
    Settle {
        /// The run.
        run: RunId,
        /// The call.
        call: u64,
        /// `ok`, `failed: <code>`, `cancelled: <reason>`.
        status: String,
        /// Gas spent; of a nested call, out of its parent's.
        spent: Gas,
        /// Bytes of results and data received.
        received: u64,
        /// How long it took, in µs.
        took_us: u64,
        /// Gas left in the run's account.
        left: Gas,
    },
    /// A call was refused.
    Deny {
        /// The run.
        run: RunId,
        /// Number of the call.
        call: u64,
        /// Gas charged for it.
        spent: Gas,
        /// The whole denial, as the caller got it.
        denial: Denial,
    },
    /// Gas set aside for CPU time to come, where none is.
    Lease {
        /// The run.
        run: RunId,
        /// Gas set aside.
        reserved: Gas,
    },
    /// CPU time used was charged against the lease; what remains of the lease is free again.
    Cpu {
        /// The run.
        run: RunId,
        /// CPU time since the last such record, in ms.
        ms: u64,
        /// Gas spent.
        spent: Gas,
        /// Gas left in the run's account.
        left: Gas,
    },
    /// The run has used 80 % of its gas.
    Warn {
        /// The run.
        run: RunId,
        /// Gas spent so far.
        spent: Gas,
        /// Gas granted.
        granted: Gas,
    },
    /// Gas of a contract was carved out for a helper's contract.
    Carve {
        /// Digest of the contract that gives.
        contract: Digest,
        /// Digest of the contract that receives.
        helper: Digest,
        /// Gas moved into reservation.
        reserved: Gas,
        /// Room under sub-ceilings and counted calls that go with it.
        #[serde(default, skip_serializing_if = "Share::is_empty")]
        share: Share,
    },
    /// A helper's contract has ended; what it did not spend is free again.
    Return {
        /// Digest of the contract that gave.
        contract: Digest,
        /// Digest of the contract that received.
        helper: Digest,
        /// Gas the helper spent.
        spent: Gas,
    },
    /// A process broke the protocol and was killed.
    Fault {
        /// The run it belonged to.
        run: RunId,
        /// `automation`, or the name of the tool.
        who: String,
        /// What it did.
        what: String,
    },
    /// A tool of a run was started, or started again after a crash.
    Tool {
        /// The run.
        run: RunId,
        /// Name of the tool.
        tool: String,
        /// Crashes so far in this run.
        crashes: u32,
        /// The walls put up, as the tool proved them.
        walls: String,
    },
    /// A run ended and its whole process tree is gone.
    End {
        /// The run.
        run: RunId,
        /// How.
        outcome: Outcome,
        /// Exit status of the program, if it had one (128 + n: killed by signal n).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// Gas of the contract spent, all its runs together.
        spent: Gas,
        /// How long it ran, in ms.
        took_ms: u64,
        /// One sentence more, where there is one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// A secret was stored or removed (its name only).
    Secret {
        /// Its name.
        name: String,
        /// `set` or `removed`.
        act: String,
    },
    /// A signed head: whoever holds it knows the log up to here.
    Head {
        /// Ed25519 over the pre-authentication encoding of type `application/vnd.pawang.head.v1` and `n:prev`, hex.
        sig: String,
    },
}

impl Entry {
    /// The run the entry belongs to, if it belongs to one.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Start { run, .. }
            | Self::Call { run, .. }
            | Self::Extend { run, .. }
            | Self::Settle { run, .. }
            | Self::Deny { run, .. }
            | Self::Lease { run, .. }
            | Self::Cpu { run, .. }
            | Self::Warn { run, .. }
            | Self::Fault { run, .. }
            | Self::Tool { run, .. }
            | Self::End { run, .. } => Some(*run),
            Self::Snapshot { .. }
            | Self::Boot { .. }
            | Self::Halt {}
            | Self::Trust { .. }
            | Self::Admit { .. }
            | Self::Revoke { .. }
            | Self::Carve { .. }
            | Self::Return { .. }
            | Self::Secret { .. }
            | Self::Head { .. } => None,
        }
    }
}
