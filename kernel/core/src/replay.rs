//! The log read back: what a kernel that starts knows.
//!
//! Every entry moves the same ledger operations that the live relay moved when it wrote it. So the state after a replay is the
//! state the log was written from, but for one thing: whatever was set aside and not settled when the log ends is spent (INV-5).

use crate::digest::Digest;
use crate::ledger::{Account, Reservation};
use crate::record::{Entry, Live, Record};
use crate::run::RunId;
use pawang_protocol::Gas;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// State rebuilt from records.
#[derive(Debug, Default)]
pub struct Replay {
    accounts: BTreeMap<Digest, Account>,
    revoked: BTreeSet<Digest>,
    trust: serde_json::Value,
    runs: BTreeMap<RunId, Digest>,
    calls: BTreeMap<u64, (RunId, Reservation)>,
    leases: BTreeMap<RunId, Reservation>,
    carved: BTreeMap<Digest, (Digest, Reservation)>,
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
            Entry::Start { run, contract, .. } => {
                self.runs.insert(*run, *contract);
                if !self.of(*run)?.take_use() {
                    return Err("starts a run of a contract with no use left");
                }
            }
            Entry::Call { run, call, parent, reserved, each, counted, .. } => {
                self.last_call = self.last_call.max(*call);
                let account = self.of(*run)?;
                if let Some((grant, max)) = counted
                    && !account.take_call(*grant, *max)
                {
                    return Err("makes more calls than the grant allows");
                }
                if parent.is_none() {
                    let reserved = account.reserve(*reserved, each.clone());
                    let reserved = reserved.map_err(|_| "sets aside more gas than there is")?;
                    self.calls.insert(*call, (*run, reserved));
                }
            }
            Entry::Extend { run, call, more } => self.extend(*run, *call, *more)?,
            Entry::Settle { run, call, spent, .. } => {
                if let Some((_, reservation)) = self.calls.remove(call) {
                    self.of(*run)?.settle(reservation, *spent);
                }
            }
            Entry::Deny { run, call, spent, .. } => {
                self.last_call = self.last_call.max(*call);
                self.of(*run)?.spend(*spent);
            }
            Entry::Lease { run, reserved } => {
                let lease = self.of(*run)?.reserve(*reserved, Vec::new());
                self.leases.insert(*run, lease.map_err(|_| "sets aside more gas than there is")?);
            }
            Entry::Cpu { run, spent, .. } => self.cpu(*run, *spent)?,
            Entry::Carve { contract, helper, reserved } => {
                let account = self.accounts.get_mut(contract).ok_or("carves from no account")?;
                let carved = account.reserve(*reserved, Vec::new());
                self.carved
                    .insert(*helper, (*contract, carved.map_err(|_| "carves more gas than there is")?));
            }
            Entry::Return { contract, helper, spent } => self.give_back(contract, helper, *spent)?,
            Entry::End { run, .. } => drop(self.runs.remove(run)),
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
            self.last_call = self.last_call.max(*call);
            self.calls.insert(*call, (*run, Reservation::restore(*gas, each.clone())));
        }
        for (run, gas) in &live.leases {
            self.leases.insert(*run, Reservation::restore(*gas, Vec::new()));
        }
        for (helper, (parent, gas)) in &live.carved {
            self.carved.insert(*helper, (*parent, Reservation::restore(*gas, Vec::new())));
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

    fn extend(&mut self, run: RunId, call: u64, more: Gas) -> Result<(), &'static str> {
        let (of, mut reservation) = self.calls.remove(&call).ok_or("extends a call that is not in flight")?;
        self.of(run)?
            .extend(&mut reservation, more)
            .map_err(|_| "extends a call by more gas than there is")?;
        self.calls.insert(call, (of, reservation));
        Ok(())
    }

    fn cpu(&mut self, run: RunId, spent: Gas) -> Result<(), &'static str> {
        let lease = self.leases.remove(&run);
        let account = self.of(run)?;
        let leased = lease.map_or(Gas::ZERO, |lease| account.settle(lease, spent));
        account.spend(spent.saturating_sub(leased));
        Ok(())
    }

    fn give_back(&mut self, contract: &Digest, helper: &Digest, spent: Gas) -> Result<(), &'static str> {
        let (parent, carved) = self.carved.remove(helper).ok_or("returns gas that was not carved out")?;
        if parent != *contract {
            return Err("returns gas to another contract than it came from");
        }
        if let Some(account) = self.accounts.get_mut(helper) {
            account.close();
        }
        self.accounts.get_mut(contract).ok_or("returns gas to no account")?.settle(carved, spent);
        Ok(())
    }
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} {}", self.n, self.what)
    }
}

impl std::error::Error for Impossible {}
