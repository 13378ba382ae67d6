//! Gas accounts. One per contract digest, so that what is spent stays spent whoever presents the contract again.
//!
//! The law, held after every operation (INV-3): `granted = free + reserved + spent`. Gas moves between the three
//! and is never made: nothing here adds to `granted`. A reservation is set aside before a call is relayed and
//! settled after it; what a crash leaves unsettled counts as spent when the log is replayed.
//!
//! Not here: prices ([`crate::method`]), who may call what ([`crate::permit`]), what is written down ([`crate::record`]).

mod share;

pub use share::{Share, ShareCalls, ShareEach};

use pawang_protocol::Gas;
use serde::{Deserialize, Serialize};

/// The account of one contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    granted: Gas,
    free: Gas,
    reserved: Gas,
    spent: Gas,
    /// Runs still allowed under this contract.
    uses_left: u32,
    /// Sub-ceilings of `[gas] each`, in the contract's order.
    each: Vec<Ceiling>,
    /// Calls made under each grant, in the contract's order; only grants that count are filled in.
    calls: Vec<u32>,
    /// When the contract expires, unix seconds. The account may be forgotten after that.
    not_after: u64,
}

/// A sub-ceiling: how much of the gas the methods it names may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    limit: Gas,
    /// Reserved and spent under it.
    used: Gas,
}

/// Gas set aside for one call. Not `Clone`: it is settled exactly once, by value.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is not settled is lost to the run"]
pub struct Reservation {
    amount: Gas,
    /// The sub-ceilings it counts against, as positions in the account.
    each: Vec<usize>,
}

/// Why gas was not set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// The account has too little.
    OutOfGas {
        /// What was asked for.
        needed: Gas,
        /// What is free.
        free: Gas,
    },
    /// A sub-ceiling has too little left.
    Ceiling {
        /// Position in `[gas] each`.
        index: usize,
        /// What was asked for.
        needed: Gas,
        /// What is left under it.
        left: Gas,
    },
    /// A counted grant has too few calls left for a helper.
    Calls {
        /// Position in `allow`.
        grant: usize,
        /// What was asked for.
        needed: u32,
        /// What is left of it.
        left: u32,
    },
}

impl Account {
    /// Opens the account of a contract seen for the first time.
    #[must_use]
    pub fn open(granted: Gas, uses: u32, each: &[Gas], grants: usize, not_after: u64) -> Self {
        Self {
            granted,
            free: granted,
            reserved: Gas::ZERO,
            spent: Gas::ZERO,
            uses_left: uses,
            each: each.iter().map(|&limit| Ceiling { limit, used: Gas::ZERO }).collect(),
            calls: vec![0; grants],
            not_after,
        }
    }

    /// Gas the contract was signed for.
    #[must_use]
    pub fn granted(&self) -> Gas {
        self.granted
    }

    /// Gas that can still be set aside.
    #[must_use]
    pub fn free(&self) -> Gas {
        self.free
    }

    /// Gas set aside and not settled.
    #[must_use]
    pub fn reserved(&self) -> Gas {
        self.reserved
    }

    /// Gas gone for good.
    #[must_use]
    pub fn spent(&self) -> Gas {
        self.spent
    }

    /// Runs still allowed.
    #[must_use]
    pub fn uses_left(&self) -> u32 {
        self.uses_left
    }

    /// Calls made under each grant, in the contract's order; of grants that do not count, 0.
    #[must_use]
    pub fn calls(&self) -> &[u32] {
        &self.calls
    }

    /// When the contract expires, unix seconds.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Takes one use. `false` where none is left; the account is then unchanged.
    #[must_use]
    pub fn take_use(&mut self) -> bool {
        match self.uses_left.checked_sub(1) {
            Some(left) => {
                self.uses_left = left;
                true
            }
            None => false,
        }
    }

