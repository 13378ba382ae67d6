//! What the world outside the relay sees: processes, and the messages to and from them. Every effect is held against what
//! was asked before; none is taken on trust.

use crate::event::Event;
use pawang_core::method::{MethodId, Methods};
use pawang_core::record::Entry;
use pawang_core::relay::{Body, CANCEL_GRACE_MS, CRASHES_MAX, Effect};
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_protocol::{DenialCode, Gas, Status};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

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
    gas_max: u64,
    moved: u64,
    declared: u64,
    nested: u64,
    reserved: u64,
    /// The next tick after this must do something about it, µs.
    due_us: u64,
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
struct Settled {
    call: u64,
    open: Open,
    cost: u64,
    spent: u64,
}

/// Everything outside.
#[derive(Debug)]
pub struct Wires {
    methods: Arc<Methods>,
    pub processes: HashMap<PeerId, Process>,
    pub runs: BTreeMap<RunId, Life>,
    pub open: BTreeMap<u64, Open>,
    /// What was asked and not finally answered: caller, its id.
    asked: BTreeSet<(PeerId, u64)>,
    crashes: HashMap<(RunId, &'static str), u32>,
}

impl Wires {
    pub fn new(methods: Arc<Methods>) -> Self {
        Self {
            methods,
            processes: HashMap::new(),
            runs: BTreeMap::new(),
            open: BTreeMap::new(),
            asked: BTreeSet::new(),
            crashes: HashMap::new(),
        }
    }

    pub fn is_alive(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|life| !life.is_ending)
    }

    /// A process is gone.
    pub fn kill(&mut self, peer: PeerId) {
        if let Some(process) = self.processes.get_mut(&peer).filter(|process| process.is_alive) {
            process.is_alive = false;
            if let Some(tool) = process.tool {
                *self.crashes.entry((process.run, tool)).or_default() += 1;
            }
        }
        self.asked.retain(|(caller, _)| *caller != peer);
    }

    pub fn hears(&self, peer: PeerId) -> bool {
        self.processes.get(&peer).is_some_and(|process| process.is_alive && self.is_alive(process.run))
    }

