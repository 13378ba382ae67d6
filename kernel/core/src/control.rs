//! What the command line and the daemon say to each other over the control socket.
//!
//! The same frames and messages as on any channel ([`pawang_protocol`]), role `control`: the daemon's `Hello` lists the
//! methods below with their numbers; a call's `args` and the replies' `args` are the JSON of the types here. The resource is
//! the empty string. A refusal is a reply with status failed and a [`pawang_protocol::Failure`] whose `code` is stable.

use crate::digest::Digest;
use crate::record::Record;
use crate::run::{Outcome, RunId};
use pawang_protocol::Gas;
use serde::{Deserialize, Serialize};

/// Every control method: its name, the type of its arguments, what comes back.
pub const METHODS: &[&str] = &[
    "ctl.info",          // () → Info
    "ctl.run",           // RunRequest → RunEvent (streamed; output chunks as data), last: RunEvent::Ended
    "ctl.stdin", // RunRef + data → (); empty data closes; answered when the program's pipe has taken it
    "ctl.ps",    // () → Vec<RunSummary>
    "ctl.inspect", // RunRef → RunDetail
    "ctl.stop",  // RunRef → RunSummary, when the whole tree is gone
    "ctl.logs",  // LogsRequest → output chunks as data with OutputChunk, oldest first
    "ctl.timeline", // TimelineRequest → Record (streamed, one per reply)
    "ctl.revoke", // ContractRef → Revoked
    "ctl.contract", // ContractRef → ContractDetail
    "ctl.trust-list", // () → trust store as JSON
    "ctl.trust-set", // trust store as JSON (the whole store) → ()
    "ctl.secret-set", // SecretRef + data → ()
    "ctl.secret-remove", // SecretRef → ()
    "ctl.secret-list", // () → Vec<String>
    "ctl.vault-unlock", // data = passphrase → ()
    "ctl.head",  // () → Head: signs and syncs a head now
    "ctl.shutdown", // () → (), then the daemon ends in order
];

/// About the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its public key: the audience of contracts, and what signs heads.
    pub key: String,
    /// Digest of its price table.
    pub prices: Digest,
    /// Its state directory.
    pub state: String,
    /// Where the Python SDK lies, for programs run under the `python` runtime.
    pub python_sdk: String,
    /// Whether the vault is open, locked (passphrase needed), or empty.
    pub vault: VaultState,
    /// `ok`, or why the log cannot be written at the moment.
    pub log: String,
    /// Kernel time, unix seconds; never behind the log.
    pub now: u64,
    /// Runs alive.
    pub runs: u32,
}

/// State of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultState {
    /// No secret stored and no key: the first unlock chooses the passphrase.
    Absent,
    /// Secrets are there; the passphrase is needed.
    Locked,
    /// Ready.
    Open,
}

/// Starts a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The signed envelope, as JSON text.
    pub envelope: String,
    /// The executable: absolute path, no symbolic link in its last part.
    pub executable: String,
    /// The script, for interpreters: absolute path.
    #[serde(default)]
    pub script: Option<String>,
    /// Further program files named in the contract: absolute paths.
    #[serde(default)]
    pub files: Vec<String>,
    /// Arguments after the program (and script).
    #[serde(default)]
    pub args: Vec<String>,
    /// Whether the run goes on when the connection ends.
    #[serde(default)]
    pub detach: bool,
}

/// What happens to a run, told as it happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum RunEvent {
    /// It began.
    Started {
        /// The run.
        run: RunSummary,
        /// The walls in force, in words.
        walls: Vec<String>,
    },
    /// Output of the program; the bytes are the reply's data.
    Output {
        /// 1 or 2.
        fd: u8,
    },
    /// A record of this run worth telling: a denial, a warning, a fault.
    Notice {
        /// The record.
        record: Box<Record>,
    },
    /// It ended; nothing of it is left. The last reply.
    Ended {
        /// The run, with outcome and exit status.
        run: RunSummary,
        /// One sentence more, where there is one.
        detail: String,
    },
}

/// One line of `pawang ps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Name of its contract.
    pub name: String,
    /// Digest of its contract.
    pub contract: Digest,
    /// Who signed it: the name in the trust store, or the key.
    pub issuer: String,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// Gas granted to the contract.
    pub gas_granted: Gas,
    /// Gas spent.
    pub gas_spent: Gas,
    /// Gas set aside.
    pub gas_reserved: Gas,
    /// Calls made.
    pub calls: u64,
    /// Calls refused.
    pub denied: u64,
    /// Started, unix ms.
    pub started_ms: u64,
    /// How long it has run, or ran, in ms.
    pub took_ms: u64,
    /// When the contract expires, unix seconds.
    pub not_after: u64,
    /// How it ended; absent while it is alive.
    pub outcome: Option<Outcome>,
    /// Exit status of the program.
    pub exit: Option<i32>,
}

/// `pawang inspect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The line of `ps`.
    pub summary: RunSummary,
    /// The contract, as JSON.
    pub contract: serde_json::Value,
    /// The walls in force around the automation, in words.
    pub walls: Vec<String>,
    /// Each process: name, pid, walls.
    pub processes: Vec<ProcessDetail>,
    /// CPU time charged, in ms.
    pub cpu_ms: u64,
}

/// One process of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessDetail {
    /// `automation` or the tool's name.
    pub name: String,
    /// Its process id on the host.
    pub pid: i32,
    /// Its walls, in words.
    pub walls: Vec<String>,
}

/// Names a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRef {
    /// The whole id, or a prefix that only one run has.
    pub run: String,
}

/// Names a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractRef {
    /// Its digest in hex, or a prefix of at least 8 digits that only one has.
    pub contract: String,
}

/// What the daemon knows of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContractDetail {
    /// Its digest.
    pub contract: Digest,
    /// Its payload, exactly as signed.
    pub payload: String,
    /// Whether it is revoked.
    pub revoked: bool,
    /// Gas granted, spent, reserved.
    pub gas: (Gas, Gas, Gas),
    /// Runs still allowed.
    pub uses_left: u32,
}

/// Answer to a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The contract.
    pub contract: Digest,
    /// The runs that were stopped by it.
    pub stopped: Vec<RunId>,
}

/// Asks for the output of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsRequest {
    /// As in [`RunRef`].
    pub run: String,
    /// Whether to wait for more until the run ends.
    #[serde(default)]
    pub follow: bool,
}

/// Tells what the data of a reply is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChunk {
    /// 1 or 2.
    pub fd: u8,
}

/// Asks for the records of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineRequest {
    /// As in [`RunRef`].
    pub run: String,
    /// Whether to wait for more until the run ends.
    #[serde(default)]
    pub follow: bool,
}

/// Names a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Its name.
    pub name: String,
}

/// A signed head of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the head record.
    pub n: u64,
    /// Digest of its line.
    pub digest: Digest,
}
