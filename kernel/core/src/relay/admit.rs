//! Contracts and their accounts: opening one, carving it out of another, giving back what a helper left, forgetting.

use super::effect::Effect;
use super::{Carved, Relay};
use crate::contract::subset::grants_within;
use crate::contract::{Contract, EachCeiling, Verified};
use crate::digest::Digest;
use crate::ledger::{Account, Share, ShareCalls, ShareEach, Short};
use crate::record::Entry;
use pawang_protocol::{Failure, Gas};

impl Relay {
    /// Gives a verified contract its account, if it has none yet, and before it those it was cut from. Gas of an
    /// attenuated contract is carved from the one above it, and so are room under sub-ceilings and counted calls.
    ///
    /// # Errors
    /// [`Failure`] where one of them is revoked, or the one above cannot give what is asked for.
    pub fn admit(&mut self, verified: &Verified, out: &mut Vec<Effect>) -> Result<(), Failure> {
        let mut ancestry = std::iter::once(&verified.digest).chain(&verified.chain);
        if let Some(gone) = ancestry.find(|digest| self.revoked.contains(*digest)) {
            let what =
                if *gone == verified.digest { "the contract" } else { "a contract this one was cut from" };
            return Err(Failure::new("revoked", format!("{what} was revoked ({})", gone.short()))
                .hint("sign a new contract; a revocation is not taken back"));
        }
        for parent in verified.parents.iter().rev() {
            self.open_account(parent, out)?;
        }
        self.open_account(verified, out)
    }

    fn open_account(&mut self, verified: &Verified, out: &mut Vec<Effect>) -> Result<(), Failure> {
        let (digest, contract) = (verified.digest, &verified.contract);
        if self.accounts.contains_key(&digest) {
            return Ok(());
        }
        if let Some(giver) = verified.parents.first() {
            self.carve(giver, digest, contract, out)?;
        }
        let each: Vec<Gas> = contract.gas.each.iter().map(|each| each.limit).collect();
        let account =
            Account::open(contract.gas.limit, contract.uses, &each, contract.allow.len(), contract.not_after);
        out.push(Effect::Record(Entry::Admit {
            contract: digest,
            name: contract.name.to_string(),
            issuer: verified.issuer.to_string(),
            account: account.clone(),
            payload: String::from_utf8(contract.to_payload()).unwrap_or_default(),
        }));
        self.accounts.insert(digest, account);
        Ok(())
    }

    fn carve(
        &mut self,
        giver: &Verified,
        helper: Digest,
        contract: &Contract,
        out: &mut Vec<Effect>,
    ) -> Result<(), Failure> {
        let (gas, share) = (contract.gas.limit, share_of(contract, &giver.contract)?);
        let unknown = || Failure::new("parent_unknown", "the contract this one was cut from has no account");
        let account = self.accounts.get_mut(&giver.digest).ok_or_else(unknown)?;
        let reservation = account.give(gas, &share).map_err(|short| too_poor(&giver.contract, short))?;
        let giver = giver.digest;
        out.push(Effect::Record(Entry::Carve {
            contract: giver,
            helper,
            reserved: gas,
            share: share.clone(),
        }));
        self.carved.insert(helper, Carved { giver, reservation, share });
        Ok(())
    }

    /// Gives back what a helper's contract has left, once nothing runs under it and none of it is set aside; then the
    /// same for the contract above, if that was over and only waited for this one.
    pub(super) fn give_back(&mut self, helper: Digest, out: &mut Vec<Effect>) {
        let mut next = Some(helper);
        while let Some(helper) = next.take_if(|helper| self.is_idle(helper)) {
            let Some(Carved { giver, reservation, share }) = self.carved.remove(&helper) else { return };
            let Some(mut account) = self.accounts.remove(&helper) else { return };
            account.close();
            let mut spent = account.spent();
            if let Some(giver) = self.accounts.get_mut(&giver) {
                spent = giver.take_back(reservation, &share, &account);
            }
            self.accounts.insert(helper, account);
            out.push(Effect::Record(Entry::Return { contract: giver, helper, spent }));
            next = Some(giver).filter(|giver| self.is_over(giver));
        }
    }

    /// Gives back what every helper's contract has left for which `is_over`, those at the end of a chain first.
    pub(super) fn give_back_all(&mut self, is_over: impl Fn(&Self, &Digest) -> bool, out: &mut Vec<Effect>) {
        loop {
            let over = self.carved.keys().filter(|helper| self.is_idle(helper) && is_over(self, helper));
            let Some(helper) = over.min().copied() else { return };
            self.give_back(helper, out);
        }
    }

