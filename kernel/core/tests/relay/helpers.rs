//! Helpers: a contract cut from another takes from it what it may use, gives back what it leaves, and ends with it.

use crate::kit;
use crate::stage::{READ, REFUSED, Stage, contract, helper};
use pawang_core::contract::{EachCeiling, Verified};
use pawang_core::record::Entry;
use pawang_core::relay::{Effect, Finish};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::{DenialCode, Failure, Gas};

fn finish(stage: &mut Stage, run: RunId) {
    stage.does(|relay, now, out| relay.finish(now, run, Finish::default(), out));
}

fn returned(stage: &Stage) -> Vec<u64> {
    let spent = |effect: &Effect| match effect {
        Effect::Record(Entry::Return { spent, .. }) => Some(spent.0),
        _ => None,
    };
    stage.out.iter().filter_map(spent).collect()
}

fn free(stage: &Stage, verified: &Verified) -> u64 {
    stage.account(verified).free().0
}

const ALL: &str = r#""allow":[{"call":"fs.read","path":"/input/**"}]"#;

#[test]
fn f68_a_helpers_gas_comes_out_of_its_parents_and_the_rest_goes_back() {
    let parent = contract(1_000, |_| {});
    let mut stage = Stage::new();
    let (run, _) = stage.begin(&parent);
    let minted = helper(&parent, 1, r#""gas":300"#);
    let (helping, automation) = stage.try_begin(&minted, Some(run)).unwrap();
    assert_eq!((free(&stage, &parent), stage.account(&minted).granted()), (575, Gas(300)));
    for _ in 0..7 {
        stage.call(automation, REFUSED);
    }
    finish(&mut stage, helping);
    assert_eq!((returned(&stage), free(&stage, &parent)), (vec![7], 868));
    assert_eq!((stage.account(&minted).free(), stage.account(&parent).spent()), (Gas::ZERO, Gas(7)));
}

#[test]
fn f68_a_helper_that_is_granted_more_than_is_left_is_not_admitted() {
    let parent = contract(1_000, |_| {});
    let mut stage = Stage::new();
    let (run, _) = stage.begin(&parent);
    let failure = stage.try_begin(&helper(&parent, 1, r#""gas":876"#), Some(run)).unwrap_err();
    assert_eq!(
        failure,
        Failure::new("parent_too_poor", "the contract above has 875 gas free, 876 are asked for")
            .hint("cut a smaller contract")
    );
    stage.try_begin(&helper(&parent, 1, r#""gas":875"#), Some(run)).unwrap();
}

#[test]
fn f68_gas_that_a_helper_gave_on_is_not_given_back_twice() {
    let parent = contract(1_000, |_| {});
    let mut stage = Stage::new();
    let (run, _) = stage.begin(&parent);
    let child = helper(&parent, 1, r#""gas":400"#);
    let (middle, _) = stage.try_begin(&child, Some(run)).unwrap();
    let grandchild = helper(&child, 2, r#""gas":300"#);
    let (last, automation) = stage.try_begin(&grandchild, Some(middle)).unwrap();
    finish(&mut stage, middle);
    assert_eq!(returned(&stage), [0; 0], "it waits for what it gave on");
    assert_eq!(stage.ended()[1], (last, Outcome::Stopped));
    let _ = automation;
    finish(&mut stage, last);
    assert_eq!(returned(&stage), [0, 0], "the last first, then the one above it");
    assert_eq!(free(&stage, &parent), 875);
}

#[test]
fn f68_helpers_share_their_parents_sub_ceiling() {
    let parent = contract(10_000, |contract| {
        contract.gas.each = vec![EachCeiling { call: kit::rule("fs.*").call, limit: Gas(500) }];
    });
    let mut stage = Stage::new();
    let (run, own) = stage.begin(&parent);
    let each = |limit: u64| format!(r#""gas":1000,{ALL},"each":[{{"call":"fs.*","limit":{limit}}}]"#);
    let (first, automation) = stage.try_begin(&helper(&parent, 1, &each(300)), Some(run)).unwrap();
    let failure = stage.try_begin(&helper(&parent, 2, &each(201)), Some(run)).unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        (
            "parent_too_poor",
            "the contract above has 200 gas left under its sub-ceiling fs.*, 201 are asked for"
        )
    );
    stage.try_begin(&helper(&parent, 3, &each(200)), Some(run)).unwrap();
    stage.try_begin(&helper(&parent, 4, r#""gas":1000"#), Some(run)).expect("it can make no such call");
    stage.call(own, READ);
    assert_eq!(
        stage.denial().unwrap().code,
        DenialCode::CeilingReached,
        "nothing is left for the parent itself"
    );
    let (tool, number) = stage.sends(automation, READ);
    stage.reply(tool, number, pawang_protocol::Status::Ok, 100 << 10);
    finish(&mut stage, first);
    assert_eq!(stage.account(&parent).available(&[0]), Gas(200), "what the first did not use is back");
}

#[test]
fn f68_helpers_share_their_parents_counted_calls() {
    let parent = contract(10_000, |contract| contract.allow[0].max_calls = Some(10));
    let mut stage = Stage::new();
    let (run, own) = stage.begin(&parent);
    let calls = |max: u32| {
        format!(r#""gas":500,"allow":[{{"call":"fs.read","path":"/input/**","max_calls":{max}}}]"#)
    };
    let (first, automation) = stage.try_begin(&helper(&parent, 1, &calls(6)), Some(run)).unwrap();
    let failure = stage.try_begin(&helper(&parent, 2, &calls(5)), Some(run)).unwrap_err();
    assert_eq!(failure.code, "parent_calls");
    for _ in 0..4 {
        stage.sends(own, READ);
    }
    stage.call(own, READ);
    assert_eq!(stage.denial().unwrap().code, DenialCode::CallsUsedUp);
    stage.sends(automation, READ);
    finish(&mut stage, first);
    assert_eq!(stage.account(&parent).calls()[0], 5, "the five it did not make are back");
}

#[test]
fn helpers_end_with_the_run_they_help() {
    for (outcome, of_helpers) in [
        (Outcome::Done, Outcome::Stopped),
        (Outcome::OutOfGas, Outcome::Stopped),
        (Outcome::Revoked, Outcome::Revoked),
    ] {
        let parent = contract(1_000, |_| {});
        let mut stage = Stage::new();
        let (run, _) = stage.begin(&parent);
        let child = helper(&parent, 1, r#""gas":300"#);
        let (first, _) = stage.try_begin(&child, Some(run)).unwrap();
        let (second, _) = stage.try_begin(&helper(&parent, 2, r#""gas":10"#), Some(run)).unwrap();
        let (below, _) = stage.try_begin(&helper(&child, 3, r#""gas":10"#), Some(first)).unwrap();
        stage.does(|relay, _, out| relay.end(run, outcome, out));
        let mut ended = stage.ended();
        assert_eq!(ended.remove(0), (run, outcome));
        ended.sort_by_key(|&(run, _)| run);
        assert_eq!(ended, [first, second, below].map(|run| (run, of_helpers)));
    }
}

#[test]
fn f65_a_helper_of_a_run_that_is_ending_does_not_begin_and_its_gas_goes_back() {
    let parent = contract(1_000, |_| {});
    let mut stage = Stage::new();
    let (run, _) = stage.begin(&parent);
    stage.does(|relay, _, out| relay.end(run, Outcome::Done, out));
    let failure = stage.try_begin(&helper(&parent, 1, r#""gas":300"#), Some(run)).unwrap_err();
    assert_eq!((failure.code.as_str(), returned(&stage)), ("parent_ended", vec![0]));
    assert_eq!(free(&stage, &parent), 875);
}

/// A contract, and one that its delegate cut from it offline.
fn delegated() -> (Verified, Verified) {
    let delegate = |contract: &mut pawang_core::contract::Contract| {
        contract.delegate = Some(kit::key("delegate"));
    };
    let parent = contract(1_000, delegate);
    let mut below = (*parent.contract).clone();
    below.issuer = kit::key("delegate");
    (below.parent, below.delegate) = (Some(parent.digest), None);
    (below.gas.limit, below.uses) = (Gas(400), 2);
    below.not_after -= 60;
    let above = kit::sign(&parent.contract, "operator");
    let envelope = kit::sign(&below, "delegate").under(&above);
    (parent, kit::present(envelope.to_json().as_bytes()).unwrap())
}

#[test]
fn a_contract_that_was_cut_offline_brings_its_parents_account_with_it() {
    let (parent, below) = delegated();
    let mut stage = Stage::new();
    let (run, _) = stage.begin(&below);
    assert_eq!((free(&stage, &parent), stage.account(&below).granted()), (600, Gas(400)));
    finish(&mut stage, run);
    assert_eq!(returned(&stage), [0; 0], "it has a use left");
    let (run, _) = stage.begin(&below);
    finish(&mut stage, run);
    assert_eq!((returned(&stage), free(&stage, &parent)), (vec![0], 1_000));
    assert_eq!(stage.try_begin(&below, None).unwrap_err().code, "out_of_gas");
}

#[test]
fn revoking_a_contract_ends_what_was_cut_from_it_and_gives_back_what_it_leaves() {
    for (revokes_parent, is_idle) in [(true, false), (false, false), (true, true), (false, true)] {
        let (parent, below) = delegated();
        let mut stage = Stage::new();
        let (run, _) = stage.begin(&below);
        if is_idle {
            finish(&mut stage, run);
        }
        let contract = if revokes_parent { parent.digest } else { below.digest };
        let hit = stage.does(|relay, _, out| relay.revoke(contract, out));
        assert_eq!(hit, if is_idle { vec![] } else { vec![run] });
        if !is_idle {
            assert_eq!(returned(&stage), [0; 0]);
            finish(&mut stage, run);
        }
        assert_eq!((returned(&stage), free(&stage, &parent)), (vec![0], 1_000));
        assert_eq!(stage.try_begin(&below, None).unwrap_err().code, "revoked");
    }
}

#[test]
fn what_an_expired_contract_left_goes_back_before_it_is_forgotten() {
    let (parent, below) = delegated();
    let mut stage = Stage::new();
    let (run, _) = stage.begin(&below);
    finish(&mut stage, run);
    let mut out = Vec::new();
    stage.relay.forget_expired(below.contract.not_after - 1, &mut out);
    assert_eq!((out.len(), free(&stage, &parent)), (0, 600));
    stage.relay.forget_expired(below.contract.not_after, &mut out);
    assert_eq!((out.len(), free(&stage, &parent)), (1, 1_000));
    assert!(stage.relay.account(&below.digest).is_none() && stage.relay.is_lawful());
}
