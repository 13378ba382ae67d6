//! A call's way in, third step: gas. And its way on: what a call that grows must have set aside before it goes on.
//!
//! A call's own ceiling is set aside before it is relayed; a nested call is covered by the outermost call it is made
//! for. What exceeds the reservation is added to it, or the call is stopped: nothing goes to a caller that is not paid.
//!
//! A call that names no ceiling never takes more than half of what is free beyond what it needs, so that the run can go
//! on paying for its CPU time and for other calls meanwhile.

use super::call::{Inbound, PermittedCall};
use super::deny::Stopped;
use super::effect::Effect;
use super::flight::Why;
use super::{Relay, RunId};
use crate::ledger::{Reservation, Short};
use crate::method::Price;
use crate::permit::Refusal;
use crate::record::Entry;
use pawang_protocol::{DenialCode, Gas};

/// How much of an answer is paid for beforehand where the caller names no ceiling, in bytes.
const FIRST_REPLY: u64 = 64 << 10;

/// What is paid for. Made only by [`Relay::fund`] (`proof` is private to this file), and all that [`Relay::send`] takes.
pub(super) struct Funded {
    pub(super) call: PermittedCall,
    pub(super) price: Price,
    /// `None` for a nested call.
    pub(super) reservation: Option<Reservation>,
    #[expect(dead_code, reason = "its privacy is its use")]
    proof: Proof,
}

struct Proof;

/// Whether what a call costs is set aside.
pub(super) enum Cover {
    /// It is.
    Whole,
    /// It is not and must not be: a ceiling is in the way.
    Beyond(Why),
    /// It is not and cannot be: the gas is out.
    OutOfGas,
}

impl Relay {
    /// Gas: the call's ceiling is set aside, also under each sub-ceiling; a nested call must fit into what pays for it.
    pub(super) fn fund(
        &mut self,
        call: PermittedCall,
        inbound: &Inbound,
        out: &mut Vec<Effect>,
    ) -> Result<Funded, Stopped> {
        let price = self.methods.get(call.method).map(|row| row.price).ok_or_else(unknown_run)?;
        let least = price.of(inbound.sent);
        let reservation = match call.parent {
            None => Some(self.set_aside(&call, price, inbound, out)?),
            Some(parent) => {
                self.fund_nested(parent, least, out)?;
                None
            }
        };
        Ok(Funded { call, price, reservation, proof: Proof })
    }

    fn fund_nested(&mut self, parent: u64, least: Gas, out: &mut Vec<Effect>) -> Result<(), Stopped> {
        let reason = |what: &str| format!("this call needs {least} gas, and the call it is nested in {what}");
        match self.cover(self.payer(parent), least, out) {
            Cover::Whole => Ok(()),
            Cover::Beyond(_) => {
                let reason = reason("has less left of its ceiling");
                Err(Refusal::new(DenialCode::ReservationUsedUp, reason).into())
            }
            Cover::OutOfGas => {
                let reason = reason("cannot be given more");
                Err(Stopped::OutOfGas(Refusal::new(DenialCode::OutOfGas, reason)))
            }
        }
    }

    fn set_aside(
        &mut self,
        call: &PermittedCall,
        price: Price,
        inbound: &Inbound,
        out: &mut Vec<Effect>,
    ) -> Result<Reservation, Stopped> {
        let run = self.runs.get(&call.run).ok_or_else(unknown_run)?;
        let (digest, each) = (run.verified.digest, run.policy.gas_ceilings(call.method).collect::<Vec<_>>());
        let least = price.of(inbound.sent);
        let wanted = match inbound.gas_max {
            0 if price.grows() => price.of(inbound.sent.saturating_add(FIRST_REPLY)),
            0 => least,
            own => Gas(own),
        };
        if wanted < least {
            let reason = format!("gas_max is {wanted}, and this call costs at least {least}");
            return Err(Refusal::new(DenialCode::ReservationUsedUp, reason).into());
        }
        let account = self.accounts.get(&digest).ok_or_else(unknown_run)?;
        let available = account.available(&each);
        let most = if inbound.gas_max == 0 { Gas(available.0 / 2) } else { available };
        let amount = wanted.min(most).max(least);
        let reservation = self.reserve(call.run, amount, &each, out)?;
        let account = self.accounts.get_mut(&digest).ok_or_else(unknown_run)?;
        match call.permitted.max_calls {
            Some(max) if !account.take_call(usize::from(call.permitted.grant), max) => {
                account.settle(reservation, Gas::ZERO);
                let reason = format!("the grant allows {max} calls, and all of them were made");
                Err(Refusal::new(DenialCode::CallsUsedUp, reason).into())
            }
            _ => Ok(reservation),
        }
    }

