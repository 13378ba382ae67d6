//! What is said on the channels: calls of automations, replies and calls of tools, answers of the kernel itself. Most of it
//! is what honest ones say; the rest is what the threat model says they may.

use crate::event::Event;
use crate::offers::{ASKINGS, must};
use crate::outside::{Open, To};
use crate::world::World;
use pawang_core::relay::{Answer, Fault, Inbound};
use pawang_core::run::PeerId;
use pawang_protocol::{DenialCode, Gas, Status};

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

impl World {
    pub fn automation_calls(&mut self) {
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

    pub fn tool_acts(&mut self) {
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
    pub fn kernel_serves(&mut self) {
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

    pub fn caller_cancels(&mut self) {
        let Some((_, open)) = self.an_open_call(|_| true) else { return };
        let id = if self.rng.once_in(5) { open.caller_id + 1 } else { open.caller_id };
        let event = Event::Other;
        self.happen(event, |relay, now, out| relay.cancel(now, open.caller, id, out));
    }

    fn an_open_call(&mut self, is_meant: impl Fn(&Open) -> bool) -> Option<(u64, Open)> {
        let calls = self.wires.open.iter().filter(|(_, open)| is_meant(open));
        let numbers: Vec<u64> = calls.map(|(&number, _)| number).collect();
        let number = self.rng.pick(&numbers)?;
        Some((number, self.wires.open[&number].clone()))
    }
}