    /// Takes one call of a grant that allows `max`. `false` where none is left; the account is then unchanged.
    #[must_use]
    pub fn take_call(&mut self, grant: usize, max: u32) -> bool {
        match self.calls.get_mut(grant) {
            Some(used) if *used < max => {
                *used = used.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// Sets `amount` aside, also under each named sub-ceiling.
    ///
    /// # Errors
    /// [`Short`]; nothing has then moved.
    pub fn reserve(&mut self, amount: Gas, each: Vec<usize>) -> Result<Reservation, Short> {
        self.set_aside(amount, &each)?;
        Ok(Reservation { amount, each })
    }

    /// Adds `more` to a reservation.
    ///
    /// # Errors
    /// [`Short`]; nothing has then moved.
    pub fn extend(&mut self, reservation: &mut Reservation, more: Gas) -> Result<(), Short> {
        let amount = reservation.amount.checked_add(more);
        let amount = amount.ok_or(Short::OutOfGas { needed: more, free: self.free })?;
        self.set_aside(more, &reservation.each)?;
        reservation.amount = amount;
        Ok(())
    }

    /// Ends a reservation: `cost` of it (at most all of it) is spent, the rest is free again. Returns what was spent.
    pub fn settle(&mut self, reservation: Reservation, cost: Gas) -> Gas {
        let Reservation { amount, each } = reservation;
        let cost = cost.min(amount);
        let rest = amount.saturating_sub(cost);
        for index in each {
            if let Some(ceiling) = self.each.get_mut(index) {
                ceiling.used = ceiling.used.saturating_sub(rest);
            }
        }
        self.reserved = self.reserved.saturating_sub(amount);
        self.spent = self.spent.saturating_add(cost);
        self.free = self.free.saturating_add(rest);
        self.assert_law();
        cost
    }

    /// Spends without a reservation, at most what is free. Returns what was spent; less than `amount` means the gas is out.
    pub fn spend(&mut self, amount: Gas) -> Gas {
        let taken = amount.min(self.free);
        self.free = self.free.saturating_sub(taken);
        self.spent = self.spent.saturating_add(taken);
        self.assert_law();
        taken
    }

    /// Closes the account of a helper whose rest goes back to where it came from: what is free leaves it. Nothing may be
    /// reserved in it: that would still be spent here after it was given back.
    pub fn close(&mut self) {
        assert!(self.reserved == Gas::ZERO, "an account is closed with gas set aside: {self:?}");
        self.granted = self.granted.saturating_sub(self.free);
        self.free = Gas::ZERO;
        self.uses_left = 0;
        self.assert_law();
    }

    /// What a crash leaves: everything reserved is spent. For replay only.
    pub fn forfeit(&mut self) {
        self.spent = self.spent.saturating_add(self.reserved);
        self.reserved = Gas::ZERO;
        self.assert_law();
    }

    /// The most that can be set aside now under the named sub-ceilings.
    #[must_use]
    pub fn available(&self, each: &[usize]) -> Gas {
        let left = each.iter().filter_map(|&index| self.each.get(index)).map(Ceiling::left);
        left.fold(self.free, Gas::min)
    }

    /// Whether `granted = free + reserved + spent`.
    #[must_use]
    pub fn is_lawful(&self) -> bool {
        let sum = self.free.checked_add(self.reserved).and_then(|sum| sum.checked_add(self.spent));
        sum == Some(self.granted) && self.each.iter().all(|ceiling| ceiling.used <= ceiling.limit)
    }

    fn set_aside(&mut self, amount: Gas, each: &[usize]) -> Result<(), Short> {
        let free = self.free;
        let rest = free.checked_sub(amount).ok_or(Short::OutOfGas { needed: amount, free })?;
        for &index in each {
            let left = self.each.get(index).map_or(Gas::ZERO, Ceiling::left);
            if left < amount {
                return Err(Short::Ceiling { index, needed: amount, left });
            }
        }
        for &index in each {
            if let Some(ceiling) = self.each.get_mut(index) {
                ceiling.used = ceiling.used.saturating_add(amount);
            }
        }
        self.free = rest;
        self.reserved = self.reserved.saturating_add(amount);
        self.assert_law();
        Ok(())
    }

    /// Only a bug of ours can break the law; going on with a broken ledger would be worse than stopping.
    fn assert_law(&self) {
        assert!(self.is_lawful(), "INV-3 broken: {self:?}");
    }
}

impl Ceiling {
    fn left(&self) -> Gas {
        self.limit.saturating_sub(self.used)
    }
}

impl Reservation {
    /// How much is set aside.
    #[must_use]
    pub fn amount(&self) -> Gas {
        self.amount
    }

    /// The sub-ceilings it counts against.
    #[must_use]
    pub fn each(&self) -> &[usize] {
        &self.each
    }

    /// A reservation that an account read from a snapshot already holds. For replay only.
    pub(crate) fn restore(amount: Gas, each: Vec<usize>) -> Self {
        Self { amount, each }
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Short};
    use pawang_protocol::Gas;
    use proptest::prelude::*;

    fn account(granted: u64) -> Account {
        Account::open(Gas(granted), 1, &[Gas(30)], 2, 0)
    }

    #[test]
    fn settling_returns_the_rest_and_never_takes_more_than_was_reserved() {
        for (cost, free, spent) in [(0, 100, 0), (7, 93, 7), (10, 90, 10), (11, 90, 10)] {
            let mut account = account(100);
            let reservation = account.reserve(Gas(10), vec![]).unwrap();
            assert_eq!(account.settle(reservation, Gas(cost)), Gas(spent));
            assert_eq!((account.free(), account.spent()), (Gas(free), Gas(spent)));
        }
    }

    #[test]
    fn f64_reserving_beyond_what_is_free_moves_nothing() {
        let mut account = account(10);
        assert_eq!(account.reserve(Gas(11), vec![]), Err(Short::OutOfGas { needed: Gas(11), free: Gas(10) }));
        assert_eq!(account, self::account(10));
    }

    #[test]
    fn ceiling_holds_what_is_reserved_and_spent_under_it() {
        let mut account = account(100);
        let first = account.reserve(Gas(30), vec![0]).unwrap();
        assert_eq!(
            account.reserve(Gas(1), vec![0]),
            Err(Short::Ceiling { index: 0, needed: Gas(1), left: Gas(0) })
        );
        account.settle(first, Gas(20));
        assert_eq!(account.available(&[0]), Gas(10));
        assert!(account.reserve(Gas(70), vec![]).is_ok());
    }

    #[test]
    fn f01_zero_means_none() {
        let mut account = Account::open(Gas(0), 0, &[], 1, 0);
        assert!(account.reserve(Gas(1), vec![]).is_err());
        assert!(!account.take_use());
        assert!(!account.take_call(0, 0));
        assert_eq!(account.spend(Gas(1)), Gas(0));
    }

    #[test]
    fn a_ceiling_that_does_not_exist_allows_nothing() {
        assert!(account(100).reserve(Gas(1), vec![9]).is_err());
    }

    proptest! {
        /// Any sequence of operations keeps the law and never frees what was spent.
        #[test]
        fn f70_spent_never_falls(steps in proptest::collection::vec((0u8..5, 0u64..60), 1..80)) {
            let mut account = account(500);
            let mut held = Vec::new();
            let mut spent = Gas::ZERO;
            for (step, amount) in steps {
                let amount = Gas(amount);
                match step {
                    0 => held.extend(account.reserve(amount, vec![])),
                    1 => held.extend(account.reserve(amount, vec![0])),
                    2 => drop(account.spend(amount)),
                    3 => if let Some(last) = held.last_mut() { let _ = account.extend(last, amount); },
                    _ => if let Some(last) = held.pop() { account.settle(last, amount); },
                }
                prop_assert!(account.is_lawful());
                prop_assert!(account.spent() >= spent);
                spent = account.spent();
            }
            let before = account.free();
            account.forfeit();
            prop_assert!(account.is_lawful());
            prop_assert_eq!(account.free(), before);
        }
    }
}
