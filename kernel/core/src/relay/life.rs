//! Runs and their processes: start, faults, crashes, the end.

use super::cpu::CPU_CHECK_MIN_MS;
use super::effect::Effect;
use super::flight::{Callee, Why};
use super::reply::Ending;
use super::{CRASHES_MAX, Fault, Now, PeerId, Relay, Run, RunId, Tool};
use crate::contract::Verified;
use crate::digest::Digest;
use crate::permit::Policy;
use crate::record::Entry;
use crate::run::Outcome;
use pawang_protocol::{Failure, Gas};
use std::sync::Arc;

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

impl Relay {
    /// Begins a run under an admitted contract: takes one use, sets CPU gas aside, names the automation's peer.
    ///
    /// # Errors
    /// [`Failure`] where no use or no gas is left, or the run it is to help is ending. A contract that was minted for
    /// this start alone then gives its gas back.
    pub fn start(
        &mut self,
        now: Now,
        verified: Verified,
        policy: Arc<Policy>,
        launch: Launch,
        out: &mut Vec<Effect>,
    ) -> Result<PeerId, Failure> {
        let digest = verified.digest;
        if let Err(failure) = self.take_use(digest, &launch) {
            if launch.parent.is_some() {
                self.give_back(digest, out);
            }
            return Err(failure);
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

    fn take_use(&mut self, contract: Digest, launch: &Launch) -> Result<(), Failure> {
        if self.runs.contains_key(&launch.run) {
            return Err(Failure::new("run_exists", format!("a run {} is alive", launch.run)).retryable());
        }
        if launch.parent.is_some_and(|parent| !self.is_alive(parent)) {
            return Err(Failure::new("parent_ended", "the run that asked for a helper is ending"));
        }
        let Some(account) = self.accounts.get_mut(&contract) else {
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
        Ok(())
    }

    /// A peer broke the protocol: its process is stopped, and the record says whose fault it was.
    pub fn fault(&mut self, now: Now, from: PeerId, fault: &Fault, out: &mut Vec<Effect>) {
        let Some((run, tool)) = self.whose(from) else { return };
        if tool.is_none() && !self.is_alive(run) {
            // It is being killed already; that it goes on misbehaving is not worth a record each time.
            return;
        }
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
        let Some((_, tool)) = self.whose(id) else { return };
        let plugin = tool.unwrap_or("automation");
        let failure =
            Failure::new("tool_crashed", format!("the {plugin} tool ended in the middle of the call"))
                .hint("try again: the tool is started anew")
                .retryable();
        self.tool_failed(now, id, &failure, out);
    }

    /// The same for a tool that could not even be started: what waits for it fails with the reason.
    pub fn tool_failed(&mut self, now: Now, id: PeerId, failure: &Failure, out: &mut Vec<Effect>) {
        let Some(peer) = self.remove_peer(id) else { return };
        for (_, number) in peer.calls {
            self.cancel_flight(now, number, Why::Stopped, out);
        }
        if let Some(plugin) = peer.tool
            && let Some(run) = self.runs.get_mut(&peer.run)
            && let Some(tool) = run.tool(plugin)
        {
            run.set_tool(plugin, Tool { peer: None, crashes: tool.crashes.saturating_add(1) });
        }
        let served = self.flights.iter().filter(|(_, flight)| flight.callee == Callee::Peer(id));
        let mut served: Vec<u64> = served.map(|(&number, _)| number).collect();
        served.sort_unstable();
        for number in served {
            self.settle(now, number, Ending::Failed(failure.clone()), out);
        }
    }

    /// Starts a tool of a run before its first call.
    pub fn warm(&mut self, id: RunId, plugin: &'static str, out: &mut Vec<Effect>) {
        if self.is_alive(id) && !self.is_broken(id, plugin) {
            self.tool(id, plugin, out);
        }
    }

    /// Whether a tool of a run has crashed too often to be started again.
    pub(super) fn is_broken(&self, id: RunId, plugin: &str) -> bool {
        let tool = self.runs.get(&id).and_then(|run| run.tool(plugin));
        tool.is_some_and(|tool| tool.peer.is_none() && tool.crashes >= CRASHES_MAX)
    }

    /// Decides that a run ends, and with it the helpers it started. From here on their messages are ignored and no reply
    /// reaches them.
    pub fn end(&mut self, id: RunId, outcome: Outcome, out: &mut Vec<Effect>) {
        let mut ending = vec![(id, outcome)];
        while let Some((id, outcome)) = ending.pop() {
            let Some(run) = self.runs.get_mut(&id).filter(|run| run.ending.is_none()) else { continue };
            run.ending = Some(outcome);
            out.push(Effect::EndRun { run: id, outcome });
            let of_helpers = if outcome == Outcome::Revoked { Outcome::Revoked } else { Outcome::Stopped };
            let helpers = self.runs.iter().filter(|(_, run)| run.parent == Some(id));
            let mut helpers: Vec<_> = helpers.map(|(&helper, _)| (helper, of_helpers)).collect();
            helpers.sort_unstable_by_key(|&(helper, _)| helper);
            ending.extend(helpers);
        }
    }

    /// Revokes a contract and everything cut from it; what runs under them ends. Returns the runs it ended.
    pub fn revoke(&mut self, contract: Digest, out: &mut Vec<Effect>) -> Vec<RunId> {
        if self.revoked.insert(contract) {
            out.push(Effect::Record(Entry::Revoke { contract }));
        }
        let under = |run: &Run| run.verified.digest == contract || run.verified.chain.contains(&contract);
        let hit = self.runs.iter().filter(|(_, run)| run.ending.is_none() && under(run));
        let mut hit: Vec<RunId> = hit.map(|(&id, _)| id).collect();
        hit.sort_unstable();
        for id in &hit {
            self.end(*id, Outcome::Revoked, out);
        }
        self.give_back_all(|relay, helper| relay.is_under(helper, |digest| *digest == contract), out);
        hit
    }

    /// Everything of a run is gone: settles what is left, closes the books, forgets it. The last CPU reading is charged.
    pub fn finish(&mut self, now: Now, id: RunId, last: Finish, out: &mut Vec<Effect>) {
        self.end(id, Outcome::Done, out);
        let open = self.flights.iter().filter(|(_, flight)| flight.run == id && flight.parent.is_none());
        let mut open: Vec<u64> = open.map(|(&number, _)| number).collect();
        open.sort_unstable();
        for number in open {
            self.stop_serving(number, out);
            self.settle(now, number, Ending::WithRun, out);
        }
        let has_cpu = self.runs.get(&id).is_some_and(|run| last.cpu_ms > run.cpu_ms || run.lease.is_some());
        if has_cpu {
            self.charge_cpu(id, last.cpu_ms, out);
        }
        let Some(run) = self.runs.remove(&id) else { return };
        let contract = run.verified.digest;
        out.push(Effect::Record(Entry::End {
            run: id,
            outcome: run.ending.unwrap_or(Outcome::Done),
            exit: last.exit,
            spent: self.accounts.get(&contract).map_or(Gas::ZERO, |account| account.spent()),
            took_ms: now.us.saturating_sub(run.started_us) / 1_000,
            detail: last.detail,
        }));
        let mut peers: Vec<PeerId> = run.tools.iter().filter_map(|(_, tool)| tool.peer).collect();
        peers.push(run.automation);
        for peer in peers {
            self.remove_peer(peer);
        }
        if self.is_over(&contract) {
            self.give_back(contract, out);
        }
    }
}

impl Run {
    pub(super) fn tool(&self, plugin: &str) -> Option<Tool> {
        self.tools.iter().find(|(name, _)| *name == plugin).map(|(_, tool)| *tool)
    }

    pub(super) fn set_tool(&mut self, plugin: &'static str, tool: Tool) {
        match self.tools.iter_mut().find(|(name, _)| *name == plugin) {
            Some((_, slot)) => *slot = tool,
            None => self.tools.push((plugin, tool)),
        }
    }
}
