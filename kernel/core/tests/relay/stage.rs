//! A relay on a stage: events go in one at a time, and after each the ledger is lawful and the log says the same.

use crate::kit::{self, NOW, methods, sign};
use pawang_core::attenuate::{HelperRequest, Mint, mint};
use pawang_core::contract::{Contract, Serial, Verified};
use pawang_core::digest::Digest;
use pawang_core::ledger::Account;
use pawang_core::permit::Policy;
use pawang_core::record::Entry;
use pawang_core::relay::{Answer, Body, Effect, Fault, Inbound, Launch, Now, Relay};
use pawang_core::replay::Replay;
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_protocol::{Denial, Failure, Gas, Status};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub struct Stage {
    pub relay: Relay,
    pub now: Now,
    /// What the last event wanted done.
    pub out: Vec<Effect>,
    replay: Replay,
    ids: HashMap<PeerId, u64>,
    runs: u32,
}

/// A call in its simplest form; tests change what they are about.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    pub method: &'static str,
    pub resource: &'static str,
    pub parent: u64,
    pub gas_max: u64,
    pub deadline_ms: u32,
    pub sent: u64,
}

pub const READ: Ask = ask("fs.read", "/input/a");
pub const EXEC: Ask = ask("exec.run", "/usr/bin/git\0status");
pub const SPAWN: Ask = ask("kernel.spawn", "/usr/bin/git\0status");
pub const WRITE: Ask = ask("memory.write", "k");
pub const REFUSED: Ask = ask("fs.read", "/etc/passwd");

pub const fn ask(method: &'static str, resource: &'static str) -> Ask {
    Ask { method, resource, parent: 0, gas_max: 0, deadline_ms: 0, sent: 0 }
}