    /// Before the effects: what came in.
    pub fn event(&mut self, event: &Event) {
        match *event {
            Event::Call { from, id, is_fault, .. } if !is_fault && self.hears(from) => {
                assert!(self.asked.insert((from, id)), "the simulator itself used an id twice");
            }
            Event::Reply { id, gas, received, is_fault: false, .. }
            | Event::Served { id, gas, received, .. } => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.moved = open.moved.saturating_add(received);
                    open.declared = open.declared.saturating_add(gas);
                }
            }
            Event::Gone { peer } => self.kill(peer),
            _ => {}
        }
    }

    /// Holds the effects of an event against everything known.
    pub fn effects(&mut self, event: &Event, effects: &[Effect], now_us: u64) {
        let mut settled = Vec::new();
        let mut recorded = BTreeSet::new();
        if let Event::Call { from, .. } = *event
            && !self.hears(from)
        {
            assert!(effects.is_empty(), "a call of a dying run has effects");
        }
        for (at, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Record(entry) => {
                    self.record(event, entry, now_us, &mut recorded, &mut settled, &effects[at..]);
                }
                Effect::Forward { to, id, method, resource, .. } => {
                    assert!(recorded.remove(id), "INV-2 forwarded before its record");
                    assert!(self.hears(*to), "forwarded to a process that is gone or ending");
                    let (process, open) = (self.processes[to], self.open.get_mut(id).unwrap());
                    let name = self.methods.get(*method).unwrap().name.clone();
                    assert_eq!(
                        (process.run, process.tool),
                        (open.run, Some(name.plugin())),
                        "f53 wrong tool"
                    );
                    assert_eq!(*resource, open.resource, "INV-4 another resource");
                    open.to = To::Tool(*to);
                }
                Effect::Serve { run, id, resource, .. } => {
                    assert!(recorded.remove(id), "INV-2 served before its record");
                    assert!(self.is_alive(*run), "served for a run that is ending");
                    let open = self.open.get_mut(id).unwrap();
                    assert_eq!(
                        (*resource == open.resource, open.run),
                        (true, *run),
                        "INV-4 another resource"
                    );
                    open.to = To::Kernel;
                }
                Effect::Answer { to, id, status, more, gas, body, .. } => {
                    assert!(self.hears(*to), "an answer to a process that is gone or ending");
                    assert!(self.asked.contains(&(*to, *id)), "an answer nobody asked for, or a second one");
                    if *body == Body::Forwarded {
                        self.passed_on(event, (*to, *id), &settled);
                    }
                    if *more {
                        assert_eq!((*status, *gas), (Status::Ok, Gas::ZERO));
                    } else {
                        self.asked.remove(&(*to, *id));
                        let of = settled.iter().find(|s| (s.open.caller, s.open.caller_id) == (*to, *id));
                        assert!(of.is_none_or(|of| of.spent == gas.0), "charged one thing and said another");
                    }
                }
                Effect::Cancel { to, id, .. } => self.cancelled(*id, To::Tool(*to), now_us),
                Effect::CancelServed { id } => self.cancelled(*id, To::Kernel, now_us),
                Effect::StartTool { run, peer, plugin, .. } => {
                    assert!(self.is_alive(*run), "a tool starts for a run that is ending");
                    let twin = self
                        .processes
                        .values()
                        .find(|p| p.is_alive && (p.run, p.tool) == (*run, Some(plugin)));
                    assert!(twin.is_none(), "INV-7 two tools of one kind in a run");
                    let crashes = self.crashes.get(&(*run, *plugin)).copied().unwrap_or(0);
                    assert!(crashes < CRASHES_MAX, "a broken tool starts again");
                    let process = Process { run: *run, tool: Some(plugin), is_alive: true };
                    assert!(self.processes.insert(*peer, process).is_none(), "INV-1 a peer id is used twice");
                }
                Effect::Kill { peer } => {
                    assert!(self.processes[peer].is_alive && self.processes[peer].tool.is_some());
                    self.kill(*peer);
                }
                Effect::EndRun { run, .. } => {
                    let life = self.runs.get_mut(run).expect("the end of a run that is not there");
                    assert!(!life.is_ending, "a run ends twice");
                    life.is_ending = true;
                }
                Effect::CheckCpu { run, .. } => assert!(self.is_alive(*run)),
            }
        }
        self.after(event, &recorded, &settled, now_us);
    }

    fn record(
        &mut self,
        event: &Event,
        entry: &Entry,
        now_us: u64,
        recorded: &mut BTreeSet<u64>,
        settled: &mut Vec<Settled>,
        rest: &[Effect],
    ) {
        let ends_out_of_gas = |run: RunId| {
            rest.iter()
                .any(|e| matches!(e, Effect::EndRun { run: r, outcome: Outcome::OutOfGas } if *r == run))
        };
        match entry {
            Entry::Start { run, parent, .. } => {
                let life = Life { parent: *parent, automation: None, is_ending: false, cpu_ms: 0 };
                assert!(
                    parent.is_none_or(|parent| self.is_alive(parent)),
                    "a helper of a run that is ending"
                );
                self.runs.insert(*run, life);
            }
            Entry::Call { run, call, parent, reserved, .. } => {
                let open = self.opened(event, *run, *parent, reserved.0, now_us);
                self.open.insert(*call, open);
                recorded.insert(*call);
            }
            Entry::Extend { call, more, .. } => {
                let open = self.open.get_mut(call).unwrap();
                open.reserved += more.0;
                assert!(open.gas_max == 0 || open.reserved <= open.gas_max, "more set aside than gas_max");
            }
            Entry::Settle { call, spent, .. } => {
                let cost = self.cost(*call);
                let open = self.open.remove(call).unwrap();
                let most = if open.parent.is_some() { u64::MAX } else { open.reserved };
                assert_eq!(spent.0, cost.min(most), "f69 a call settles for what it cost");
                assert!(
                    self.open.values().all(|o| o.parent != Some(*call)),
                    "settled before what is nested in it"
                );
                if let Some(parent) = open.parent.and_then(|parent| self.open.get_mut(&parent)) {
                    parent.nested = parent.nested.saturating_add(cost);
                }
                recorded.remove(call);
                settled.push(Settled { call: *call, open, cost, spent: spent.0 });
            }
            Entry::Deny { run, spent, denial, .. } => {
                self.denied(event, *run, denial.code);
                let is_short = *spent < self.methods.denial;
                assert!(!is_short || denial.gas_left == Gas::ZERO, "f73 a denial is free");
                let is_out = denial.code == DenialCode::OutOfGas || is_short;
                assert!(!is_out || ends_out_of_gas(*run), "out of gas, and it goes on");
            }
            Entry::Cpu { run, ms, spent, .. } => {
                let life = self.runs.get_mut(run).unwrap();
                life.cpu_ms += ms;
                let due = self.methods.cpu_ms.0 * ms;
                assert!(spent.0 <= due, "CPU time charged beyond what was used");
                assert!(spent.0 == due || life.is_ending || ends_out_of_gas(*run), "f71 unpaid CPU time");
            }
            Entry::End { run, .. } => {
                assert!(self.runs.remove(run).is_some_and(|life| life.is_ending), "INV-6");
                self.processes.values_mut().filter(|p| p.run == *run).for_each(|p| p.is_alive = false);
            }
            _ => {}
        }
    }

    fn opened(&self, event: &Event, run: RunId, parent: Option<u64>, reserved: u64, now_us: u64) -> Open {
        let Event::Call { from, id, method, ref resource, deadline_ms, gas_max, sent, must, .. } = *event
        else {
            panic!("a call is recorded that nobody made");
        };
        assert!(self.is_alive(run), "a call is accepted for a run that is ending");
        assert_eq!(must, None, "a call is accepted that the rules refuse");
        assert_eq!(
            parent.unwrap_or(0),
            match *event {
                Event::Call { parent, .. } => parent,
                _ => 0,
            }
        );
        assert!(gas_max == 0 || reserved <= gas_max, "more set aside than gas_max");
        let row = self.methods.get(MethodId(method)).unwrap();
        let wait_ms =
            if deadline_ms == 0 { row.deadline_ms } else { row.deadline_ms.min(deadline_ms.into()) };
        Open {
            run,
            caller: from,
            caller_id: id,
            method: MethodId(method),
            resource: resource.clone(),
            parent,
            to: To::Nobody,
            is_cancelled: false,
            gas_max,
            moved: sent,
            declared: 0,
            nested: 0,
            reserved,
            due_us: now_us + wait_ms * 1_000,
        }
    }

    /// A denial says what it must, unless something that is asked earlier, or gas, came before.
    fn denied(&self, event: &Event, run: RunId, code: DenialCode) {
        use DenialCode::{
            CallsUsedUp, CeilingReached, Expired, OutOfGas, ReservationUsedUp, SecretRefused, TooManyInFlight,
        };
        let Event::Call { must, .. } = event else { panic!("a denial of nothing") };
        assert!(self.is_alive(run), "a denial for a run that is ending");
        let always = [Expired, TooManyInFlight];
        let else_allowed = [OutOfGas, CeilingReached, ReservationUsedUp, CallsUsedUp, SecretRefused];
        match must {
            Some(must) => assert!(code == *must || always.contains(&code), "denied {code}, not {must}"),
            None => assert!(always.contains(&code) || else_allowed.contains(&code), "denied {code}"),
        }
    }

    /// Content reaches whoever asked for it, and only if it is paid for (f53).
    fn passed_on(&self, event: &Event, to: (PeerId, u64), settled: &[Settled]) {
        let (Event::Reply { id, .. } | Event::Served { id, .. }) = *event else {
            panic!("f53 content passed on without a reply");
        };
        let done = settled.iter().find(|settled| settled.call == id);
        let open =
            done.map(|done| &done.open).or_else(|| self.open.get(&id)).expect("f53 content of no call");
        assert_eq!((open.caller, open.caller_id), to, "f53 content reaches another caller");
        assert!(!open.is_cancelled, "content of a cancelled call");
        let (cost, reserved) = match (done, open.parent) {
            (Some(done), None) => (done.cost, done.open.reserved),
            (_, parent) => {
                let payer = self.payer(parent.unwrap_or(id));
                (self.cost(payer), self.open[&payer].reserved)
            }
        };
        assert!(cost <= reserved, "f75 content passed on that costs {cost}, with {reserved} set aside");
    }

    fn cancelled(&mut self, id: u64, to: To, now_us: u64) {
        let open = self.open.get_mut(&id).expect("a cancel of a call that is not open");
        assert_eq!(open.to, to, "f53 a cancel to another callee");
        assert!(!open.is_cancelled, "a call is cancelled twice");
        open.is_cancelled = true;
        open.due_us = now_us + CANCEL_GRACE_MS * 1_000;
    }

    /// After all effects: what should have happened did.
    fn after(&self, event: &Event, recorded: &BTreeSet<u64>, settled: &[Settled], now_us: u64) {
        assert!(recorded.is_empty(), "recorded and not relayed: {recorded:?}");
        for done in settled {
            let ask = (done.open.caller, done.open.caller_id);
            let is_heard = self.hears(done.open.caller);
            assert!(!is_heard || !self.asked.contains(&ask), "call {} settled without an answer", done.call);
        }
        match *event {
            Event::Tick => {
                let late = self.open.iter().find(|(_, open)| open.due_us <= now_us);
                assert!(late.is_none(), "f51 a call waits for ever: {late:?}");
            }
            Event::Gone { peer } | Event::Fault { peer } if !self.processes[&peer].is_alive => {
                let left = self.open.values().find(|o| o.caller == peer && !o.is_cancelled);
                assert!(left.is_none(), "the caller is gone and its call goes on: {left:?}");
                assert!(self.open.values().all(|o| o.to != To::Tool(peer)), "its callee is gone");
            }
            Event::Call { from, id, is_fault: false, .. } if self.hears(from) => {
                let is_open = self.open.values().any(|o| (o.caller, o.caller_id) == (from, id));
                assert_eq!(
                    is_open,
                    self.asked.contains(&(from, id)),
                    "a call is neither relayed nor answered"
                );
            }
            Event::Reply { id, .. } | Event::Served { id, .. } => self.is_covered(id),
            _ => {}
        }
        for life in self.runs.values().filter(|life| !life.is_ending) {
            assert!(life.parent.is_none_or(|parent| self.is_alive(parent)), "a helper outlives its run");
        }
    }

    /// What goes on is paid for.
    fn is_covered(&self, id: u64) {
        if !self.open.contains_key(&id) {
            return;
        }
        let payer = self.payer(id);
        let open = &self.open[&payer];
        if self.is_alive(open.run) && !open.is_cancelled {
            assert!(self.cost(payer) <= open.reserved, "f71 a call goes on that is not paid for");
        }
    }

    fn payer(&self, id: u64) -> u64 {
        self.open[&id].parent.map_or(id, |parent| self.payer(parent))
    }

    /// What a call and those nested in it cost so far.
    fn cost(&self, id: u64) -> u64 {
        let open = &self.open[&id];
        let nested = self.open.iter().filter(|(_, nested)| nested.parent == Some(id));
        let live = nested.fold(0u64, |sum, (nested, _)| sum.saturating_add(self.cost(*nested)));
        let own = self.methods.get(open.method).unwrap().price.of(open.moved).0;
        own.saturating_add(open.declared).saturating_add(open.nested).saturating_add(live)
    }
}
