//! Runs: how one begins, pays for its CPU time, and ends.

use crate::stage::{Ask, EXEC, READ, REFUSED, SPAWN, Stage, ask, contract};
use pawang_core::digest::Digest;
use pawang_core::record::Entry;
use pawang_core::relay::{Effect, Finish};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::{Gas, Status};

fn code<T>(outcome: Result<T, pawang_protocol::Failure>) -> String {
    outcome.err().map_or_else(|| "none".to_owned(), |failure| failure.code)
}

#[test]
fn f60_a_contract_is_run_as_often_as_it_says_and_not_once_more() {
    let verified = contract(1_000, |contract| contract.uses = 2);
    let mut stage = Stage::new();
    stage.begin(&verified);
    stage.begin(&verified);
    assert_eq!(code(stage.try_begin(&verified, None)), "used_up");
    assert_eq!((stage.out.len(), stage.account(&verified).uses_left()), (0, 0));
}

#[test]
fn f60_spent_is_spent_whoever_presents_the_contract_again() {
    let verified = contract(3, |_| {});
    let mut stage = Stage::new();
    let (run, automation) = stage.begin(&verified);
    for _ in 0..3 {
        stage.call(automation, REFUSED);
    }
    stage.does(|relay, now, out| relay.finish(now, run, Finish::default(), out));
    assert_eq!(code(stage.try_begin(&verified, None)), "out_of_gas");
    assert_eq!(stage.account(&verified).spent(), Gas(3));
}

#[test]
fn f01_a_contract_without_gas_starts_nothing() {
    let mut stage = Stage::new();
    assert_eq!(code(stage.try_begin(&contract(0, |_| {}), None)), "out_of_gas");
}

#[test]
fn a_revoked_contract_is_not_admitted_and_what_runs_under_it_ends() {
    let verified = contract(1_000, |_| {});
    let mut stage = Stage::new();
    let (run, automation) = stage.begin(&verified);
    let (tool, number) = stage.sends(automation, READ);
    let hit = stage.does(|relay, _, out| relay.revoke(verified.digest, out));
    assert_eq!((hit, stage.ended()), (vec![run], vec![(run, Outcome::Revoked)]));
    assert_eq!(stage.out[0], Effect::Record(Entry::Revoke { contract: verified.digest }));
    stage.reply(tool, number, Status::Ok, 0);
    assert_eq!(stage.answer(), None);
    assert_eq!(code(stage.try_begin(&verified, None)), "revoked");
    stage.does(|relay, _, out| relay.revoke(verified.digest, out));
    assert!(stage.out.is_empty(), "revoked once");
}

#[test]
fn a_contract_may_be_revoked_before_it_is_known() {
    let verified = contract(1_000, |_| {});
    let mut stage = Stage::new();
    stage.does(|relay, _, out| relay.revoke(verified.digest, out));
    assert_eq!(code(stage.try_begin(&verified, None)), "revoked");
    assert!(stage.relay.account(&verified.digest).is_none());
}

#[test]
fn two_runs_never_have_one_id() {
    let verified = contract(1_000, |_| {});
    let (mut stage, run, _) = Stage::with(1_000);
    let launch = pawang_core::relay::Launch {
        run,
        parent: None,
        program: Vec::new(),
        walls: String::new(),
        unix_ms: 0,
    };
    let policy = pawang_core::permit::Policy::compile(&verified.contract, &crate::kit::methods()).unwrap();
    let outcome =
        stage.does(|relay, now, out| relay.start(now, verified, std::sync::Arc::new(policy), launch, out));
    assert_eq!((code(outcome), stage.out.len()), ("run_exists".to_owned(), 0));
}

#[test]
fn cpu_time_is_paid_from_its_lease_and_beyond_it() {
    let (mut stage, run, _) = Stage::with(1_000);
    assert_eq!((stage.cpu(run, 100), stage.gas(run)), (Some(112), (788, 112, 100)));
    assert_eq!((stage.cpu(run, 400), stage.gas(run).2), (Some(75), 400), "three times its lease");
    assert_eq!(
        (stage.cpu(run, 300), stage.gas(run).2),
        (Some(75), 400),
        "a clock that ran back costs nothing"
    );
    assert_eq!((stage.cpu(run, 1_000), stage.gas(run)), (None, (0, 0, 1_000)));
    assert_eq!(stage.ended(), [(run, Outcome::OutOfGas)]);
    assert_eq!(stage.cpu(run, 2_000), None);
    assert!(stage.out.is_empty());
}

#[test]
fn f71_cpu_time_that_cannot_be_paid_ends_the_run_and_takes_what_is_left() {
    let (mut stage, run, _) = Stage::with(100);
    assert_eq!(stage.cpu(run, u64::MAX), None);
    assert_eq!((stage.gas(run), stage.ended()), ((0, 0, 100), vec![(run, Outcome::OutOfGas)]));
}

