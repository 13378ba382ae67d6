//! A call's way back: replies, cancels, deadlines, and the settlement of each call exactly once.

use super::effect::{Body, Effect};
use super::flight::{Callee, Flight, Stage, Why};
use super::fund::Cover;
use super::{CANCEL_GRACE_MS, Fault, Now, PeerId, Relay};
use crate::record::Entry;
use crate::run::Outcome;
use pawang_protocol::{DenialCode, Failure, Gas, Status};

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
    /// Stopped before it was done.
    Cancelled(Why),
    /// Its whole run is over; nobody is left to be told.
    WithRun,
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
            self.cancel_flight(now, number, Why::Caller, out);
        }
    }

    /// Ends what has waited too long: calls past their deadline, tools that do not acknowledge a cancel.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now.us
        {
            self.deadlines.remove(&(at, id));
            match self.flights.get(&id).map(|flight| (flight.stage, flight.callee)) {
                Some((Stage::Relayed, _)) => self.cancel_flight(now, id, Why::Deadline, out),
                Some((Stage::Cancelling(_), Callee::Peer(peer))) => {
                    let fault = Fault("it did not end a call it was told to end".to_owned());
                    self.fault(now, peer, &fault, out);
                }
                Some((Stage::Cancelling(why), _)) => self.settle(now, id, Ending::Cancelled(why), out),
                None => {}
            }
        }
    }

    /// What a caller no longer wants, or has not paid for, is not passed on; the last reply still ends the call.
    fn answered(&mut self, now: Now, answer: Answer, out: &mut Vec<Effect>) {
        let Answer { id, status, more, .. } = answer;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.received = flight.received.saturating_add(answer.received);
        flight.declared = flight.declared.saturating_add(answer.gas);
        let (run, is_wanted) = (flight.run, flight.stage == Stage::Relayed);
        self.book_on_parents(id);
        if !is_wanted || !self.is_alive(run) {
            if !more {
                self.settle(now, id, Ending::Replied(status), out);
            }
            return;
        }
        match self.cover(self.payer(id), Gas::ZERO, out) {
            Cover::Whole if more => self.pass_on(id, out),
            Cover::Whole => self.settle(now, id, Ending::Replied(status), out),
            Cover::Beyond(why) => self.too_dear(now, answer, why, out),
            Cover::OutOfGas => {
                self.end(run, Outcome::OutOfGas, out);
                if !more {
                    self.settle(now, id, Ending::Failed(unpaid()), out);
                }
            }
        }
    }

    /// Passes a reply on that is not the last.
    fn pass_on(&self, id: u64, out: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get(&id) else { return };
        out.push(Effect::Answer {
            to: flight.caller,
            id: flight.caller_id,
            status: Status::Ok,
            more: true,
            gas: Gas::ZERO,
            body: Body::Forwarded,
            redact: flight.has_secrets.then_some(id),
        });
    }

    /// A reply went beyond a ceiling: it is dropped, and the call that pays for it is stopped.
    fn too_dear(&mut self, now: Now, answer: Answer, why: Why, out: &mut Vec<Effect>) {
        let payer = self.payer(answer.id);
        if !answer.more {
            self.settle(now, answer.id, Ending::Cancelled(why), out);
        }
        self.cancel_flight(now, payer, why, out);
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

    /// Tells the callee to stop, once, and gives it a while to say that it did.
    pub(super) fn cancel_flight(&mut self, now: Now, id: u64, why: Why, out: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.stage != Stage::Relayed {
            return;
        }
        flight.stage = Stage::Cancelling(why);
        self.deadlines.remove(&(flight.deadline_us, id));
        flight.deadline_us = now.us.saturating_add(CANCEL_GRACE_MS.saturating_mul(1_000));
        self.deadlines.insert((flight.deadline_us, id));
        match flight.callee {
            Callee::Peer(to) => out.push(Effect::Cancel { to, id, reason: why.reason() }),
            Callee::Kernel => out.push(Effect::CancelServed { id }),
            Callee::Nobody => {}
        }
        // As deep as CALL_DEPTH_MAX allows.
        for nested in self.nested_in(id) {
            self.cancel_flight(now, nested, why, out);
        }
    }

    /// Ends a call: gas is settled, the record written, the caller told. The only way out of the table.
    pub(super) fn settle(&mut self, now: Now, id: u64, ending: Ending, out: &mut Vec<Effect>) {
        self.settle_nested(now, id, &ending, out);
        let Some(mut flight) = self.flights.remove(&id) else { return };
        self.deadlines.remove(&(flight.deadline_us, id));
        if let Some(parent) = flight.parent.and_then(|parent| self.flights.get_mut(&parent)) {
            parent.nested_open = parent.nested_open.saturating_sub(1);
        }
        let ending = final_ending(ending, flight.stage);
        let spent = self.book(now, id, &mut flight, &ending, out);
        let is_heard = self.forget_call(&flight) && self.is_alive(flight.run);
        if is_heard && let Some((status, body)) = told(ending) {
            let redact = flight.has_secrets.then_some(id);
            let (to, id) = (flight.caller, flight.caller_id);
            out.push(Effect::Answer { to, id, status, more: false, gas: spent, body, redact });
        }
        self.warn(flight.run, out);
    }

    /// Has the kernel stop serving a call, where it does and was not told yet.
    pub(super) fn stop_serving(&self, id: u64, out: &mut Vec<Effect>) {
        let at = self.flights.get(&id).map(|flight| (flight.callee, flight.stage));
        if at == Some((Callee::Kernel, Stage::Relayed)) {
            out.push(Effect::CancelServed { id });
        }
    }

    /// Calls nested in one that ends have nothing left to be made for.
    fn settle_nested(&mut self, now: Now, id: u64, ending: &Ending, out: &mut Vec<Effect>) {
        for nested in self.nested_in(id) {
            self.stop_serving(nested, out);
            let with_it = match ending {
                Ending::WithRun => Ending::WithRun,
                _ => Ending::Cancelled(Why::Stopped),
            };
            self.settle(now, nested, with_it, out);
        }
    }

    /// Settles the gas and writes it down. A nested call has none of its own: the record says what it cost its parent.
    fn book(
        &mut self,
        now: Now,
        id: u64,
        flight: &mut Flight,
        ending: &Ending,
        out: &mut Vec<Effect>,
    ) -> Gas {
        let cost = flight.cost();
        let (mut spent, mut left) = (cost, Gas::ZERO);
        if let Some(account) = self.account_of_mut(flight.run) {
            if let Some(reservation) = flight.reservation.take() {
                spent = account.settle(reservation, cost);
            }
            left = account.free();
        }
        out.push(Effect::Record(Entry::Settle {
            run: flight.run,
            call: id,
            status: describe(ending),
            spent,
            received: flight.received,
            took_us: now.us.saturating_sub(flight.started_us),
            left,
        }));
        spent
    }

    /// Takes a call off its caller's list. Whether the caller is still there.
    fn forget_call(&mut self, flight: &Flight) -> bool {
        let Some(peer) = self.peer_mut(flight.caller) else { return false };
        if let Ok(at) = peer.calls.binary_search_by_key(&flight.caller_id, |&(id, _)| id) {
            peer.calls.remove(at);
        }
        true
    }
}

