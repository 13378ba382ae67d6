//! Runs and their processes: start, CPU time, helpers, faults, crashes, the end.

use super::effect::Effect;
use super::flight::Callee;
use super::reply::Ending;
use super::{CRASHES_MAX, Fault, Now, PeerId, Relay, Run, RunId, Tool};
use crate::contract::Verified;
use crate::digest::Digest;
use crate::ledger::{Account, Reservation};
use crate::permit::Policy;
use crate::record::Entry;
use crate::run::Outcome;
use pawang_protocol::{Failure, Gas};
use std::sync::Arc;

/// Share of the free gas that is set aside for CPU time at once, and its bounds in gas.
const LEASE_SHARE: u64 = 8;
const LEASE_MIN: Gas = Gas(16);
const LEASE_MAX: Gas = Gas(4_000);
/// The CPU clock is read at least this often once a run is nearly out of gas, in ms; and no more often.
const CPU_CHECK_MIN_MS: u64 = 4;
/// How long a run that burns nothing may go unread while it has little left, in ms.
const CPU_IDLE_MS: u64 = 64;

/// What starts a run, besides its contract.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Drawn by the daemon.
    pub run: RunId,
    /// The run that starts it as a helper.
    pub parent: Option<RunId>,
    /// For reading: path and arguments.
    pub program: Vec<String>,
    /// The walls that will be put up, in words.
    pub walls: String,
    /// Unix ms.
    pub unix_ms: u64,
}

impl Relay {
    /// Gives a verified contract its account, if it has none yet, and before it those it was cut from. Gas of an
    /// attenuated contract is carved from the one above it.
    ///
    /// # Errors
    /// [`Failure`] where one of them is revoked, or the one above cannot give the gas.
    pub fn admit(&mut self, verified: &Verified, out: &mut Vec<Effect>) -> Result<(), Failure> {
        let mut ancestry = std::iter::once(&verified.digest).chain(&verified.chain);
        if let Some(gone) = ancestry.find(|digest| self.revoked.contains(*digest)) {
            let what =
                if *gone == verified.digest { "the contract" } else { "a contract this one was cut from" };
            return Err(Failure::new("revoked", format!("{what} was revoked ({})", gone.short()))
                .hint("sign a new contract; a revocation is not taken back"));
        }
        for parent in verified.parents.iter().rev() {
            self.open_account(parent, out)?;
        }
        self.open_account(verified, out)
    }

    fn open_account(&mut self, verified: &Verified, out: &mut Vec<Effect>) -> Result<(), Failure> {
        let (digest, contract) = (verified.digest, &verified.contract);
        if self.accounts.contains_key(&digest) {
            return Ok(());
        }
        if let Some(parent) = contract.parent {
            self.carve(parent, digest, contract.gas.limit, out)?;
        }
        let each: Vec<Gas> = contract.gas.each.iter().map(|each| each.limit).collect();
        let account =
            Account::open(contract.gas.limit, contract.uses, &each, contract.allow.len(), contract.not_after);
        out.push(Effect::Record(Entry::Admit {
            contract: digest,
            name: contract.name.to_string(),
            issuer: verified.issuer.to_string(),
            account: account.clone(),
            payload: String::from_utf8(contract.to_payload()).unwrap_or_default(),
        }));
        self.accounts.insert(digest, account);
        Ok(())
    }

    fn carve(
        &mut self,
        parent: Digest,
        helper: Digest,
        gas: Gas,
        out: &mut Vec<Effect>,
    ) -> Result<(), Failure> {
        let Some(account) = self.accounts.get_mut(&parent) else {
            return Err(Failure::new(
                "parent_unknown",
                "the contract this one was cut from was never presented here",
            )
            .hint("run the parent contract once, or present both together"));
        };
        let reservation = account.reserve(gas, Vec::new()).map_err(|_| {
            Failure::new(
                "parent_too_poor",
                format!("the parent contract has {} gas free, {gas} are asked for", account.free()),
            )
            .hint("cut a smaller contract")
        })?;
        out.push(Effect::Record(Entry::Carve { contract: parent, helper, reserved: gas }));
        self.carved.insert(helper, (parent, reservation));
        Ok(())
    }