    /// Reserves; where too little is free, with what is set aside for CPU time too.
    fn reserve(
        &mut self,
        id: RunId,
        amount: Gas,
        each: &[usize],
        out: &mut Vec<Effect>,
    ) -> Result<Reservation, Stopped> {
        loop {
            let account = self.account_of_mut(id).ok_or_else(unknown_run)?;
            match account.reserve(amount, each.to_vec()) {
                Err(Short::OutOfGas { .. }) if self.reclaim_lease(id, out) => {}
                outcome => return outcome.map_err(stopped),
            }
        }
    }

    /// The call whose reservation pays for a call: the outermost one.
    pub(super) fn payer(&self, id: u64) -> u64 {
        let mut payer = id;
        while let Some(parent) = self.flights.get(&payer).and_then(|flight| flight.parent) {
            payer = parent;
        }
        payer
    }

    /// Makes sure that a reservation covers what its call costs so far and `extra`.
    pub(super) fn cover(&mut self, payer: u64, extra: Gas, out: &mut Vec<Effect>) -> Cover {
        let Some(flight) = self.flights.get(&payer) else { return Cover::OutOfGas };
        let cost = flight.cost().saturating_add(extra);
        let Some(missing) = cost.checked_sub(flight.held()).filter(|missing| *missing > Gas::ZERO) else {
            return Cover::Whole;
        };
        if flight.gas_max.is_some_and(|max| cost > max) {
            return Cover::Beyond(Why::GasMax);
        }
        loop {
            match self.extend(payer, missing, out) {
                Ok(()) => return Cover::Whole,
                Err(Short::Ceiling { .. }) => return Cover::Beyond(Why::Ceiling),
                Err(_) => {
                    let run = self.flights.get(&payer).map(|flight| flight.run);
                    if !run.is_some_and(|run| self.reclaim_lease(run, out)) {
                        return Cover::OutOfGas;
                    }
                }
            }
        }
    }

    /// Adds at least `missing` to a reservation, and as much again as it holds where that can be had, so that a long
    /// stream is extended a few times and not at every chunk.
    fn extend(&mut self, id: u64, missing: Gas, out: &mut Vec<Effect>) -> Result<(), Short> {
        let none = Short::OutOfGas { needed: missing, free: Gas::ZERO };
        let flight = self.flights.get_mut(&id).ok_or(none)?;
        let run = self.runs.get(&flight.run).ok_or(none)?;
        let account = self.accounts.get_mut(&run.verified.digest).ok_or(none)?;
        let held = flight.held();
        let reservation = flight.reservation.as_mut().ok_or(none)?;
        let half = Gas(account.available(reservation.each()).0 / 2);
        let room = flight.gas_max.map_or(half, |max| half.min(max.saturating_sub(held)));
        let more = held.min(room).max(missing);
        account.extend(reservation, more)?;
        out.push(Effect::Record(Entry::Extend { run: flight.run, call: id, more }));
        Ok(())
    }

    /// Books on the calls above a nested one what it has cost since the last time.
    pub(super) fn book_on_parents(&mut self, id: u64) {
        let mut child = id;
        while let Some(flight) = self.flights.get_mut(&child)
            && let Some(parent) = flight.parent
        {
            let cost = flight.cost();
            let more = cost.saturating_sub(flight.booked);
            flight.booked = cost;
            if let Some(flight) = self.flights.get_mut(&parent) {
                flight.nested = flight.nested.saturating_add(more);
            }
            child = parent;
        }
    }
}

fn unknown_run() -> Stopped {
    Refusal::new(DenialCode::MalformedCall, "no such run".to_owned()).into()
}

fn stopped(short: Short) -> Stopped {
    match short {
        Short::OutOfGas { needed, free } => Stopped::OutOfGas(Refusal::new(
            DenialCode::OutOfGas,
            format!("this call needs {needed} gas and {free} are left"),
        )),
        Short::Ceiling { needed, left, .. } => Stopped::Refused(Refusal::new(
            DenialCode::CeilingReached,
            format!("this call needs {needed} gas and {left} are left under a sub-ceiling of the contract"),
        )),
        Short::Calls { left, .. } => Stopped::Refused(Refusal::new(
            DenialCode::CallsUsedUp,
            format!("the grant has {left} calls left"),
        )),
    }
}