#[test]
fn a_run_whose_gas_is_all_set_aside_for_calls_is_not_out_of_gas() {
    let (mut stage, run, automation) = Stage::with(100);
    let (tool, number) = stage.sends(automation, Ask { gas_max: 84, ..READ });
    assert_eq!(stage.gas(run), (0, 100, 0));
    assert!(stage.cpu(run, 16).is_some());
    assert_eq!((stage.gas(run), stage.ended()), ((0, 84, 16), vec![]));
    stage.reply(tool, number, Status::Ok, 0);
    assert_eq!(stage.gas(run), (83, 0, 17));
    assert!(stage.cpu(run, 17).is_some());
}

#[test]
fn an_idle_run_is_read_less_and_less_often() {
    let (mut stage, run, _) = Stage::with(1_000_000);
    let waits: Vec<_> = (0..12).map(|_| stage.cpu(run, 0)).collect();
    let expected = [8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_000, 4_000, 4_000];
    assert_eq!(waits, expected.map(Some));
}

#[test]
fn finish_closes_the_books() {
    let (mut stage, run, automation) = Stage::with(1_000);
    stage.sends(automation, READ);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.call(exec, Ask { parent, ..SPAWN });
    let nested = stage.served().unwrap();
    stage.call(automation, ask("run.info", ""));
    stage.now.us += 5_000;
    let verified = stage.relay.contract(run).unwrap().clone();
    let last = Finish { cpu_ms: 7, exit: Some(137), detail: "killed".to_owned() };
    stage.does(|relay, now, out| relay.finish(now, run, last, out));
    let with_run = "ended with its run";
    assert_eq!(stage.settled(), [(with_run, 1), (with_run, 1), (with_run, 26), (with_run, 1)]);
    assert!(stage.out.contains(&Effect::CancelServed { id: nested }));
    let spent = Gas(1 + 26 + 1 + 7);
    let end = Entry::End {
        run,
        outcome: Outcome::Done,
        exit: Some(137),
        spent,
        took_ms: 5,
        detail: "killed".to_owned(),
    };
    assert_eq!(stage.out.last(), Some(&Effect::Record(end)));
    assert_eq!((stage.account(&verified).reserved(), stage.account(&verified).spent()), (Gas::ZERO, spent));
    assert_eq!(
        (stage.relay.runs().count(), stage.relay.whose(automation), stage.relay.next_deadline_us()),
        (0, None, None)
    );
}

#[test]
fn how_a_run_ends_is_decided_once() {
    let (mut stage, run, automation) = Stage::with(1_000);
    stage.does(|relay, _, out| relay.end(run, Outcome::TimedOut, out));
    assert_eq!(stage.ended(), [(run, Outcome::TimedOut)]);
    stage.does(|relay, _, out| relay.end(run, Outcome::Done, out));
    stage.does(|relay, now, out| {
        let fault = pawang_core::relay::Fault("noise".to_owned());
        relay.fault(now, automation, &fault, out);
    });
    assert!(stage.out.is_empty(), "an automation that is being killed fills no log with its faults");
    stage.does(|relay, now, out| relay.finish(now, run, Finish::default(), out));
    assert!(matches!(stage.out.last(), Some(Effect::Record(Entry::End { outcome: Outcome::TimedOut, .. }))));
}

#[test]
fn what_is_over_or_never_was_changes_nothing() {
    let (mut stage, _, _) = Stage::with(1_000);
    let nobody = RunId(77);
    stage.does(|relay, now, out| {
        relay.end(nobody, Outcome::Done, out);
        relay.finish(now, nobody, Finish::default(), out);
        relay.warm(nobody, "fs", out);
        assert_eq!(relay.cpu(nobody, 5, 1, out), None);
        assert_eq!(relay.revoke(Digest::of(b"nobody's"), out), []);
    });
    assert_eq!(stage.out.len(), 1, "a revocation is kept: {:?}", stage.out);
}

#[test]
fn f60_expired_contracts_are_forgotten_and_no_others() {
    let (short, long) = (contract(10, |contract| contract.not_after -= 1), contract(11, |_| {}));
    let mut stage = Stage::new();
    for verified in [&short, &long] {
        let (run, _) = stage.begin(verified);
        stage.does(|relay, now, out| relay.finish(now, run, Finish::default(), out));
    }
    let (live, _) = stage.begin(&contract(12, |contract| contract.not_after -= 1));
    stage.relay.forget_expired(short.contract.not_after, &mut Vec::new());
    assert!(stage.relay.account(&short.digest).is_none());
    assert!(stage.relay.account(&long.digest).is_some());
    assert!(stage.relay.figures(live).is_some(), "not while it runs");
}
