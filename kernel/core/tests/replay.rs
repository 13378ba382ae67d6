//! The log read back: what a crash costs, what a snapshot says, and what cannot stand in a log that this kernel wrote.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends there")]

use pawang_core::digest::Digest;
use pawang_core::ledger::{Account, Share, ShareCalls};
use pawang_core::record::{Entry, Live, Record};
use pawang_core::replay::{Replay, Restored};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::{Denial, DenialCode, Gas};

const A: RunId = RunId(1);
const B: RunId = RunId(2);
const ONE: Digest = Digest([1; 32]);
const TWO: Digest = Digest([2; 32]);

fn admit(contract: Digest, gas: u64) -> Entry {
    let account = Account::open(Gas(gas), 2, &[Gas(60)], 2, 99);
    Entry::Admit { contract, name: String::new(), issuer: String::new(), account, payload: String::new() }
}

fn start(run: RunId, contract: Digest) -> Entry {
    Entry::Start {
        run,
        contract,
        name: String::new(),
        parent: None,
        program: Vec::new(),
        walls: String::new(),
    }
}

fn call(run: RunId, call: u64, reserved: u64) -> Entry {
    let counted = Some((0, 3));
    let (method, resource) = (String::new(), String::new());
    let (reserved, each, secrets) = (Gas(reserved), vec![0], Vec::new());
    Entry::Call { run, call, parent: None, method, resource, reserved, each, counted, sent: 0, secrets }
}

fn nested(run: RunId, number: u64, of: u64) -> Entry {
    match call(run, number, 0) {
        Entry::Call { run, call, method, resource, .. } => Entry::Call {
            run,
            call,
            parent: Some(of),
            method,
            resource,
            reserved: Gas::ZERO,
            each: Vec::new(),
            counted: None,
            sent: 0,
            secrets: Vec::new(),
        },
        other => other,
    }
}

fn settle(run: RunId, call: u64, spent: u64) -> Entry {
    let (status, spent) = ("ok".to_owned(), Gas(spent));
    Entry::Settle { run, call, status, spent, received: 0, took_us: 0, left: Gas::ZERO }
}

fn deny(run: RunId, call: u64, spent: u64) -> Entry {
    let denial = Denial {
        code: DenialCode::UnknownMethod,
        call: String::new(),
        resource: String::new(),
        reason: String::new(),
        rule: None,
        contract: String::new(),
        gas_left: Gas::ZERO,
        retryable: false,
        allow: String::new(),
    };
    Entry::Deny { run, call, spent: Gas(spent), denial }
}

fn lease(run: RunId, reserved: u64) -> Entry {
    Entry::Lease { run, reserved: Gas(reserved) }
}

fn cpu(run: RunId, spent: u64) -> Entry {
    Entry::Cpu { run, ms: spent, spent: Gas(spent), left: Gas::ZERO }
}

fn carve(reserved: u64) -> Entry {
    let share = Share { each: Vec::new(), calls: vec![ShareCalls { from: 1, max: 5, to: 0, calls: 3 }] };
    Entry::Carve { contract: ONE, helper: TWO, reserved: Gas(reserved), share }
}

fn give_back(spent: u64) -> Entry {
    Entry::Return { contract: ONE, helper: TWO, spent: Gas(spent) }
}

fn end(run: RunId) -> Entry {
    Entry::End {
        run,
        outcome: Outcome::Done,
        exit: None,
        spent: Gas::ZERO,
        took_ms: 0,
        detail: String::new(),
    }
}

/// A log with something of everything under way: two runs, two calls and one nested, a lease, a helper's contract.
fn under_way() -> Vec<Entry> {
    vec![
        admit(ONE, 1_000),
        start(A, ONE),
        lease(A, 100),
        carve(200),
        admit(TWO, 200),
        start(B, TWO),
        call(A, 1, 50),
        settle(A, 1, 20),
        call(A, 2, 30),
        nested(A, 3, 2),
        deny(B, 4, 1),
        call(B, 5, 40),
    ]
}

