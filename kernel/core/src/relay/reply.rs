//! A call's way back: replies, cancels, deadlines, and the settlement of each call exactly once.

use super::effect::{Body, Effect};
use super::flight::{Callee, Flight, Stage};
use super::{CANCEL_GRACE_MS, Fault, Now, PeerId, Relay, RunId};
use crate::ledger::Account;
use crate::record::Entry;
use crate::run::Outcome;
use pawang_protocol::{CancelReason, DenialCode, Failure, Gas, Status};

/// A reply as it arrived: nothing about it is believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The kernel's number of the call it claims to answer.
    pub id: u64,
    /// How it ended, or goes on.
    pub status: Status,
    /// Whether more follows.
    pub more: bool,
    /// Gas declared on top of what the kernel measures.
    pub gas: Gas,
    /// Bytes of results and data that count ([`super::moved`]).
    pub received: u64,
}

/// How a call ended, for the record and for the caller.
pub(super) enum Ending {
    /// The callee's last reply, passed on.
    Replied(Status),
    /// A failure the kernel tells of.
    Failed(Failure),
    /// Cancelled, and acknowledged.
    Cancelled(CancelReason),
    /// The caller is gone or going; nobody is told.
    Unheard,
}

impl Relay {
    /// A reply from a tool.
    ///
    /// # Errors
    /// [`Fault`] where it answers a call that is not its own, or none (f53).
    pub fn reply(
        &mut self,
        now: Now,
        from: PeerId,
        answer: Answer,
        out: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let known = self.flights.get(&answer.id).map(|flight| flight.callee);
        if known != Some(Callee::Peer(from)) {
            return Err(Fault(format!("reply to call {}, which is not one it is serving", answer.id)));
        }
        self.answered(now, answer, out);
        Ok(())
    }

    /// A reply of the kernel itself to a call it serves. Ignored where that call has ended meanwhile.
    pub fn served(&mut self, now: Now, answer: Answer, out: &mut Vec<Effect>) {
        if self.flights.get(&answer.id).is_some_and(|flight| flight.callee == Callee::Kernel) {
            self.answered(now, answer, out);
        }
    }

    /// Whether a call is still in flight.
    #[must_use]
    pub fn is_in_flight(&self, id: u64) -> bool {
        self.flights.contains_key(&id)
    }

    /// Who made a call that is in flight.
    #[must_use]
    pub fn caller(&self, id: u64) -> Option<PeerId> {
        self.flights.get(&id).map(|flight| flight.caller)
    }

    /// The caller no longer wants an answer.
    pub fn cancel(&mut self, now: Now, from: PeerId, caller_id: u64, out: &mut Vec<Effect>) {
        let number = self.peer(from).and_then(|peer| {
            let at = peer.calls.binary_search_by_key(&caller_id, |&(id, _)| id).ok()?;
            peer.calls.get(at).map(|&(_, number)| number)
        });
        // A cancel that crosses the last reply finds nothing: the caller has its answer.
        if let Some(number) = number {
            self.cancel_flight(now, number, CancelReason::Caller, out);
        }
    }