    /// Whether no run can begin under a contract any more.
    pub(super) fn is_over(&self, contract: &Digest) -> bool {
        self.accounts.get(contract).is_some_and(|account| account.uses_left() == 0)
            || self.is_under(contract, |digest| self.revoked.contains(digest))
    }

    /// Whether it holds for a contract or one that it was carved from.
    pub(super) fn is_under(&self, contract: &Digest, holds: impl Fn(&Digest) -> bool) -> bool {
        let mut next = Some(contract);
        while let Some(digest) = next {
            if holds(digest) {
                return true;
            }
            next = self.carved.get(digest).map(|carved| &carved.giver);
        }
        false
    }

    /// Nothing runs under it, and no gas of it is set aside.
    fn is_idle(&self, contract: &Digest) -> bool {
        self.accounts.get(contract).is_some_and(|account| account.reserved() == Gas::ZERO)
            && self.runs.values().all(|run| run.verified.digest != *contract)
    }

    /// Forgets contracts that have expired, and first gives back what helpers under them have left. To be called right
    /// before a snapshot is taken: the snapshot is what tells a replay of it. An expired contract is refused whatever
    /// its account says, and the log's clock does not run back (f60), so none of them is ever opened anew.
    pub fn forget_expired(&mut self, unix_s: u64, out: &mut Vec<Effect>) {
        let is_past = |relay: &Self, contract: &Digest| {
            relay.accounts.get(contract).is_some_and(|account| account.not_after() <= unix_s)
        };
        self.give_back_all(is_past, out);
        let mut gone: Vec<Digest> = self.accounts.keys().copied().collect();
        gone.retain(|contract| {
            is_past(self, contract) && self.is_idle(contract) && !self.carved.contains_key(contract)
        });
        for contract in gone {
            self.accounts.remove(&contract);
            self.revoked.remove(&contract);
        }
    }
}

/// What a contract takes of the room and the counted calls of the one it was cut from: all that its grants let it use.
fn share_of(contract: &Contract, giver: &Contract) -> Result<Share, Failure> {
    let within = grants_within(&contract.allow, &giver.allow)
        .map_err(|error| Failure::new("not_a_subset", error.to_string()))?;
    let grants = contract.allow.iter().enumerate().zip(within.into_iter().map(usize::from));
    let calls = grants.filter_map(|((to, grant), from)| {
        let max = giver.allow.get(from)?.max_calls?;
        Some(ShareCalls { from, max, to, calls: grant.max_calls? })
    });
    let each = giver.gas.each.iter().enumerate().filter_map(|(from, ceiling)| room(contract, from, ceiling));
    Ok(Share { each: each.collect(), calls: calls.collect() })
}

/// The room a contract needs under one sub-ceiling of the giver; none if it can make no call that counts there.
fn room(contract: &Contract, from: usize, ceiling: &EachCeiling) -> Option<ShareEach> {
    let meets = |call| ceiling.call.covers(call) || call.covers(&ceiling.call);
    if !contract.allow.iter().any(|grant| meets(&grant.call)) {
        return None;
    }
    let own = contract.gas.each.iter().enumerate().filter(|(_, own)| own.call.covers(&ceiling.call));
    let (to, least) =
        own.min_by_key(|(_, own)| own.limit).map_or((None, ceiling.limit), |(to, own)| (Some(to), own.limit));
    let amount = least.min(contract.gas.limit);
    (amount > Gas::ZERO).then_some(ShareEach { from, to, amount })
}

fn too_poor(giver: &Contract, short: Short) -> Failure {
    let (code, what) = match short {
        Short::OutOfGas { needed, free } => {
            ("parent_too_poor", format!("{free} gas free, {needed} are asked for"))
        }
        Short::Ceiling { index, needed, left } => {
            let call = giver.gas.each.get(index).map(|each| each.call.to_string()).unwrap_or_default();
            (
                "parent_too_poor",
                format!("{left} gas left under its sub-ceiling {call}, {needed} are asked for"),
            )
        }
        Short::Calls { grant, needed, left } => {
            let rule = giver.allow.get(grant).map(ToString::to_string).unwrap_or_default();
            ("parent_calls", format!("{left} calls left of {rule}, {needed} are asked for"))
        }
    };
    Failure::new(code, format!("the contract above has {what}")).hint("cut a smaller contract")
}
