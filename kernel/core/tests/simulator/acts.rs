//! What automations, tools, the kernel's own services, the operator, time and chance do to a relay. Most of it is what
//! honest ones do; the rest is what the threat model says they may do.

use crate::event::Event;
use crate::offers::{ASKINGS, OFFERS, Offer, helper, must};
use crate::wires::{Open, To};
use crate::world::World;
use pawang_core::digest::Digest;
use pawang_core::relay::{Answer, Fault, Finish, Inbound, Launch};
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_protocol::{DenialCode, Failure, Gas, Status};
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

/// What a tool does with a call it was given.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Stall,
    Answer,
    Stream,
    Fail,
    Refuse,
    GiveUp,
    Lie,
    Crash,
    NotStart,
    Nest,
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

    fn a_run(&mut self) -> Option<RunId> {
        let runs: Vec<RunId> = self.wires.runs.keys().copied().collect();
        self.rng.pick(&runs)
    }

    fn an_open_call(&mut self, is_meant: impl Fn(&Open) -> bool) -> Option<(u64, Open)> {
        let calls = self.wires.open.iter().filter(|(_, open)| is_meant(open));
        let numbers: Vec<u64> = calls.map(|(&number, _)| number).collect();
        let number = self.rng.pick(&numbers)?;
        Some((number, self.wires.open[&number].clone()))
    }

    fn automation_calls(&mut self) {
        let Some(run) = self.a_run() else { return self.run_begins() };
        let Some(from) = self.wires.runs[&run].automation else { return };
        if !self.wires.processes.get(&from).is_some_and(|process| process.is_alive) {
            return;
        }
        let is_good = !self.rng.once_in(6);
        let askings: Vec<_> =
            ASKINGS.iter().filter(|asking| asking.denied.is_none() == is_good).copied().collect();
        let asking = self.rng.pick(&askings).unwrap();
        let method = self.methods.id(asking.method).unwrap().0;
        let must = must(&asking, &self.offers[&run].verified.contract);
        self.call(from, 0, (method, asking.resource, must));
    }

    /// A call, often plain, sometimes greedy, malformed or a breach of the protocol.
    fn call(&mut self, from: PeerId, parent: u64, (method, resource, must): (u32, &str, Option<DenialCode>)) {
        let rng = &mut self.rng;
        let last = self.last_id.get(&from).copied().unwrap_or(0);
        let id = if rng.once_in(300) { last.saturating_sub(rng.below(3)) } else { last + 1 + rng.below(3) };
        let (has_secrets, lies) = (rng.once_in(500), parent == 0 && rng.once_in(100));
        let sent = rng.weighted(&[(70, 0), (20, rng.clone().below(5_000)), (9, 200_000), (1, u64::MAX)]);
        let gas_max = rng.weighted(&[(60, 0), (25, rng.clone().below(60)), (10, 5_000), (5, u64::MAX)]);
        let deadline_ms = rng.weighted(&[(60, 0), (30, 1_000), (5, 1), (5, u32::MAX)]);
        let (method, must) = match rng.once_in(200) {
            true => (9_999, Some(DenialCode::UnknownMethod)),
            false => (method, must),
        };
        let (parent, must) = match lies {
            // It says nothing of methods and resources that are refused before parents are looked at.
            true if !matches!(must, Some(DenialCode::UnknownMethod | DenialCode::MalformedResource)) => {
                (rng.below(50) + 1, Some(DenialCode::MalformedCall))
            }
            _ => (parent, must),
        };
        let is_fault = id <= last || has_secrets;
        if !is_fault {
            self.last_id.insert(from, id);
        }
        let resource = resource.to_owned();
        let inbound =
            Inbound { id, parent, method, deadline_ms, gas_max, resource: &resource, sent, has_secrets };
        let event = Event::Call {
            from,
            id,
            parent,
            method,
            resource: resource.clone(),
            deadline_ms,
            gas_max,
            sent,
            must,
            is_fault,
        };
        let outcome = self.happen(event, |relay, now, out| relay.call(now, from, &inbound, out));
        self.judge(from, outcome, is_fault);
    }

    /// What breaks the protocol is a fault, nothing else is, and a fault ends its process.
    fn judge(&mut self, from: PeerId, outcome: Result<(), Fault>, is_fault: bool) {
        assert!(self.dies_after.is_some() || outcome.is_err() == is_fault, "{outcome:?}, fault: {is_fault}");
        if let Err(fault) = outcome {
            self.happen(Event::Fault { peer: from }, |relay, now, out| relay.fault(now, from, &fault, out));
        }
    }

    fn tool_acts(&mut self) {
        let Some((number, open)) = self.an_open_call(|open| matches!(open.to, To::Tool(_))) else { return };
        let To::Tool(tool) = open.to else { return };
        let temper = self.temper;
        match self.rng.weighted(&[
            (temper.stall, Deed::Stall),
            (temper.answer, Deed::Answer),
            (25, Deed::Stream),
            (6, Deed::Fail),
            (2, Deed::Refuse),
            (4, Deed::GiveUp),
            (temper.lie, Deed::Lie),
            (temper.crash, Deed::Crash),
            (temper.crash, Deed::NotStart),
            (20, Deed::Nest),
        ]) {
            Deed::Stall => {}
            Deed::Answer => self.reply(tool, number, Status::Ok, false),
            Deed::Stream => self.reply(tool, number, Status::Ok, true),
            Deed::Fail => self.reply(tool, number, Status::Failed, false),
            Deed::Refuse => self.reply(tool, number, Status::Denied, false),
            Deed::GiveUp => self.reply(tool, number, Status::Cancelled, false),
            Deed::Lie => self.lying_reply(tool),
            Deed::Crash => self.gone(tool),
            Deed::NotStart => self.fails_to_start(tool),
            Deed::Nest => self.tool_calls(tool, number, &open),
        }
    }

    /// The exec tool makes its one nested call; sometimes it, or a tool that has none, tries another.
    fn tool_calls(&mut self, tool: PeerId, number: u64, open: &Open) {
        let of = |name| self.methods.id(name).unwrap();
        let (spawn, info, is_exec) = (of("kernel.spawn").0, of("run.info").0, open.method == of("exec.run"));
        let late = open.is_cancelled.then_some(DenialCode::MalformedCall);
        let unlisted = late.or(Some(DenialCode::MethodNotGranted));
        match self.rng.below(8) {
            0 => self.call(tool, number, (info, "", unlisted)),
            1 => {
                let others = self.an_open_call(|open| open.to != To::Tool(tool));
                let parent = others.map_or(77_777_777, |(other, _)| other);
                self.call(tool, parent, (spawn, "/usr/bin/git\0status", Some(DenialCode::MalformedCall)));
            }
            2 if is_exec => {
                let elsewhere = late.or(Some(DenialCode::ResourceNotGranted));
                self.call(tool, number, (spawn, "/usr/bin/git\0push", elsewhere));
            }
            _ if is_exec => self.call(tool, number, (spawn, &open.resource, late)),
            _ => self.call(tool, number, (spawn, "/usr/bin/git\0status", unlisted)),
        }
    }

    /// A reply to another's call, to one that is over, or to none (f53).
    fn lying_reply(&mut self, tool: PeerId) {
        let other = self.an_open_call(|open| open.to != To::Tool(tool)).map(|(number, _)| number);
        let over = self.books.highest_call().saturating_sub(self.rng.below(40));
        let number = match other {
            Some(number) if self.rng.once_in(2) => number,
            _ => self.rng.weighted(&[(3, over), (1, 0), (1, u64::MAX)]),
        };
        self.reply(tool, number, Status::Ok, false);
    }

    fn reply(&mut self, from: PeerId, id: u64, status: Status, more: bool) {
        let is_fault = self.wires.open.get(&id).is_none_or(|open| open.to != To::Tool(from));
        let (gas, received) = (self.declared(), self.content());
        let event = Event::Reply { id, gas, received, is_fault };
        let answer = Answer { id, status, more, gas: Gas(gas), received };
        let outcome = self.happen(event, |relay, now, out| relay.reply(now, from, answer, out));
        self.judge(from, outcome, is_fault);
    }

    fn declared(&mut self) -> u64 {
        let small = self.rng.below(50);
        self.rng.weighted(&[(900, 0), (80, small), (10, 3_000), (4, u64::MAX)])
    }

    fn content(&mut self) -> u64 {
        let some = self.rng.below(100_000);
        self.rng.weighted(&[(500, 0), (400, some), (90, 300_000), (1, u64::MAX)])
    }

    /// The kernel answers a call it serves; sometimes one that has ended meanwhile.
    fn kernel_serves(&mut self) {
        let served = self.an_open_call(|open| open.to == To::Kernel).map(|(number, _)| number);
        let number = match served {
            Some(number) if !self.rng.once_in(10) => number,
            _ => self.books.highest_call().saturating_sub(self.rng.below(20)),
        };
        if self.wires.open.get(&number).is_some_and(|open| open.to != To::Kernel) {
            return;
        }
        let (more, received) = (self.rng.once_in(2), self.content());
        let answer = Answer { id: number, status: Status::Ok, more, gas: Gas::ZERO, received };
        let event = Event::Served { id: number, gas: 0, received };
        self.happen(event, |relay, now, out| relay.served(now, answer, out));
    }

    fn caller_cancels(&mut self) {
        let Some((_, open)) = self.an_open_call(|_| true) else { return };
        let id = if self.rng.once_in(5) { open.caller_id + 1 } else { open.caller_id };
        let event = Event::Other;
        self.happen(event, |relay, now, out| relay.cancel(now, open.caller, id, out));
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

    fn run_begins(&mut self) {
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
        let process = crate::wires::Process { run, tool: None, is_alive: true };
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

    fn gone(&mut self, peer: PeerId) {
        self.happen(Event::Gone { peer }, |relay, now, out| relay.peer_gone(now, peer, out));
    }

    fn fails_to_start(&mut self, peer: PeerId) {
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
        for account in self.relay.accounts().values() {
            let left = account.granted().0 - account.spent().0;
            assert!(account.reserved().0 <= left, "{account:?}");
        }
        assert!(self.relay.live().calls.is_empty() && self.relay.live().leases.is_empty());
    }
}