fn replay(entries: &[Entry]) -> Replay {
    let mut replay = Replay::default();
    for entry in entries {
        assert_eq!(replay.entry(entry), Ok(()), "{entry:?}");
    }
    replay
}

/// Free, reserved, spent, uses left, calls made.
fn state(account: &Account) -> (u64, u64, u64, u32, Vec<u32>) {
    let gas = (account.free().0, account.reserved().0, account.spent().0);
    (gas.0, gas.1, gas.2, account.uses_left(), account.calls().to_vec())
}

#[test]
fn every_entry_moves_what_the_relay_moved() {
    let replay = replay(&under_way());
    assert_eq!(state(&replay.accounts()[&ONE]), (650, 330, 20, 1, vec![2, 3]));
    assert_eq!(state(&replay.accounts()[&TWO]), (159, 40, 1, 1, vec![1, 0]));
}

#[test]
fn f70_what_was_under_way_when_the_log_ends_is_spent_and_its_runs_are_lost() {
    let Restored { accounts, lost, next_call, .. } = replay(&under_way()).finish();
    assert_eq!((lost, next_call), (vec![A, B], 6));
    assert_eq!(state(&accounts[&ONE]), (650, 0, 350, 1, vec![2, 3]));
    assert_eq!(state(&accounts[&TWO]), (159, 0, 41, 1, vec![1, 0]));
}

#[test]
fn f70_a_log_cut_after_any_record_is_never_richer_than_it_was_there() {
    let entries = under_way();
    for cut in 0..entries.len() {
        let before = replay(&entries[..cut]);
        let free = before.accounts().clone();
        for (contract, account) in before.finish().accounts {
            assert!(account.is_lawful());
            assert_eq!((account.free(), account.reserved()), (free[&contract].free(), Gas::ZERO), "{cut}");
        }
    }
}

#[test]
fn inv5_a_snapshot_taken_anywhere_says_as_much_as_all_before_it() {
    let mut entries = under_way();
    entries.extend([
        settle(A, 3, 1),
        settle(A, 2, 30),
        settle(B, 5, 0),
        cpu(A, 150),
        cpu(B, 2),
        end(B),
        give_back(3),
        end(A),
    ]);
    // What a relay would say of itself after so many entries.
    let live_after = |cut: usize| {
        let mut live = Live::default();
        for entry in &entries[..cut] {
            match entry.clone() {
                Entry::Start { run, contract, .. } => drop(live.runs.insert(run, contract)),
                Entry::Call { run, call, parent: None, reserved, each, .. } => {
                    live.calls.push((call, run, reserved, each));
                }
                Entry::Call { run, call, .. } => live.nested.push((call, run)),
                Entry::Settle { call, .. } => {
                    live.calls.retain(|of| of.0 != call);
                    live.nested.retain(|of| of.0 != call);
                }
                Entry::Lease { run, reserved } => drop(live.leases.insert(run, reserved)),
                Entry::Cpu { run, .. } => drop(live.leases.remove(&run)),
                Entry::Carve { contract, helper, reserved, share } => {
                    live.carved.insert(helper, (contract, reserved, share));
                }
                Entry::Return { helper, .. } => drop(live.carved.remove(&helper)),
                Entry::End { run, .. } => drop(live.runs.remove(&run)),
                _ => {}
            }
        }
        live
    };
    let whole = replay(&entries);
    for cut in 0..=entries.len() {
        let before = replay(&entries[..cut]);
        let accounts = before.accounts().clone();
        let next_call = before.finish().next_call;
        let (key, trust, revoked) = (String::new(), serde_json::Value::Null, Vec::new());
        let (prices, live) = (ONE, live_after(cut));
        let snapshot = Entry::Snapshot { key, prices, accounts, revoked, trust, next_call, live };
        let rest = replay(&[&[snapshot], &entries[cut..]].concat());
        assert_eq!(rest.accounts(), whole.accounts(), "{cut}");
        assert_eq!(rest.finish().next_call, 6, "{cut}");
    }
    assert_eq!(state(&whole.accounts()[&ONE]), (797, 0, 203, 1, vec![2, 1]));
}