    /// Begins a run under an admitted contract: takes one use, sets CPU gas aside, names the automation's peer.
    ///
    /// # Errors
    /// [`Failure`] where no use or no gas is left.
    pub fn start(
        &mut self,
        now: Now,
        verified: Verified,
        policy: Arc<Policy>,
        launch: Launch,
        out: &mut Vec<Effect>,
    ) -> Result<PeerId, Failure> {
        let digest = verified.digest;
        let Some(account) = self.accounts.get_mut(&digest) else {
            return Err(Failure::new("not_admitted", "the contract was not admitted"));
        };
        if account.free() == Gas::ZERO {
            return Err(Failure::new("out_of_gas", "the contract's gas is spent; spent is spent")
                .hint("sign a new contract"));
        }
        if !account.take_use() {
            return Err(Failure::new("used_up", "the contract has been run as often as it allows")
                .hint("sign a new contract, or sign with more `uses`"));
        }
        let id = launch.run;
        let automation = self.add_peer(id, None);
        out.push(Effect::Record(Entry::Start {
            run: id,
            contract: digest,
            name: verified.contract.name.to_string(),
            parent: launch.parent,
            program: launch.program,
            walls: launch.walls,
        }));
        self.runs.insert(
            id,
            Run {
                verified,
                policy,
                automation,
                tools: Vec::new(),
                ending: None,
                parent: launch.parent,
                calls: 0,
                denied: 0,
                is_warned: false,
                lease: None,
                cpu_ms: 0,
                cpu_wait_ms: CPU_CHECK_MIN_MS,
                started_us: now.us,
                started_unix_ms: launch.unix_ms,
            },
        );
        self.renew_lease(id, out);
        Ok(automation)
    }

    /// The run's CPU clock says `total_ms` so far, on `cpus` processors. Returns when to look again, in ms.
    pub fn cpu(&mut self, id: RunId, total_ms: u64, cpus: u64, out: &mut Vec<Effect>) -> Option<u64> {
        let price = self.methods.cpu_ms;
        let run = self.runs.get_mut(&id).filter(|run| run.ending.is_none())?;
        let ms = total_ms.saturating_sub(run.cpu_ms);
        let account = self.accounts.get_mut(&run.verified.digest)?;
        let held = run.lease.as_ref().map_or(Gas::ZERO, Reservation::amount);
        if ms == 0 {
            let calm = (held.0 / cpus.max(1)).max(CPU_IDLE_MS);
            run.cpu_wait_ms = run.cpu_wait_ms.saturating_mul(2).clamp(CPU_CHECK_MIN_MS, calm);
            return Some(run.cpu_wait_ms);
        }
        run.cpu_ms = total_ms;
        let due = Gas(price.0.saturating_mul(ms));
        let leased = run.lease.take().map_or(Gas::ZERO, |lease| account.settle(lease, due));
        let rest = due.saturating_sub(leased);
        let spent = leased.saturating_add(account.spend(rest));
        let left = account.free();
        out.push(Effect::Record(Entry::Cpu { run: id, ms, spent, left }));
        if spent < due || left == Gas::ZERO {
            self.end(id, Outcome::OutOfGas, out);
            return None;
        }
        self.warn(id, out);
        let lease = self.renew_lease(id, out);
        let wait = (lease.0 / cpus.max(1)).max(CPU_CHECK_MIN_MS);
        if let Some(run) = self.runs.get_mut(&id) {
            run.cpu_wait_ms = wait;
        }
        Some(wait)
    }

    /// Sets gas aside for CPU time to come, so that a crash of the kernel cannot make it free.
    fn renew_lease(&mut self, id: RunId, out: &mut Vec<Effect>) -> Gas {
        let Some(run) = self.runs.get_mut(&id) else { return Gas::ZERO };
        let Some(account) = self.accounts.get_mut(&run.verified.digest) else { return Gas::ZERO };
        let share = Gas(account.free().0 / LEASE_SHARE).clamp(LEASE_MIN, LEASE_MAX).min(account.free());
        match account.reserve(share, Vec::new()) {
            Ok(lease) if share > Gas::ZERO => {
                out.push(Effect::Record(Entry::Lease { run: id, reserved: share }));
                run.lease = Some(lease);
                share
            }
            Ok(nothing) => {
                account.settle(nothing, Gas::ZERO);
                Gas::ZERO
            }
            Err(_) => Gas::ZERO,
        }
    }

