//! What the world outside the relay sees: processes, and the messages to and from them. Every effect is held against what
//! was asked before; none is taken on trust.

use crate::event::Event;
use crate::outside::{Life, Open, Process, Settled, To};
use pawang_core::method::{MethodId, Methods};
use pawang_core::relay::{Body, CANCEL_GRACE_MS, CRASHES_MAX, Effect};
use pawang_core::run::{PeerId, RunId};
use pawang_protocol::{Gas, Status};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Everything outside.
#[derive(Debug)]
pub struct Wires {
    pub methods: Arc<Methods>,
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
                    self.forwarded(*to, *id, *method, resource);
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
                Effect::Answer { .. } => self.answered(event, effect, &settled),
                Effect::Cancel { to, id, .. } => self.cancelled(*id, To::Tool(*to), now_us),
                Effect::CancelServed { id } => self.cancelled(*id, To::Kernel, now_us),
                Effect::StartTool { run, peer, plugin, .. } => self.tool_starts(*run, *peer, plugin),
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

    fn forwarded(&mut self, to: PeerId, id: u64, method: MethodId, resource: &str) {
        assert!(self.hears(to), "forwarded to a process that is gone or ending");
        let (process, open) = (self.processes[&to], self.open.get_mut(&id).unwrap());
        let name = self.methods.get(method).unwrap().name.clone();
        assert_eq!((process.run, process.tool), (open.run, Some(name.plugin())), "f53 wrong tool");
        assert_eq!(resource, open.resource, "INV-4 another resource");
        open.to = To::Tool(to);
    }

    fn answered(&mut self, event: &Event, effect: &Effect, settled: &[Settled]) {
        let Effect::Answer { to, id, status, more, gas, body, .. } = effect else { return };
        let ask = (*to, *id);
        assert!(self.hears(*to), "an answer to a process that is gone or ending");
        assert!(self.asked.contains(&ask), "an answer nobody asked for, or a second one");
        if *body == Body::Forwarded {
            self.passed_on(event, ask, settled);
        }
        if *more {
            assert_eq!((*status, *gas), (Status::Ok, Gas::ZERO));
            return;
        }
        self.asked.remove(&ask);
        let of = settled.iter().find(|settled| (settled.open.caller, settled.open.caller_id) == ask);
        assert!(of.is_none_or(|of| of.spent == gas.0), "charged one thing and said another");
    }

    fn tool_starts(&mut self, run: RunId, peer: PeerId, plugin: &'static str) {
        assert!(self.is_alive(run), "a tool starts for a run that is ending");
        let is_twin = |p: &&Process| p.is_alive && (p.run, p.tool) == (run, Some(plugin));
        assert!(!self.processes.values().any(|p| is_twin(&p)), "INV-7 two tools of one kind in a run");
        let crashes = self.crashes.get(&(run, plugin)).copied().unwrap_or(0);
        assert!(crashes < CRASHES_MAX, "a broken tool starts again");
        let process = Process { run, tool: Some(plugin), is_alive: true };
        assert!(self.processes.insert(peer, process).is_none(), "INV-1 a peer id is used twice");
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
    pub fn cost(&self, id: u64) -> u64 {
        let open = &self.open[&id];
        let nested = self.open.iter().filter(|(_, nested)| nested.parent == Some(id));
        let live = nested.fold(0u64, |sum, (nested, _)| sum.saturating_add(self.cost(*nested)));
        let own = self.methods.get(open.method).unwrap().price.of(open.moved).0;
        own.saturating_add(open.declared).saturating_add(open.nested).saturating_add(live)
    }
}