/// A call that was being stopped ended so, whatever its last reply said or however its tool died: the caller missed a part
/// of the answer, and hears why it was stopped.
fn final_ending(ending: Ending, stage: Stage) -> Ending {
    match (ending, stage) {
        (Ending::WithRun, _) => Ending::WithRun,
        (_, Stage::Cancelling(why)) | (Ending::Cancelled(why), _) => stopped(why),
        // A tool has no rules to refuse by: its second wall is told as a failure.
        (Ending::Replied(Status::Denied), Stage::Relayed) => Ending::Failed(Failure::new(
            "tool_refused",
            "the tool refused what the kernel had allowed; its own confinement is narrower",
        )),
        (ending, _) => ending,
    }
}

fn stopped(why: Why) -> Ending {
    Ending::Failed(match why {
        Why::Caller | Why::Stopped => return Ending::Cancelled(why),
        Why::Deadline => Failure::new("timed_out", "the call's deadline passed before it was done")
            .hint("give it a later deadline, or ask for less at a time"),
        Why::GasMax => Failure::new(
            "gas_max_reached",
            format!("the call grew beyond its own gas_max ({})", DenialCode::ReservationUsedUp),
        )
        .hint("raise gas_max, or leave it out"),
        Why::Ceiling => Failure::new(
            "ceiling_reached",
            format!("the call grew beyond a sub-ceiling of the contract ({})", DenialCode::CeilingReached),
        )
        .hint("ask for less at a time, or sign for more under [gas] each"),
    })
}

/// For the record only: a run that is out of gas hears nothing more.
fn unpaid() -> Failure {
    Failure::new("out_of_gas", "the run could not pay for the answer")
}

/// What the caller is told, if anyone is left to be told.
fn told(ending: Ending) -> Option<(Status, Body)> {
    match ending {
        Ending::Replied(status) => Some((status, Body::Forwarded)),
        Ending::Failed(failure) => Some((Status::Failed, Body::Failure(Box::new(failure)))),
        Ending::Cancelled(_) => Some((Status::Cancelled, Body::Empty)),
        Ending::WithRun => None,
    }
}

fn describe(ending: &Ending) -> String {
    match ending {
        Ending::Replied(Status::Ok) => "ok".to_owned(),
        Ending::Replied(Status::Failed) => "failed".to_owned(),
        Ending::Replied(Status::Denied) => "denied".to_owned(),
        Ending::Replied(Status::Cancelled) => "cancelled".to_owned(),
        Ending::Failed(failure) => format!("failed: {}", failure.code),
        Ending::Cancelled(why) => format!("cancelled: {:?}", why.reason()).to_lowercase(),
        Ending::WithRun => "ended with its run".to_owned(),
    }
}