    /// Gives the CPU lease back to a run that needs gas for a call now; the CPU clock is then read soon.
    pub(super) fn reclaim_lease(&mut self, id: RunId, out: &mut Vec<Effect>) -> bool {
        let Some(run) = self.runs.get_mut(&id) else { return false };
        let Some(account) = self.accounts.get_mut(&run.verified.digest) else { return false };
        let Some(lease) = run.lease.take() else { return false };
        account.settle(lease, Gas::ZERO);
        let left = account.free();
        out.push(Effect::Record(Entry::Cpu { run: id, ms: 0, spent: Gas::ZERO, left }));
        out.push(Effect::CheckCpu { run: id, within_ms: CPU_CHECK_MIN_MS });
        true
    }

    /// Writes the 80 % warning once.
    pub(super) fn warn(&mut self, id: RunId, out: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| !run.is_warned) else { return };
        let Some(account) = self.accounts.get(&run.verified.digest) else { return };
        let (spent, granted) = (account.spent(), account.granted());
        if spent.0 / 4 >= granted.0 / 5 && spent.0.saturating_mul(5) >= granted.0.saturating_mul(4) {
            run.is_warned = true;
            out.push(Effect::Record(Entry::Warn { run: id, spent, granted }));
        }
    }

    /// A peer broke the protocol: its process is stopped, and the record says whose fault it was.
    pub fn fault(&mut self, now: Now, from: PeerId, fault: &Fault, out: &mut Vec<Effect>) {
        let Some((run, tool)) = self.whose(from) else { return };
        let who = tool.unwrap_or("automation").to_owned();
        out.push(Effect::Record(Entry::Fault { run, who, what: fault.0.clone() }));
        match tool {
            None => self.end(run, Outcome::Fault, out),
            Some(_) => {
                out.push(Effect::Kill { peer: from });
                self.peer_gone(now, from, out);
            }
        }
    }

    /// The process behind a peer is gone, or its channel is. Calls it was serving fail; calls it made are cancelled.
    pub fn peer_gone(&mut self, now: Now, id: PeerId, out: &mut Vec<Effect>) {
        let Some(peer) = self.remove_peer(id) else { return };
        for (_, number) in peer.calls {
            if let Some(Callee::Kernel) = self.flights.get(&number).map(|flight| flight.callee) {
                out.push(Effect::CancelServed { id: number });
            } else if let Some(Callee::Peer(to)) = self.flights.get(&number).map(|flight| flight.callee) {
                out.push(Effect::Cancel { to, id: number, reason: pawang_protocol::CancelReason::Stopped });
            }
            if let Some(flight) = self.flights.get_mut(&number) {
                flight.stage = super::flight::Stage::Cancelling(pawang_protocol::CancelReason::Stopped);
            }
        }
        let Some(plugin) = peer.tool else { return };
        if let Some(run) = self.runs.get_mut(&peer.run)
            && let Some(tool) = run.tool(plugin)
        {
            run.set_tool(plugin, Tool { peer: None, crashes: tool.crashes.saturating_add(1) });
        }
        let served: Vec<u64> = self.served_by(Callee::Peer(id));
        for number in served {
            let failure =
                Failure::new("tool_crashed", format!("the {plugin} tool ended in the middle of the call"))
                    .hint("try again: the tool is started anew")
                    .retryable();
            self.settle(now, number, Ending::Failed(failure), out);
        }
    }

    /// Starts a tool of a run before its first call.
    pub fn warm(&mut self, id: RunId, plugin: &'static str, out: &mut Vec<Effect>) {
        if self.runs.get(&id).is_some_and(|run| run.ending.is_none()) {
            self.tool(id, plugin, out);
        }
    }

    /// Whether a tool of a run has crashed too often to be started again.
    pub(super) fn is_broken(&self, id: RunId, plugin: &str) -> bool {
        let tool = self.runs.get(&id).and_then(|run| run.tool(plugin));
        tool.is_some_and(|tool| tool.peer.is_none() && tool.crashes >= CRASHES_MAX)
    }

    /// A tool could not be started at all: what waits for it fails with the reason.
    pub fn tool_failed(&mut self, now: Now, id: PeerId, failure: &Failure, out: &mut Vec<Effect>) {
        let served: Vec<u64> = self.served_by(Callee::Peer(id));
        for number in served {
            self.settle(now, number, Ending::Failed(failure.clone()), out);
        }
        self.peer_gone(now, id, out);
    }

    fn served_by(&self, callee: Callee) -> Vec<u64> {
        let mut served: Vec<u64> =
            self.flights.iter().filter(|(_, f)| f.callee == callee).map(|(&number, _)| number).collect();
        served.sort_unstable();
        served
    }

    /// Decides that a run ends. From here on its messages are ignored.
    pub fn end(&mut self, id: RunId, outcome: Outcome, out: &mut Vec<Effect>) {
        if let Some(run) = self.runs.get_mut(&id).filter(|run| run.ending.is_none()) {
            run.ending = Some(outcome);
            out.push(Effect::EndRun { run: id, outcome });
        }
    }

    /// Revokes a contract and everything cut from it; what runs under them ends.
    pub fn revoke(&mut self, contract: Digest, out: &mut Vec<Effect>) -> Vec<RunId> {
        if self.revoked.insert(contract) {
            out.push(Effect::Record(Entry::Revoke { contract }));
        }
        let under = |run: &Run| run.verified.digest == contract || run.verified.chain.contains(&contract);
        let mut hit: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| run.ending.is_none() && under(run))
            .map(|(&id, _)| id)
            .collect();
        hit.sort_unstable();
        for id in &hit {
            self.end(*id, Outcome::Revoked, out);
        }
        hit
    }

    /// Everything of a run is gone: settles what is left, closes the books, forgets it. The last CPU reading is charged.
    pub fn finish(&mut self, now: Now, id: RunId, last: Finish, out: &mut Vec<Effect>) {
        self.end(id, Outcome::Done, out);
        let open: Vec<u64> = {
            let of_run = self.flights.iter().filter(|(_, f)| f.run == id && f.parent.is_none());
            let mut open: Vec<u64> = of_run.map(|(&number, _)| number).collect();
            open.sort_unstable();
            open
        };
        for number in open {
            if let Some(Callee::Kernel) = self.flights.get(&number).map(|flight| flight.callee) {
                out.push(Effect::CancelServed { id: number });
            }
            self.settle(now, number, Ending::Unheard, out);
        }
        let price = self.methods.cpu_ms;
        let Some(mut run) = self.runs.remove(&id) else { return };
        let digest = run.verified.digest;
        let Some(account) = self.accounts.get_mut(&digest) else { return };
        let ms = last.cpu_ms.saturating_sub(run.cpu_ms);
        if ms > 0 || run.lease.is_some() {
            let due = Gas(price.0.saturating_mul(ms));
            let leased = run.lease.take().map_or(Gas::ZERO, |lease| account.settle(lease, due));
            let spent = leased.saturating_add(account.spend(due.saturating_sub(leased)));
            out.push(Effect::Record(Entry::Cpu { run: id, ms, spent, left: account.free() }));
        }
        let spent = account.spent();
        out.push(Effect::Record(Entry::End {
            run: id,
            outcome: run.ending.unwrap_or(Outcome::Done),
            exit: last.exit,
            spent,
            took_ms: now.us.saturating_sub(run.started_us) / 1_000,
            detail: last.detail,
        }));
        let mut peers: Vec<PeerId> = run.tools.iter().filter_map(|(_, tool)| tool.peer).collect();
        peers.push(run.automation);
        for peer in peers {
            self.remove_peer(peer);
        }
        self.give_back(digest, out);
    }

    /// Returns a helper's unspent gas to the contract it was carved from, once no run and no use of it is left.
    fn give_back(&mut self, helper: Digest, out: &mut Vec<Effect>) {
        let is_over = self.accounts.get(&helper).is_some_and(|a| a.uses_left() == 0)
            && self.runs.values().all(|run| run.verified.digest != helper);
        if !is_over {
            return;
        }
        let Some((parent, reservation)) = self.carved.remove(&helper) else { return };
        let spent = match self.accounts.get_mut(&helper) {
            Some(account) => account.close(),
            None => Gas::ZERO,
        };
        if let Some(account) = self.accounts.get_mut(&parent) {
            account.settle(reservation, spent);
        }
        out.push(Effect::Record(Entry::Return { contract: parent, helper, spent }));
    }
}

/// What is known of a run once all of it is gone.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    /// CPU time of its whole life, in ms.
    pub cpu_ms: u64,
    /// Exit status; 128 + n for signal n.
    pub exit: Option<i32>,
    /// One sentence more.
    pub detail: String,
}