    /// Ends what has waited too long: calls past their deadline, tools that do not acknowledge a cancel.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now.us
        {
            self.deadlines.remove(&(at, id));
            match self.flights.get(&id).map(|flight| (flight.stage, flight.callee)) {
                Some((Stage::Relayed, _)) => self.cancel_flight(now, id, CancelReason::Deadline, out),
                Some((Stage::Cancelling(_), Callee::Peer(peer))) => {
                    let fault = Fault("it did not end a call it was told to end".to_owned());
                    self.fault(now, peer, &fault, out);
                }
                Some((Stage::Cancelling(reason), Callee::Kernel)) => {
                    self.settle(now, id, Ending::Cancelled(reason), out);
                }
                None => {}
            }
        }
    }

    fn answered(&mut self, now: Now, answer: Answer, out: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get_mut(&answer.id) else { return };
        flight.received = flight.received.saturating_add(answer.received);
        flight.declared = flight.declared.saturating_add(answer.gas);
        let is_cancelling = flight.stage != Stage::Relayed;
        let run = flight.run;
        let is_paid = self.pay(now, answer.id, out);
        if !is_paid || is_cancelling {
            // What a caller no longer wants, or has not paid for, is not passed on; the last reply still ends the call.
            if let Some(flight) = self.flights.get(&answer.id).filter(|_| !answer.more) {
                let is_broke = !is_paid && flight.stage == Stage::Relayed;
                let ending = if is_broke { Ending::Unheard } else { Ending::Replied(answer.status) };
                self.settle(now, answer.id, ending, out);
            }
            return;
        }
        if !answer.more {
            self.settle(now, answer.id, Ending::Replied(answer.status), out);
            self.warn(run, out);
            return;
        }
        let Some(flight) = self.flights.get(&answer.id) else { return };
        out.push(Effect::Answer {
            to: flight.caller,
            id: flight.caller_id,
            status: Status::Ok,
            more: true,
            gas: Gas::ZERO,
            body: Body::Forwarded,
            redact: flight.secrets.then_some(answer.id),
        });
    }

    /// Makes sure the reservation covers what the call costs so far. `false`: it does not and cannot.
    fn pay(&mut self, now: Now, id: u64, out: &mut Vec<Effect>) -> bool {
        self.charge_parent(id);
        // A nested call is paid by the outermost one.
        let mut payer = id;
        while let Some(parent) = self.flights.get(&payer).and_then(|flight| flight.parent) {
            payer = parent;
        }
        let Some(flight) = self.flights.get_mut(&payer) else { return false };
        let (cost, held) = (flight.cost(), flight.reservation.as_ref().map_or(Gas::ZERO, |r| r.amount()));
        let Some(missing) = cost.checked_sub(held).filter(|missing| *missing > Gas::ZERO) else {
            return true;
        };
        if flight.gas_max.is_some() {
            self.cancel_flight(now, payer, CancelReason::Gas, out);
            return false;
        }
        let run = flight.run;
        if self.extend(payer, missing, held, out) {
            return true;
        }
        let free =
            self.runs.get(&run).and_then(|run| self.accounts.get(&run.verified.digest)).map(Account::free);
        match free {
            // A sub-ceiling is in the way, and other calls are not under it.
            Some(free) if free >= missing => self.cancel_flight(now, payer, CancelReason::Gas, out),
            _ => self.end(run, Outcome::OutOfGas, out),
        }
        false
    }

    /// Adds at least `missing` to a reservation, and as much again as it holds where that can be had, so that a long
    /// stream is extended a few times and not at every chunk.
    fn extend(&mut self, id: u64, missing: Gas, held: Gas, out: &mut Vec<Effect>) -> bool {
        let Some(run_id) = self.flights.get(&id).map(|flight| flight.run) else { return false };
        for is_last_try in [false, true] {
            let Some(flight) = self.flights.get_mut(&id) else { return false };
            let Some(run) = self.runs.get(&run_id) else { return false };
            let Some(account) = self.accounts.get_mut(&run.verified.digest) else { return false };
            let Some(reservation) = flight.reservation.as_mut() else { return false };
            let each: Vec<usize> = run.policy.gas_ceilings(flight.method).collect();
            let more = missing.max(held).min(account.available(&each)).max(missing);
            if account.extend(reservation, more).is_ok() {
                out.push(Effect::Record(Entry::Extend { run: run_id, call: id, more }));
                return true;
            }
            if is_last_try || !self.reclaim_lease(run_id, out) {
                return false;
            }
        }
        false
    }

    /// Books what a nested call has cost since the last time on its parent.
    pub(super) fn charge_parent(&mut self, id: u64) {
        let mut child = id;
        while let Some(parent) = self.flights.get(&child).and_then(|flight| flight.parent) {
            let nested = self.flights.values().filter(|f| f.parent == Some(parent)).map(Flight::cost);
            let live = nested.fold(Gas::ZERO, Gas::saturating_add);
            if let Some(flight) = self.flights.get_mut(&parent) {
                flight.nested = flight.nested_done.saturating_add(live);
            }
            child = parent;
        }
    }

    /// The calls nested in one, in order. Costs nothing for the many that have none.
    fn nested_in(&self, id: u64) -> Vec<u64> {
        if self.flights.get(&id).is_none_or(|flight| flight.nested_open == 0) {
            return Vec::new();
        }
        let mut nested: Vec<u64> =
            self.flights.iter().filter(|(_, f)| f.parent == Some(id)).map(|(&nested, _)| nested).collect();
        nested.sort_unstable();
        nested
    }

    fn cancel_flight(&mut self, now: Now, id: u64, reason: CancelReason, out: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.stage != Stage::Relayed {
            return;
        }
        flight.stage = Stage::Cancelling(reason);
        self.deadlines.remove(&(flight.deadline_us, id));
        flight.deadline_us = now.us.saturating_add(CANCEL_GRACE_MS.saturating_mul(1_000));
        self.deadlines.insert((flight.deadline_us, id));
        match flight.callee {
            Callee::Peer(to) => out.push(Effect::Cancel { to, id, reason }),
            Callee::Kernel => out.push(Effect::CancelServed { id }),
        }
        for nested in self.nested_in(id) {
            self.cancel_flight(now, nested, reason, out);
        }
    }

    /// Ends a call: gas is settled, the record written, the caller told. The only way out of the table.
    pub(super) fn settle(&mut self, now: Now, id: u64, ending: Ending, out: &mut Vec<Effect>) {
        for nested in self.nested_in(id) {
            if let Some(Callee::Kernel) = self.flights.get(&nested).map(|flight| flight.callee) {
                out.push(Effect::CancelServed { id: nested });
            }
            self.settle(now, nested, Ending::Unheard, out);
        }
        let Some(flight) = self.flights.remove(&id) else { return };
        self.deadlines.remove(&(flight.deadline_us, id));
        let cost = flight.cost();
        if let Some(parent) = flight.parent.and_then(|parent| self.flights.get_mut(&parent)) {
            parent.nested_done = parent.nested_done.saturating_add(cost);
            parent.nested_open = parent.nested_open.saturating_sub(1);
        }
        let (spent, left) = self.release(flight.run, flight.reservation, cost);
        let ending = final_ending(ending, flight.stage, flight.gas_max.is_some());
        out.push(Effect::Record(Entry::Settle {
            run: flight.run,
            call: id,
            status: describe(&ending),
            spent,
            received: flight.received,
            took_us: now.us.saturating_sub(flight.started_us),
            left,
        }));
        if let Some(peer) = self.peer_mut(flight.caller)
            && let Ok(at) = peer.calls.binary_search_by_key(&flight.caller_id, |&(id, _)| id)
        {
            peer.calls.remove(at);
        }
        let (status, body) = match ending {
            Ending::Replied(status) => (status, Body::Forwarded),
            Ending::Failed(failure) => (Status::Failed, Body::Failure(Box::new(failure))),
            Ending::Cancelled(_) => (Status::Cancelled, Body::Empty),
            Ending::Unheard => return,
        };
        let redact = flight.secrets.then_some(id);
        let (to, id) = (flight.caller, flight.caller_id);
        out.push(Effect::Answer { to, id, status, more: false, gas: spent, body, redact });
    }

    /// Spends `cost` of a reservation; for a nested call, which has none, says what it cost its parent.
    fn release(
        &mut self,
        run: RunId,
        reservation: Option<crate::ledger::Reservation>,
        cost: Gas,
    ) -> (Gas, Gas) {
        let digest = self.runs.get(&run).map(|run| run.verified.digest);
        let Some(account) = digest.and_then(|digest| self.accounts.get_mut(&digest)) else {
            return (cost, Gas::ZERO);
        };
        let spent = match reservation {
            Some(reservation) => account.settle(reservation, cost),
            None => cost,
        };
        (spent, Account::free(account))
    }
}

