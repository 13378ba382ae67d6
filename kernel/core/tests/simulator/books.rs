//! Books kept beside the relay, from the records alone, in the plainest way there is: what was signed, and what was spent
//! of it by whom. They know nothing of accounts, reservations or carving, and they outlive every crash; so whatever the
//! relay gets wrong about gas, uses, calls or numbers shows here.

use pawang_core::contract::Verified;
use pawang_core::digest::Digest;
use pawang_core::record::Entry;
use pawang_core::run::RunId;
use pawang_protocol::MethodName;
use std::collections::{BTreeMap, BTreeSet};

/// What one contract was signed for, and what went of it, helpers' share included.
#[derive(Debug)]
struct Page {
    verified: Verified,
    spent: u64,
    each: Vec<u64>,
    calls: Vec<u32>,
    runs: u32,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    pages: BTreeMap<Digest, Page>,
    runs: BTreeMap<RunId, Digest>,
    ended: BTreeSet<RunId>,
    /// Calls relayed and not settled: their run, their method, whether nested.
    open: BTreeMap<u64, (RunId, String, bool)>,
    highest_call: u64,
}

impl Books {
    /// Notes what a contract and those above it were signed for.
    pub fn note(&mut self, verified: &Verified) {
        for verified in std::iter::once(verified).chain(verified.parents.iter().map(AsRef::as_ref)) {
            let (each, calls) = (verified.contract.gas.each.len(), verified.contract.allow.len());
            self.pages.entry(verified.digest).or_insert_with(|| Page {
                verified: verified.clone(),
                spent: 0,
                each: vec![0; each],
                calls: vec![0; calls],
                runs: 0,
            });
        }
    }

    /// Every contract seen.
    pub fn contracts(&self) -> Vec<Digest> {
        self.pages.keys().copied().collect()
    }

    /// The highest number a call was recorded with.
    pub fn highest_call(&self) -> u64 {
        self.highest_call
    }

    /// The kernel was killed: nothing is alive any more. What was spent stays spent.
    pub fn crash(&mut self) {
        self.runs.clear();
        self.open.clear();
    }

    /// Takes in a record that is in the log.
    pub fn record(&mut self, entry: &Entry) {
        match entry {
            Entry::Start { run, contract, .. } => {
                assert!(!self.ended.contains(run), "a run begins again");
                assert_eq!(self.runs.insert(*run, *contract), None, "a run begins twice");
                let page = self.pages.get_mut(contract).expect("a run under no known contract");
                page.runs += 1;
                assert!(page.runs <= page.verified.contract.uses, "more runs than the contract has uses");
            }
            Entry::Call { run, call, parent, method, .. } => {
                self.number(*call);
                self.open.insert(*call, (*run, method.clone(), parent.is_some()));
                if parent.is_none() {
                    self.count(*run, method);
                }
            }
            Entry::Deny { run, call, spent, .. } => {
                self.number(*call);
                self.spend(*run, None, spent.0);
            }
            Entry::Settle { run, call, spent, .. } => {
                let (of, method, is_nested) = self.open.remove(call).expect("f66 a call settles once");
                assert_eq!(of, *run, "a call settles in its own run");
                if !is_nested {
                    self.spend(*run, Some(&method), spent.0);
                }
            }
            Entry::Cpu { run, spent, .. } => self.spend(*run, None, spent.0),
            Entry::End { run, .. } => {
                assert!(self.open.values().all(|(of, ..)| of != run), "a run ends with calls open");
                assert!(self.runs.remove(run).is_some(), "a run ends that does not run");
                self.ended.insert(*run);
            }
            _ => {}
        }
    }

    fn number(&mut self, call: u64) {
        assert!(call > self.highest_call, "call number {call} was used before");
        self.highest_call = call;
    }

    /// Counts gas against a run's contract and every contract that one was cut from.
    fn spend(&mut self, run: RunId, method: Option<&str>, gas: u64) {
        for page in self.lineage(run) {
            page.spent += gas;
            let limit = page.verified.contract.gas.limit.0;
            assert!(page.spent <= limit, "f68 a contract of {limit} gas has spent {}", page.spent);
            let Some(method) = method.map(|name| MethodName::new(name).unwrap()) else { continue };
            let ceilings = page.verified.contract.gas.each.iter().zip(&mut page.each);
            for (ceiling, spent) in ceilings.filter(|(ceiling, _)| ceiling.call.matches(&method)) {
                *spent += gas;
                assert!(*spent <= ceiling.limit.0, "f68 {spent} gas under a sub-ceiling of {ceiling:?}");
            }
        }
    }

    /// Counts a call against its grant, here and in every contract above.
    fn count(&mut self, run: RunId, method: &str) {
        let method = MethodName::new(method).unwrap();
        for page in self.lineage(run) {
            let grants = page.verified.contract.allow.iter().zip(&mut page.calls);
            for (grant, made) in grants.filter(|(grant, _)| grant.call.matches(&method)) {
                *made += 1;
                let max = grant.max_calls.unwrap_or(u32::MAX);
                assert!(*made <= max, "{made} calls under a grant of {max}: {grant}");
            }
        }
    }

    fn lineage(&mut self, run: RunId) -> impl Iterator<Item = &mut Page> {
        let own = self.runs.get(&run).copied().expect("a record of a run that does not run");
        let above = self.pages[&own].verified.chain.clone();
        self.pages
            .iter_mut()
            .filter(move |(digest, _)| **digest == own || above.contains(digest))
            .map(|(_, page)| page)
    }
}
