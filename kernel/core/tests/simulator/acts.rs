//! What happens to a relay: which act is next, and what the operator, time and fate do. What is said on the channels is
//! in `talk.rs`.

use crate::event::Event;
use crate::offers::{OFFERS, Offer, helper};
use crate::world::World;
use pawang_core::digest::Digest;
use pawang_core::relay::{Finish, Launch};
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_protocol::Failure;
use std::sync::Arc;

/// Most runs at a time, and most calls in flight: enough to meet, few enough to step fast.
const RUNS_MAX: usize = 6;
const OPEN_MAX: usize = 40;

#[derive(Debug, Clone, Copy)]
enum Act {
    Call,
    Reply,
    Serve,
    Cancel,
    Time,
    Cpu,
    Begin,
    Help,
    Conclude,
    Vanish,
    Stop,
    Revoke,
    Vault,
    Warm,
    Rotate,
    Restart,
    Die,
}

/// How often each happens, where fate does not step in.
const ACTS: &[(u64, Act)] = &[
    (300, Act::Call),
    (400, Act::Reply),
    (80, Act::Serve),
    (30, Act::Cancel),
    (80, Act::Time),
    (40, Act::Cpu),
    (40, Act::Begin),
    (15, Act::Help),
    (80, Act::Conclude),
    (2, Act::Vault),
    (2, Act::Warm),
    (4, Act::Rotate),
];

/// How often fate does, in a life of middling fate.
const FATES: &[(u64, Act)] =
    &[(4, Act::Vanish), (3, Act::Stop), (1, Act::Revoke), (1, Act::Restart), (2, Act::Die)];

impl World {
    /// Something happens.
    pub fn turn(&mut self) {
        self.step += 1;
        self.now.us += self.rng.below(3_000);
        self.now.unix_s = crate::kit::NOW + self.now.us / 1_000_000;
        match self.an_act() {
            Act::Rotate => {
                let forgets = self.rng.once_in(2);
                self.rotate(forgets);
            }
            Act::Restart => self.restart(),
            Act::Die => {
                self.dies_after = Some(self.rng.below(4));
                let act = self.an_act();
                self.act(act);
                self.restart();
            }
            act => self.act(act),
        }
    }

    fn an_act(&mut self) -> Act {
        match self.rng.below(1_000) < 8 * self.temper.fate {
            true => self.rng.weighted(FATES),
            false => self.rng.weighted(ACTS),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Call if self.wires.open.len() < OPEN_MAX => self.automation_calls(),
            Act::Call | Act::Reply => self.tool_acts(),
            Act::Serve => self.kernel_serves(),
            Act::Cancel => self.caller_cancels(),
            Act::Time => self.time_passes(),
            Act::Cpu => self.cpu_is_read(),
            Act::Begin => self.run_begins(),
            Act::Help => self.helper_begins(),
            Act::Conclude => self.run_concludes(),
            Act::Vanish => self.process_vanishes(),
            Act::Stop => self.operator_stops(),
            Act::Revoke => self.operator_revokes(),
            Act::Vault => self.vault_changes(),
            Act::Warm => self.tool_is_warmed(),
            Act::Rotate | Act::Restart | Act::Die => {}
        }
    }

    pub fn a_run(&mut self) -> Option<RunId> {
        let runs: Vec<RunId> = self.wires.runs.keys().copied().collect();
        self.rng.pick(&runs)
    }

    fn time_passes(&mut self) {
        let until = self.relay.next_deadline_us().map_or(0, |at| at.saturating_sub(self.now.us));
        let jump =
            self.rng.weighted(&[(40, 0), (20, until), (10, until + 1), (6, 2_500_000), (1, 4_000_000_000)]);
        self.now.us += jump;
        self.now.unix_s = crate::kit::NOW + self.now.us / 1_000_000;
        self.happen(Event::Tick, |relay, now, out| relay.tick(now, out));
    }

    fn cpu_is_read(&mut self) {
        let Some(run) = self.a_run() else { return };
        let used = self.wires.runs[&run].cpu_ms;
        let more = self.rng.weighted(&[(30, 0), (30, 1), (30, 30), (5, 700), (1, 100_000)]);
        let total = if self.rng.once_in(20) { used.saturating_sub(5) } else { used + more };
        let event = Event::Other;
        self.happen(event, |relay, _, out| relay.cpu(run, total, 2, out));
    }

    pub fn run_begins(&mut self) {
        if self.wires.runs.len() < RUNS_MAX {
            let offer = self.rng.pick(&OFFERS).unwrap();
            self.begin(offer, None);
        }
    }

    fn helper_begins(&mut self) {
        let Some(parent) = self.a_run().filter(|_| self.wires.runs.len() < RUNS_MAX + 3) else { return };
        let own = self.offers[&parent].verified.clone();
        if let Some(offer) = helper(&mut self.rng, &own, self.now.unix_s) {
            self.begin(offer, Some(parent));
        }
    }