/// A last reply to a call that was being cancelled: done is done, anything else is the cancellation.
fn final_ending(ending: Ending, stage: Stage, has_gas_max: bool) -> Ending {
    match (ending, stage) {
        (Ending::Replied(_), Stage::Cancelling(CancelReason::Deadline)) => Ending::Failed(
            Failure::new("timed_out", "the call's deadline passed before it was done")
                .hint("give it a later deadline, or ask for less at a time"),
        ),
        (Ending::Replied(_), Stage::Cancelling(CancelReason::Gas)) if has_gas_max => Ending::Failed(
            Failure::new(
                "gas_max_reached",
                format!("the call grew beyond its own gas_max ({})", DenialCode::ReservationUsedUp),
            )
            .hint("raise gas_max, or leave it out"),
        ),
        (Ending::Replied(_), Stage::Cancelling(CancelReason::Gas)) => Ending::Failed(
            Failure::new(
                "ceiling_reached",
                format!(
                    "the call grew beyond a sub-ceiling of the contract ({})",
                    DenialCode::CeilingReached
                ),
            )
            .hint("ask for less at a time, or sign for more under [gas] each"),
        ),
        (Ending::Replied(_), Stage::Cancelling(reason)) => Ending::Cancelled(reason),
        // A tool has no rules to refuse by: its second wall is told as a failure.
        (Ending::Replied(Status::Denied), Stage::Relayed) => Ending::Failed(Failure::new(
            "tool_refused",
            "the tool refused what the kernel had allowed; its own confinement is narrower",
        )),
        (ending, _) => ending,
    }
}

fn describe(ending: &Ending) -> String {
    match ending {
        Ending::Replied(Status::Ok) => "ok".to_owned(),
        Ending::Replied(Status::Failed) => "failed".to_owned(),
        Ending::Replied(Status::Denied) => "denied".to_owned(),
        Ending::Replied(Status::Cancelled) => "cancelled".to_owned(),
        Ending::Failed(failure) => format!("failed: {}", failure.code),
        Ending::Cancelled(reason) => format!("cancelled: {reason:?}").to_lowercase(),
        Ending::Unheard => "ended with its run".to_owned(),
    }
}