/// Grants of everything the tests ask for.
pub const GRANTS: &str = "allow fs.read path=/input/**
    allow fs.write path=/output/**
    allow http.fetch http=GET https://h/**
    allow memory.write name=**
    allow exec.run argv=/usr/bin/git **
    allow run.info
    allow run.spawn name=helper";

/// A contract with this much gas, changed as the test needs it, signed and verified.
pub fn contract(gas: u64, change: impl FnOnce(&mut Contract)) -> Verified {
    let mut contract = kit::contract(&kit::rules(GRANTS));
    (contract.gas.limit, contract.uses) = (Gas(gas), 9);
    contract.serial = Serial(Digest::of(&gas.to_le_bytes()).0[..16].try_into().unwrap());
    change(&mut contract);
    kit::present(sign(&contract, "operator").to_json().as_bytes()).unwrap()
}

/// A contract that a run under `own` mints for a helper.
pub fn helper(own: &Verified, serial: u8, json: &str) -> Verified {
    let with = Mint { now: NOW, serial: Serial([serial; 16]), methods: &methods(), protected: &[] };
    let json = format!("{{\"name\":\"helper\",{json}}}");
    mint(own, HelperRequest::parse(json.as_bytes()).unwrap(), &with).unwrap()
}

impl Stage {
    pub fn new() -> Self {
        let relay = Relay::new(Arc::new(methods()), BTreeMap::new(), BTreeSet::new(), 1);
        let now = Now { us: 1_000_000, unix_s: NOW };
        Self { relay, now, out: Vec::new(), replay: Replay::default(), ids: HashMap::new(), runs: 0 }
    }

    /// A stage with one run under a contract of this much gas: its run and its automation.
    pub fn with(gas: u64) -> (Self, RunId, PeerId) {
        let mut stage = Self::new();
        let (run, automation) = stage.begin(&contract(gas, |_| {}));
        (stage, run, automation)
    }

    /// Lets something happen.
    pub fn does<T>(&mut self, act: impl FnOnce(&mut Relay, Now, &mut Vec<Effect>) -> T) -> T {
        self.out.clear();
        let outcome = act(&mut self.relay, self.now, &mut self.out);
        for effect in &self.out {
            if let Effect::Record(entry) = effect {
                assert_eq!(self.replay.entry(entry), Ok(()), "{entry:?}");
            }
        }
        assert!(self.relay.is_lawful(), "INV-3: {:#?}", self.out);
        assert_eq!(self.replay.accounts(), self.relay.accounts(), "INV-5: {:#?}", self.out);
        outcome
    }

    pub fn begin(&mut self, verified: &Verified) -> (RunId, PeerId) {
        self.try_begin(verified, None).unwrap()
    }

    /// Admits and starts, as the daemon does.
    pub fn try_begin(
        &mut self,
        verified: &Verified,
        parent: Option<RunId>,
    ) -> Result<(RunId, PeerId), Failure> {
        self.runs += 1;
        let run = RunId(self.runs);
        let policy = Arc::new(Policy::compile(&verified.contract, &methods()).unwrap());
        let launch = Launch { run, parent, program: Vec::new(), walls: String::new(), unix_ms: 0 };
        self.does(|relay, now, out| {
            relay.admit(verified, out)?;
            relay.start(now, verified.clone(), policy, launch, out)
        })
        .map(|automation| (run, automation))
    }

    /// Makes a call; where it goes and its number are in [`Stage::forwarded`] and [`Stage::served`].
    pub fn call(&mut self, from: PeerId, ask: Ask) {
        let id = self.ids.entry(from).or_default();
        *id += 1;
        let id = *id;
        assert_eq!(self.call_as(from, id, ask, false), Ok(()));
    }

    pub fn call_as(&mut self, from: PeerId, id: u64, ask: Ask, has_secrets: bool) -> Result<(), Fault> {
        let method = methods().id(ask.method).map_or(u32::MAX, |id| id.0);
        let Ask { resource, parent, gas_max, deadline_ms, sent, .. } = ask;
        let inbound = Inbound { id, parent, method, deadline_ms, gas_max, resource, sent, has_secrets };
        self.does(|relay, now, out| relay.call(now, from, &inbound, out))
    }

    /// Makes a call that must be forwarded: the tool and the call's number.
    pub fn sends(&mut self, from: PeerId, ask: Ask) -> (PeerId, u64) {
        self.call(from, ask);
        self.forwarded().unwrap_or_else(|| panic!("not forwarded: {:#?}", self.out))
    }

    /// A last reply of a tool.
    pub fn reply(&mut self, from: PeerId, id: u64, status: Status, received: u64) {
        self.try_reply(from, Answer { id, status, more: false, gas: Gas::ZERO, received }).unwrap();
    }

    /// A chunk of a reply.
    pub fn chunk(&mut self, from: PeerId, id: u64, received: u64) {
        let answer = Answer { id, status: Status::Ok, more: true, gas: Gas::ZERO, received };
        self.try_reply(from, answer).unwrap();
    }

    pub fn try_reply(&mut self, from: PeerId, answer: Answer) -> Result<(), Fault> {
        self.does(|relay, now, out| relay.reply(now, from, answer, out))
    }

    pub fn gone(&mut self, peer: PeerId) {
        self.does(|relay, now, out| relay.peer_gone(now, peer, out));
    }

    pub fn tick_at_ms(&mut self, ms: u64) {
        self.now.us = 1_000_000 + ms * 1_000;
        self.does(|relay, now, out| relay.tick(now, out));
    }

    pub fn cpu(&mut self, run: RunId, total_ms: u64) -> Option<u64> {
        self.does(|relay, _, out| relay.cpu(run, total_ms, 1, out))
    }

    pub fn account(&self, verified: &Verified) -> &Account {
        self.relay.account(&verified.digest).unwrap()
    }

    /// Free, reserved, spent.
    pub fn gas(&self, run: RunId) -> (u64, u64, u64) {
        let contract = self.relay.contract(run).unwrap().digest;
        let account = self.relay.account(&contract).unwrap();
        (account.free().0, account.reserved().0, account.spent().0)
    }

    pub fn forwarded(&self) -> Option<(PeerId, u64)> {
        self.find(|effect| match effect {
            Effect::Forward { to, id, .. } => Some((*to, *id)),
            _ => None,
        })
    }

    pub fn served(&self) -> Option<u64> {
        self.find(|effect| match effect {
            Effect::Serve { id, .. } => Some(*id),
            _ => None,
        })
    }

    pub fn denial(&self) -> Option<&Denial> {
        self.find(|effect| match effect {
            Effect::Answer { status: Status::Denied, body: Body::Denial(denial), .. } => Some(&**denial),
            _ => None,
        })
    }

    /// The answer: to whom, under which id, how, whether it is the last, what it cost.
    pub fn answer(&self) -> Option<(PeerId, u64, Status, bool, u64)> {
        self.find(|effect| match effect {
            Effect::Answer { to, id, status, more, gas, .. } => Some((*to, *id, *status, !more, gas.0)),
            _ => None,
        })
    }

    /// The code of the failure that is answered.
    pub fn failure(&self) -> Option<&str> {
        self.find(|effect| match effect {
            Effect::Answer { status: Status::Failed, body: Body::Failure(failure), .. } => {
                Some(failure.code.as_str())
            }
            _ => None,
        })
    }

    /// Each settlement: status and gas spent.
    pub fn settled(&self) -> Vec<(&str, u64)> {
        let settled = |effect| match effect {
            &Effect::Record(Entry::Settle { ref status, spent, .. }) => Some((status.as_str(), spent.0)),
            _ => None,
        };
        self.out.iter().filter_map(settled).collect()
    }

    pub fn ended(&self) -> Vec<(RunId, Outcome)> {
        let ended = |effect: &Effect| match effect {
            Effect::EndRun { run, outcome } => Some((*run, *outcome)),
            _ => None,
        };
        self.out.iter().filter_map(ended).collect()
    }

    fn find<'a, T>(&'a self, is_it: impl Fn(&'a Effect) -> Option<T>) -> Option<T> {
        self.out.iter().find_map(is_it)
    }
}
