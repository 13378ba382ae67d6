//! The state machine of calls: who may relay what to whom, what it costs, and what is written down first.
//!
//! Pure: events go in as method calls with the time as an argument, [`Effect`]s come out in the order in which they
//! must be done. A call passes `identity → shape → permission → gas → record → relay`, and that order is a chain of types
//! (`call.rs`, `fund.rs`, `send.rs`): what relays takes only what was funded, what funds takes only what was permitted.
//!
//! Every process is suspected alike. A tool that answers a call it was not given, answers twice, or answers nobody is
//! stopped, and the record names it.
//!
//! Not here: bytes, sockets, processes, timers (`kernel/daemon`).

mod admit;
mod call;
mod cpu;
mod deny;
mod effect;
mod flight;
mod fund;
mod life;
mod reply;
mod send;

pub use call::Inbound;
pub use effect::{Body, Effect};
pub use flight::{ARGS_FREE, moved};
pub use life::{Finish, Launch};
pub use reply::Answer;

use crate::contract::Verified;
use crate::digest::Digest;
use crate::ledger::{Account, Reservation, Share};
use crate::method::Methods;
use crate::permit::Policy;
use crate::record::Live;
use crate::run::{Outcome, PeerId, RunId};
use flight::Flights;
use pawang_protocol::Gas;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Longest wait for a tool to acknowledge a cancel, in ms; then it is stopped.
pub const CANCEL_GRACE_MS: u64 = 2_000;
/// A tool that crashed this often in one run is not started again.
pub const CRASHES_MAX: u32 = 5;
/// Back-off before the n-th restart of a tool: 2^n times this, in ms.
pub const BACKOFF_MS: u64 = 10;

/// The moment of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Monotonic time, in µs.
    pub us: u64,
    /// Unix time, in seconds; never behind the log.
    pub unix_s: u64,
}

/// Everything the kernel knows of what is alive.
#[derive(Debug)]
pub struct Relay {
    methods: Arc<Methods>,
    accounts: BTreeMap<Digest, Account>,
    revoked: BTreeSet<Digest>,
    /// By helper contract: what was carved out for it, and of what.
    carved: BTreeMap<Digest, Carved>,
    runs: HashMap<RunId, Run>,
    peers: Vec<Slot>,
    flights: Flights,
    deadlines: BTreeSet<(u64, u64)>,
    next_call: u64,
    /// Names of the secrets that can be put in now.
    secrets: BTreeSet<String>,
}

/// One live run.
#[derive(Debug)]
struct Run {
    verified: Verified,
    policy: Arc<Policy>,
    automation: PeerId,
    tools: Vec<(&'static str, Tool)>,
    /// `None` while it lives.
    ending: Option<Outcome>,
    parent: Option<RunId>,
    calls: u64,
    denied: u64,
    is_warned: bool,
    /// Gas set aside for CPU time to come.
    lease: Option<Reservation>,
    cpu_ms: u64,
    cpu_wait_ms: u64,
    started_us: u64,
    started_unix_ms: u64,
}

/// What one contract has set aside for another that was cut from it.
#[derive(Debug)]
struct Carved {
    giver: Digest,
    reservation: Reservation,
    share: Share,
}

/// A tool as one run sees it.
#[derive(Debug, Clone, Copy, Default)]
struct Tool {
    peer: Option<PeerId>,
    crashes: u32,
}

/// A place for a peer.
#[derive(Debug)]
struct Slot {
    generation: u32,
    peer: Option<Peer>,
}

#[derive(Debug)]
struct Peer {
    run: RunId,
    /// `None` for the automation itself.
    tool: Option<&'static str>,
    /// Ids on a channel only grow.
    last_id: u64,
    /// Its own calls in flight: (its id, the kernel's number), both growing.
    calls: Vec<(u64, u64)>,
}

/// A run in figures, for `ps` and `inspect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFigures {
    /// Contract.
    pub contract: Digest,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// Gas: granted, spent, reserved.
    pub gas: (Gas, Gas, Gas),
    /// Calls made and calls refused.
    pub calls: (u64, u64),
    /// CPU time charged, in ms.
    pub cpu_ms: u64,
    /// Unix ms.
    pub started_unix_ms: u64,
    /// Monotonic µs.
    pub started_us: u64,
    /// Set once it is ending.
    pub ending: Option<Outcome>,
}

/// A peer broke the protocol. The caller of the relay treats it as [`Relay::fault`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

/// Which plugin serves a method for a run, and whether it is one of the kernel's own.
fn plugin_of(method: &str) -> Option<&'static str> {
    match method.split_once('.').map(|(plugin, _)| plugin) {
        Some("fs") => Some("fs"),
        Some("http") => Some("http"),
        Some("exec") => Some("exec"),
        Some("memory") => Some("memory"),
        _ => None,
    }
}

impl Relay {
    /// A relay with the accounts and revocations a log left behind, and nothing alive.
    #[must_use]
    pub fn new(
        methods: Arc<Methods>,
        accounts: BTreeMap<Digest, Account>,
        revoked: BTreeSet<Digest>,
        next_call: u64,
    ) -> Self {
        Self {
            methods,
            accounts,
            revoked,
            carved: BTreeMap::new(),
            runs: HashMap::new(),
            peers: Vec::new(),
            flights: Flights::default(),
            deadlines: BTreeSet::new(),
            next_call: next_call.max(1),
            secrets: BTreeSet::new(),
        }
    }