    /// Admits and starts, as the daemon does: a contract that has expired never gets so far.
    fn begin(&mut self, offer: Offer, parent: Option<RunId>) {
        if self.now.unix_s >= offer.verified.contract.not_after {
            return;
        }
        self.books.note(&offer.verified);
        let run = RunId(self.next_run);
        self.next_run += 1;
        let launch = Launch { run, parent, program: vec!["x".to_owned()], walls: String::new(), unix_ms: 0 };
        let Offer { verified, policy } = offer.clone();
        let started = self.happen(Event::Other, |relay, now, out| {
            relay.admit(&verified, out)?;
            relay.start(now, verified, Arc::clone(&policy), launch, out)
        });
        let Ok(automation) = started else { return };
        let process = crate::outside::Process { run, tool: None, is_alive: true };
        let twin = self.wires.processes.insert(automation, process);
        assert!(twin.is_none() || self.dies_after.is_some(), "INV-1 a peer id is used twice");
        self.offers.insert(run, offer);
        if let Some(life) = self.wires.runs.get_mut(&run) {
            life.automation = Some(automation);
        }
    }

    /// Of a run that is ending, one process after the other goes; then its books are closed.
    fn run_concludes(&mut self) {
        let ending: Vec<RunId> =
            self.wires.runs.iter().filter(|(_, life)| life.is_ending).map(|(&run, _)| run).collect();
        let run = match self.rng.pick(&ending) {
            Some(run) => run,
            None => return,
        };
        let mut left: Vec<PeerId> = self
            .wires
            .processes
            .iter()
            .filter(|(_, p)| p.run == run && p.is_alive)
            .map(|(&peer, _)| peer)
            .collect();
        left.sort_unstable();
        match self.rng.pick(&left) {
            Some(peer) if self.rng.once_in(2) => self.gone(peer),
            _ => self.finish(run),
        }
    }

    fn finish(&mut self, run: RunId) {
        let cpu_ms = self.wires.runs[&run].cpu_ms + self.rng.below(40);
        let last = Finish { cpu_ms, exit: Some(0), detail: String::new() };
        self.happen(Event::Other, |relay, now, out| relay.finish(now, run, last, out));
    }

    fn process_vanishes(&mut self) {
        let mut left: Vec<PeerId> =
            self.wires.processes.iter().filter(|(_, p)| p.is_alive).map(|(&peer, _)| peer).collect();
        left.sort_unstable();
        if let Some(peer) = self.rng.pick(&left) {
            self.gone(peer);
        }
    }

    pub fn gone(&mut self, peer: PeerId) {
        self.happen(Event::Gone { peer }, |relay, now, out| relay.peer_gone(now, peer, out));
    }

    pub fn fails_to_start(&mut self, peer: PeerId) {
        let failure = Failure::new("no_walls", "it could not be confined");
        self.happen(Event::Gone { peer }, |relay, now, out| relay.tool_failed(now, peer, &failure, out));
    }

    fn operator_stops(&mut self) {
        let Some(run) = self.a_run() else { return };
        let outcome = self.rng.weighted(&[(3, Outcome::Done), (1, Outcome::Stopped), (1, Outcome::TimedOut)]);
        self.happen(Event::Other, |relay, _, out| relay.end(run, outcome, out));
    }

    fn operator_revokes(&mut self) {
        let known = self.books.contracts();
        let unknown = Digest::of(&self.rng.next().to_le_bytes());
        let contract = self.rng.pick(&known).filter(|_| !self.rng.once_in(5)).unwrap_or(unknown);
        self.happen(Event::Other, |relay, _, out| relay.revoke(contract, out));
    }

    fn vault_changes(&mut self) {
        let is_open = self.rng.once_in(2);
        self.relay.set_secrets(is_open.then(|| "K".to_owned()).into_iter().collect());
    }

    fn tool_is_warmed(&mut self) {
        let Some(run) = self.a_run() else { return };
        self.happen(Event::Other, |relay, _, out| relay.warm(run, "fs", out));
    }

    /// All that hangs is let go, until nothing is alive: every call gets its answer, and the gas is all accounted for.
    pub fn wind_up(&mut self) {
        while !self.wires.open.is_empty() {
            self.step += 1;
            self.now.us = self.relay.next_deadline_us().expect("f51 a call in flight has a deadline");
            self.happen(Event::Tick, |relay, now, out| relay.tick(now, out));
        }
        for run in self.wires.runs.keys().copied().collect::<Vec<_>>() {
            self.finish(run);
        }
        let live = self.relay.live();
        assert!(live.calls.is_empty() && live.leases.is_empty(), "f65 set aside for nobody: {live:?}");
        for helper in live.carved.keys() {
            let account = self.relay.account(helper).unwrap();
            let is_over = account.uses_left() == 0 && account.reserved().0 == 0;
            assert!(!is_over, "f65 what a helper left is not given back: {account:?}");
        }
    }
}
