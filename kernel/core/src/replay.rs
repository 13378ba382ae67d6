//! The log read back: what a kernel that starts knows.
//!
//! Every entry moves the same ledger operations that the live relay moved when it wrote it. So the state after a replay is the
//! state the log was written from, but for one thing: whatever was set aside and not settled when the log ends is spent (INV-5).

use crate::digest::Digest;
use crate::ledger::{Account, Reservation, Share};
use crate::record::{Entry, Live, Record};
use crate::run::RunId;
use pawang_protocol::Gas;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why an entry is impossible that moves gas.
const BEYOND: &str = "moves more gas than there is";

/// State rebuilt from records.
#[derive(Debug, Default)]
pub struct Replay {
    accounts: BTreeMap<Digest, Account>,
    revoked: BTreeSet<Digest>,
    trust: serde_json::Value,
    runs: BTreeMap<RunId, Digest>,
    /// Calls in flight; a nested one has no reservation of its own.
    calls: BTreeMap<u64, (RunId, Option<Reservation>)>,
    leases: BTreeMap<RunId, Reservation>,
    carved: BTreeMap<Digest, (Digest, Reservation, Share)>,
    last_call: u64,
}

/// What a replay leaves.
#[derive(Debug)]
pub struct Restored {
    /// Accounts, everything unsettled spent.
    pub accounts: BTreeMap<Digest, Account>,
    /// Contracts revoked.
    pub revoked: BTreeSet<Digest>,
    /// The trust store, as JSON; `null` where none was ever set.
    pub trust: serde_json::Value,
    /// Runs that had not ended.
    pub lost: Vec<RunId>,
    /// The first call number not used.
    pub next_call: u64,
}

/// A record that cannot follow from those before it: the log was not written by this kernel's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    /// Number of the record.
    pub n: u64,
    /// What it does that cannot be.
    pub what: &'static str,
}

impl Replay {
    /// Takes in the next record.
    ///
    /// # Errors
    /// [`Impossible`]; the replay must then be given up.
    pub fn apply(&mut self, record: &Record) -> Result<(), Impossible> {
        self.entry(&record.entry).map_err(|what| Impossible { n: record.n, what })
    }

