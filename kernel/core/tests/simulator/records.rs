//! What a record says of the world outside: which call is open from here on, what it settles for, who may be denied.

use crate::event::Event;
use crate::outside::{Life, Open, Settled, To};
use crate::wires::Wires;
use pawang_core::method::MethodId;
use pawang_core::record::Entry;
use pawang_core::relay::Effect;
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::{DenialCode, Gas};
use std::collections::BTreeSet;

impl Wires {
    pub fn record(
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
                recorded.remove(call);
                settled.push(self.settled(*call, spent.0));
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

    /// f69: a call settles for what it cost, but for no more than was set aside; a nested one for what it cost its parent.
    fn settled(&mut self, call: u64, spent: u64) -> Settled {
        let cost = self.cost(call);
        let open = self.open.remove(&call).unwrap();
        let most = if open.parent.is_some() { u64::MAX } else { open.reserved };
        assert_eq!(spent, cost.min(most), "f69 a call settles for what it cost");
        assert!(self.open.values().all(|o| o.parent != Some(call)), "settled before what is nested in it");
        if let Some(parent) = open.parent.and_then(|parent| self.open.get_mut(&parent)) {
            parent.nested = parent.nested.saturating_add(cost);
        }
        Settled { call, open, cost, spent }
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
}