    /// Says which secrets can be put in from now on. A call that needs another is denied.
    pub fn set_secrets(&mut self, names: BTreeSet<String>) {
        self.secrets = names;
    }

    /// The account of a contract, if it was ever admitted.
    #[must_use]
    pub fn account(&self, contract: &Digest) -> Option<&Account> {
        self.accounts.get(contract)
    }

    /// All accounts, for the snapshot that opens a segment.
    #[must_use]
    pub fn accounts(&self) -> &BTreeMap<Digest, Account> {
        &self.accounts
    }

    /// Contracts that were revoked.
    #[must_use]
    pub fn revoked(&self) -> &BTreeSet<Digest> {
        &self.revoked
    }

    /// The runs alive.
    pub fn runs(&self) -> impl Iterator<Item = RunId> {
        self.runs.keys().copied()
    }

    /// A run in figures, while it is alive.
    #[must_use]
    pub fn figures(&self, id: RunId) -> Option<RunFigures> {
        let run = self.runs.get(&id)?;
        let account = self.accounts.get(&run.verified.digest)?;
        Some(RunFigures {
            contract: run.verified.digest,
            parent: run.parent,
            gas: (account.granted(), account.spent(), account.reserved()),
            calls: (run.calls, run.denied),
            cpu_ms: run.cpu_ms,
            started_unix_ms: run.started_unix_ms,
            started_us: run.started_us,
            ending: run.ending,
        })
    }

    /// The verified contract of a live run.
    #[must_use]
    pub fn contract(&self, id: RunId) -> Option<&Verified> {
        self.runs.get(&id).map(|run| &run.verified)
    }

    /// The run and the tool's name (`None`: the automation) behind a peer.
    #[must_use]
    pub fn whose(&self, id: PeerId) -> Option<(RunId, Option<&'static str>)> {
        self.peer(id).map(|peer| (peer.run, peer.tool))
    }

    /// When [`Relay::tick`] has something to do next, monotonic µs.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Whether every account obeys the law and every reservation belongs to a call, a lease or a helper. For tests.
    #[must_use]
    pub fn is_lawful(&self) -> bool {
        let mut held: BTreeMap<Digest, u64> = BTreeMap::new();
        for flight in self.flights.values() {
            if let (Some(run), Some(r)) = (self.runs.get(&flight.run), &flight.reservation) {
                *held.entry(run.verified.digest).or_default() += r.amount().0;
            }
        }
        for run in self.runs.values() {
            if let Some(lease) = &run.lease {
                *held.entry(run.verified.digest).or_default() += lease.amount().0;
            }
        }
        for carved in self.carved.values() {
            *held.entry(carved.giver).or_default() += carved.reservation.amount().0;
        }
        self.accounts.iter().all(|(digest, account)| {
            account.is_lawful() && account.reserved().0 == held.get(digest).copied().unwrap_or(0)
        })
    }

    /// What is under way, for the snapshot that opens a segment.
    #[must_use]
    pub fn live(&self) -> Live {
        let (mut calls, mut nested) = (Vec::new(), Vec::new());
        for (&id, flight) in &self.flights {
            match &flight.reservation {
                Some(r) => calls.push((id, flight.run, r.amount(), r.each().to_vec())),
                None => nested.push((id, flight.run)),
            }
        }
        calls.sort_unstable();
        nested.sort_unstable();
        let leases = self.runs.iter().filter_map(|(&id, run)| Some((id, run.lease.as_ref()?.amount())));
        Live {
            runs: self.runs.iter().map(|(&id, run)| (id, run.verified.digest)).collect(),
            calls,
            nested,
            leases: leases.collect(),
            carved: self.carved.iter().map(|(&helper, carved)| (helper, carved.live())).collect(),
        }
    }

    /// The first call number not used, for the snapshot.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        self.next_call
    }

    /// Whether a run is there and not ending.
    fn is_alive(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| run.ending.is_none())
    }

    fn account_of_mut(&mut self, id: RunId) -> Option<&mut Account> {
        self.accounts.get_mut(&self.runs.get(&id)?.verified.digest)
    }

    fn peer(&self, id: PeerId) -> Option<&Peer> {
        let slot = self.peers.get(usize::try_from(id.slot).ok()?)?;
        slot.peer.as_ref().filter(|_| slot.generation == id.generation)
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        let slot = self.peers.get_mut(usize::try_from(id.slot).ok()?)?;
        slot.peer.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// Puts a peer into a free place; the place's generation sets it apart from whoever had it before.
    fn add_peer(&mut self, run: RunId, tool: Option<&'static str>) -> PeerId {
        let peer = Peer { run, tool, last_id: 0, calls: Vec::new() };
        for (index, slot) in (0u32..).zip(self.peers.iter_mut()) {
            if slot.peer.is_none() && slot.generation < u32::MAX {
                slot.generation = slot.generation.saturating_add(1);
                slot.peer = Some(peer);
                return PeerId { slot: index, generation: slot.generation };
            }
        }
        let slot = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        self.peers.push(Slot { generation: 0, peer: Some(peer) });
        PeerId { slot, generation: 0 }
    }

    fn remove_peer(&mut self, id: PeerId) -> Option<Peer> {
        self.peer(id)?;
        self.peers.get_mut(usize::try_from(id.slot).ok()?)?.peer.take()
    }
}

impl Carved {
    fn live(&self) -> (Digest, Gas, Share) {
        (self.giver, self.reservation.amount(), self.share.clone())
    }
}