#[test]
fn a_boot_record_ends_what_was_under_way() {
    let mut entries = under_way();
    entries.push(Entry::Boot { version: String::new(), lost: vec![A, B] });
    let mut replay = replay(&entries);
    assert_eq!(replay.entry(&settle(A, 2, 0)), Err("is about a call that is not in flight"));
    assert_eq!(state(&replay.accounts()[&ONE]), (650, 0, 350, 1, vec![2, 3]));
    assert_eq!(replay.entry(&start(A, ONE)), Ok(()));
    assert_eq!(replay.entry(&deny(A, 6, 1)), Ok(()));
}

#[test]
fn trust_and_revocations_are_kept() {
    let trust = serde_json::json!({"keys": 1});
    let restored = replay(&[Entry::Trust { trust: trust.clone() }, Entry::Revoke { contract: ONE }]).finish();
    assert_eq!((restored.trust, restored.revoked), (trust, [ONE].into()));
    assert_eq!(replay(&[]).finish().trust, serde_json::Value::Null);
}

#[test]
fn what_the_relay_cannot_have_written_is_impossible() {
    let gas = "moves more gas than there is";
    let number = "numbers a call with a number that was used before";
    let dead = "belongs to a run that is not alive";
    let no_call = "is about a call that is not in flight";
    for (entry, what) in [
        (admit(ONE, 5), "admits a contract that has an account"),
        (start(A, ONE), "starts a run that is alive"),
        (start(RunId(3), Digest([3; 32])), "belongs to a contract without an account"),
        (call(A, 6, 651), gas),
        (call(A, 6, 11), gas),
        (call(A, 5, 1), number),
        (deny(A, 4, 1), number),
        (deny(A, 0, 1), number),
        (call(RunId(9), 6, 1), dead),
        (deny(A, 6, 651), gas),
        (deny(RunId(9), 6, 1), dead),
        (settle(A, 1, 1), no_call),
        (settle(A, 9, 1), no_call),
        (settle(B, 2, 1), no_call),
        (settle(A, 2, 31), "spends more than was set aside"),
        (Entry::Extend { run: A, call: 2, more: Gas(11) }, gas),
        (Entry::Extend { run: A, call: 1, more: Gas(1) }, no_call),
        (Entry::Extend { run: A, call: 3, more: Gas(1) }, "extends a call that has nothing set aside"),
        (lease(B, 160), gas),
        (lease(A, 1), "leases CPU time to a run that has a lease"),
        (cpu(A, 751), gas),
        (cpu(RunId(9), 1), dead),
        (carve(651), "carves more than there is"),
        (
            Entry::Carve {
                contract: Digest([3; 32]),
                helper: TWO,
                reserved: Gas(0),
                share: Share::default(),
            },
            "carves from no account",
        ),
        (give_back(1), "returns more gas than is left"),
        (Entry::Return { contract: ONE, helper: ONE, spent: Gas(0) }, "returns gas that was not carved out"),
        (
            Entry::Return { contract: TWO, helper: TWO, spent: Gas(0) },
            "returns gas to another contract than it came from",
        ),
        (end(A), "ends a run with gas set aside"),
        (end(RunId(9)), "ends a run that is not alive"),
    ] {
        assert_eq!(replay(&under_way()).entry(&entry), Err(what), "{entry:?}");
    }
}

#[test]
fn f60_uses_and_counted_calls_are_held_by_the_log_too() {
    let mut twice = replay(&[admit(ONE, 9), start(A, ONE), end(A), start(A, ONE), end(A)]);
    assert_eq!(twice.entry(&start(A, ONE)), Err("starts a run of a contract with no use left"));
    let mut counted = replay(&[admit(ONE, 9), start(A, ONE), call(A, 1, 1), call(A, 2, 1), call(A, 3, 1)]);
    assert_eq!(counted.entry(&call(A, 4, 1)), Err("makes more calls than the grant allows"));
}

#[test]
fn an_impossible_record_is_named_by_its_number() {
    let record = Record { n: 7, t: 0, prev: ONE, entry: end(A) };
    let impossible = Replay::default().apply(&record).unwrap_err();
    assert_eq!(impossible.to_string(), "record 7 ends a run that is not alive");
}