    /// Takes in an entry. For the simulator, which has no record numbers.
    ///
    /// # Errors
    /// What the entry does that cannot be.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), &'static str> {
        match entry {
            Entry::Snapshot { accounts, revoked, trust, next_call, live, .. } => {
                self.last_call = next_call.saturating_sub(1);
                self.snapshot(accounts, revoked, trust, live);
            }
            Entry::Trust { trust } => self.trust = trust.clone(),
            Entry::Admit { contract, account, .. } => {
                if self.accounts.insert(*contract, account.clone()).is_some() {
                    return Err("admits a contract that has an account");
                }
            }
            Entry::Revoke { contract } => drop(self.revoked.insert(*contract)),
            Entry::Start { run, contract, .. } => self.start(*run, *contract)?,
            Entry::Call { run, call, parent, reserved, each, counted, .. } => {
                self.number(*call)?;
                let set_aside = parent.is_none().then_some((*reserved, each));
                self.open(*run, *call, set_aside, *counted)?;
            }
            Entry::Extend { run, call, more } => self.extend(*run, *call, *more)?,
            Entry::Settle { run, call, spent, .. } => self.settle(*run, *call, *spent)?,
            Entry::Deny { run, call, spent, .. } => {
                self.number(*call)?;
                spend(self.of(*run)?, *spent)?;
            }
            Entry::Lease { run, reserved } => {
                let lease = self.of(*run)?.reserve(*reserved, Vec::new()).map_err(|_| BEYOND)?;
                if self.leases.insert(*run, lease).is_some() {
                    return Err("leases CPU time to a run that has a lease");
                }
            }
            Entry::Cpu { run, spent, .. } => self.cpu(*run, *spent)?,
            Entry::Carve { contract, helper, reserved, share } => {
                let account = self.accounts.get_mut(contract).ok_or("carves from no account")?;
                let carved = account.give(*reserved, share).map_err(|_| "carves more than there is")?;
                self.carved.insert(*helper, (*contract, carved, share.clone()));
            }
            Entry::Return { contract, helper, spent } => self.give_back(contract, helper, *spent)?,
            Entry::End { run, .. } => self.end(*run)?,
            Entry::Boot { .. } => self.crash(),
            Entry::Halt {}
            | Entry::Warn { .. }
            | Entry::Fault { .. }
            | Entry::Tool { .. }
            | Entry::Secret { .. }
            | Entry::Head { .. } => {}
        }
        Ok(())
    }

    /// Accounts as they stand, before anything is forfeited.
    #[must_use]
    pub fn accounts(&self) -> &BTreeMap<Digest, Account> {
        &self.accounts
    }

    /// Ends the replay: what is unsettled is spent, what was live is lost.
    #[must_use]
    pub fn finish(mut self) -> Restored {
        let lost = self.runs.keys().copied().collect();
        self.crash();
        Restored {
            accounts: self.accounts,
            revoked: self.revoked,
            trust: self.trust,
            lost,
            next_call: self.last_call.saturating_add(1),
        }
    }

    fn snapshot(
        &mut self,
        accounts: &BTreeMap<Digest, Account>,
        revoked: &[Digest],
        trust: &serde_json::Value,
        live: &Live,
    ) {
        self.crash();
        self.accounts.clone_from(accounts);
        self.revoked = revoked.iter().copied().collect();
        self.trust = trust.clone();
        self.runs.clone_from(&live.runs);
        for (call, run, gas, each) in &live.calls {
            self.calls.insert(*call, (*run, Some(Reservation::restore(*gas, each.clone()))));
        }
        self.calls.extend(live.nested.iter().map(|&(call, run)| (call, (run, None))));
        for (run, gas) in &live.leases {
            self.leases.insert(*run, Reservation::restore(*gas, Vec::new()));
        }
        for (helper, (giver, gas, share)) in &live.carved {
            self.carved.insert(*helper, (*giver, Reservation::restore(*gas, Vec::new()), share.clone()));
        }
    }

    fn crash(&mut self) {
        self.accounts.values_mut().for_each(Account::forfeit);
        self.runs.clear();
        self.calls.clear();
        self.leases.clear();
        self.carved.clear();
    }

    fn of(&mut self, run: RunId) -> Result<&mut Account, &'static str> {
        let contract = self.runs.get(&run).ok_or("belongs to a run that is not alive")?;
        self.accounts.get_mut(contract).ok_or("belongs to a contract without an account")
    }

    /// Numbers of calls only grow, so that none is ever used twice.
    fn number(&mut self, call: u64) -> Result<(), &'static str> {
        if call <= self.last_call {
            return Err("numbers a call with a number that was used before");
        }
        self.last_call = call;
        Ok(())
    }

    fn start(&mut self, run: RunId, contract: Digest) -> Result<(), &'static str> {
        if self.runs.insert(run, contract).is_some() {
            return Err("starts a run that is alive");
        }
        if self.of(run)?.take_use() { Ok(()) } else { Err("starts a run of a contract with no use left") }
    }

    /// Takes a call in among those in flight. A nested one has nothing set aside.
    fn open(
        &mut self,
        run: RunId,
        call: u64,
        set_aside: Option<(Gas, &Vec<usize>)>,
        counted: Option<(usize, u32)>,
    ) -> Result<(), &'static str> {
        let account = self.of(run)?;
        if counted.is_some_and(|(grant, max)| !account.take_call(grant, max)) {
            return Err("makes more calls than the grant allows");
        }
        let reservation = set_aside.map(|(gas, each)| account.reserve(gas, each.clone()));
        self.calls.insert(call, (run, reservation.transpose().map_err(|_| BEYOND)?));
        Ok(())
    }

    /// Takes a call out of those in flight.
    fn call(&mut self, run: RunId, call: u64) -> Result<Option<Reservation>, &'static str> {
        match self.calls.remove(&call) {
            Some((of, reservation)) if of == run => Ok(reservation),
            _ => Err("is about a call that is not in flight"),
        }
    }

    fn extend(&mut self, run: RunId, call: u64, more: Gas) -> Result<(), &'static str> {
        let mut reservation = self.call(run, call)?.ok_or("extends a call that has nothing set aside")?;
        self.of(run)?.extend(&mut reservation, more).map_err(|_| BEYOND)?;
        self.calls.insert(call, (run, Some(reservation)));
        Ok(())
    }

    fn settle(&mut self, run: RunId, call: u64, spent: Gas) -> Result<(), &'static str> {
        let Some(reservation) = self.call(run, call)? else { return Ok(()) };
        if spent > reservation.amount() {
            return Err("spends more than was set aside");
        }
        self.of(run)?.settle(reservation, spent);
        Ok(())
    }

    fn cpu(&mut self, run: RunId, spent: Gas) -> Result<(), &'static str> {
        let lease = self.leases.remove(&run);
        let account = self.of(run)?;
        let leased = lease.map_or(Gas::ZERO, |lease| account.settle(lease, spent));
        spend(account, spent.saturating_sub(leased))
    }

    fn give_back(&mut self, giver: &Digest, helper: &Digest, spent: Gas) -> Result<(), &'static str> {
        let (of, carved, share) = self.carved.remove(helper).ok_or("returns gas that was not carved out")?;
        let mut account = self.accounts.remove(helper).ok_or("returns gas of no account")?;
        if of != *giver {
            return Err("returns gas to another contract than it came from");
        }
        if account.reserved() > Gas::ZERO || account.spent() != spent {
            return Err("returns more gas than is left");
        }
        account.close();
        let to = self.accounts.get_mut(giver).ok_or("returns gas to no account")?;
        to.take_back(carved, &share, &account);
        self.accounts.insert(*helper, account);
        Ok(())
    }

    fn end(&mut self, run: RunId) -> Result<(), &'static str> {
        if self.leases.contains_key(&run) || self.calls.values().any(|(of, _)| *of == run) {
            return Err("ends a run with gas set aside");
        }
        self.runs.remove(&run).map(drop).ok_or("ends a run that is not alive")
    }
}

fn spend(account: &mut Account, amount: Gas) -> Result<(), &'static str> {
    if account.spend(amount) == amount { Ok(()) } else { Err(BEYOND) }
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} {}", self.n, self.what)
    }
}

impl std::error::Error for Impossible {}
