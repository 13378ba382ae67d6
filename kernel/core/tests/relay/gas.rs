//! What a call costs: set aside, extended, settled; and what happens where it cannot be.

use crate::kit;
use crate::stage::{Ask, EXEC, READ, REFUSED, SPAWN, Stage, WRITE, ask, contract};
use pawang_core::contract::EachCeiling;
use pawang_core::record::Entry;
use pawang_core::relay::{Answer, Effect};
use pawang_core::run::Outcome;
use pawang_protocol::{DenialCode, Gas, Status};

const FETCH: Ask = ask("http.fetch", "GET https://h/x");

fn declares(id: u64, gas: u64) -> Answer {
    Answer { id, status: Status::Ok, more: false, gas: Gas(gas), received: 0 }
}

#[test]
fn what_is_not_used_of_a_reservation_is_free_again() {
    let (mut stage, run, automation) = Stage::with(1_000);
    assert_eq!(stage.gas(run), (875, 125, 0), "an eighth is set aside for CPU time");
    let (tool, number) = stage.sends(automation, READ);
    assert_eq!(stage.gas(run), (811, 189, 0), "64 KiB of answer beforehand");
    stage.reply(tool, number, Status::Ok, 1_025);
    assert_eq!(stage.gas(run), (873, 125, 2));
}

#[test]
fn f73_denials_cost_until_the_gas_is_out_to_the_last_unit() {
    let (mut stage, run, automation) = Stage::with(5);
    for spent in 1..=5 {
        stage.call(automation, REFUSED);
        assert_eq!((stage.gas(run).2, stage.ended()), (spent, vec![]));
    }
    stage.call(automation, REFUSED);
    assert_eq!(stage.answer(), Some((automation, 6, Status::Denied, true, 0)));
    assert_eq!(stage.ended(), [(run, Outcome::OutOfGas)]);
    stage.call(automation, READ);
    assert!(stage.out.is_empty(), "nothing is heard of a run that is ending");
}

#[test]
fn a_call_that_cannot_be_paid_is_denied_and_ends_the_run() {
    let (mut stage, run, automation) = Stage::with(20);
    stage.call(automation, EXEC);
    let denial = stage.denial().unwrap();
    assert_eq!(
        (denial.code, denial.reason.as_str()),
        (DenialCode::OutOfGas, "this call needs 25 gas and 20 are left")
    );
    assert_eq!(denial.gas_left, Gas(19));
    assert_eq!(stage.ended(), [(run, Outcome::OutOfGas)]);
    assert!(matches!(stage.out.last(), Some(Effect::EndRun { .. })), "the answer goes out first");
}

#[test]
fn f72_gas_that_a_tool_declares_never_wraps_and_ends_a_run_that_cannot_pay_it() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, READ);
    stage.try_reply(tool, declares(number, u64::MAX)).unwrap();
    assert_eq!(stage.ended(), [(run, Outcome::OutOfGas)]);
    assert_eq!((stage.settled(), stage.gas(run)), (vec![("failed: out_of_gas", 64)], (936, 0, 64)));
    assert_eq!(stage.answer(), None, "f75 what is not paid for is not passed on");
}

#[test]
fn f75_a_chunk_that_cannot_be_paid_is_not_passed_on() {
    let (mut stage, run, automation) = Stage::with(300);
    let (tool, number) = stage.sends(automation, READ);
    stage.chunk(tool, number, 200 << 10);
    assert_eq!(stage.answer(), Some((automation, 1, Status::Ok, false, 0)));
    stage.chunk(tool, number, 200 << 10);
    assert_eq!((stage.answer(), stage.ended()), (None, vec![(run, Outcome::OutOfGas)]));
    stage.reply(tool, number, Status::Ok, 0);
    assert_eq!((stage.answer(), stage.settled().len()), (None, 1));
}

#[test]
fn gas_that_a_tool_declares_is_paid_where_it_can_be() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, READ);
    stage.try_reply(tool, declares(number, 500)).unwrap();
    assert_eq!((stage.answer(), stage.gas(run).2), (Some((automation, 1, Status::Ok, true, 501)), 501));
}

#[test]
fn gas_max_is_the_most_a_call_can_cost_and_no_more_than_a_failure() {
    for (gas_max, declared, failure, spent) in [
        (10, 9, None, 10),
        (10, 10, Some("gas_max_reached"), 10),
        (10, u64::MAX, Some("gas_max_reached"), 10),
        (u64::MAX, 200, None, 201),
    ] {
        let (mut stage, run, automation) = Stage::with(1_000);
        let (tool, number) = stage.sends(automation, Ask { gas_max, ..READ });
        stage.try_reply(tool, declares(number, declared)).unwrap();
        assert_eq!((stage.failure(), stage.gas(run).2), (failure, spent), "{gas_max} {declared}");
        assert_eq!(stage.ended(), []);
        assert!(!stage.out.iter().any(|e| matches!(e, Effect::Cancel { .. })), "it has ended already");
    }
}

#[test]
fn gas_max_below_the_least_cost_is_denied() {
    let (mut stage, _, automation) = Stage::with(1_000);
    stage.call(automation, Ask { gas_max: 14, ..FETCH });
    let denial = stage.denial().unwrap();
    let reason = "gas_max is 14, and this call costs at least 15";
    assert_eq!((denial.code, denial.reason.as_str()), (DenialCode::ReservationUsedUp, reason));
    stage.sends(automation, Ask { gas_max: 15, ..FETCH });
}

#[test]
fn a_stream_beyond_gas_max_is_cancelled_and_its_tool_told() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, Ask { gas_max: 2, ..READ });
    stage.chunk(tool, number, 2_048);
    assert!(stage.answer().is_some());
    stage.chunk(tool, number, 1);
    let cancel = Effect::Cancel { to: tool, id: number, reason: pawang_protocol::CancelReason::Gas };
    assert_eq!(stage.out, [cancel]);
    stage.reply(tool, number, Status::Cancelled, 0);
    assert_eq!((stage.failure(), stage.gas(run).2), (Some("gas_max_reached"), 2));
}

#[test]
fn gas_max_that_was_not_free_at_first_is_used_when_it_is() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, first) = stage.sends(automation, Ask { gas_max: 870, ..READ });
    let (_, second) = stage.sends(automation, Ask { gas_max: 100, ..READ });
    stage.reply(tool, first, Status::Ok, 0);
    stage.chunk(tool, second, 50 << 10);
    assert_eq!((stage.answer().is_some(), stage.ended()), (true, vec![]));
    stage.reply(tool, second, Status::Ok, 0);
    assert_eq!(stage.gas(run).2, 51);
}

#[test]
fn f64_a_call_without_gas_max_leaves_half_of_what_is_free() {
    let (mut stage, run, automation) = Stage::with(60);
    stage.sends(automation, READ);
    assert_eq!(stage.gas(run), (22, 38, 0), "16 for CPU time, and half of 44");
    stage.cpu(run, 30);
    assert_eq!(stage.ended(), [], "CPU time can be paid while a call is in flight");
}

#[test]
fn f65_a_long_stream_is_extended_seldom_and_settles_for_what_it_moved() {
    let (mut stage, run, automation) = Stage::with(1_000_000);
    let (tool, number) = stage.sends(automation, READ);
    let mut extended = 0;
    for _ in 0..1_000 {
        stage.chunk(tool, number, 16 << 10);
        extended += stage.out.iter().filter(|e| matches!(e, Effect::Record(Entry::Extend { .. }))).count();
    }
    stage.reply(tool, number, Status::Ok, 0);
    assert_eq!((stage.gas(run).2, extended), (16_000, 8));
}

#[test]
fn a_call_takes_the_gas_that_was_set_aside_for_cpu_time_if_it_must() {
    let (mut stage, run, automation) = Stage::with(16);
    assert_eq!(stage.gas(run), (0, 16, 0));
    let (tool, number) = stage.sends(automation, WRITE);
    let check = |e: &Effect| matches!(e, Effect::CheckCpu { within_ms: 4, .. });
    assert!(stage.out.iter().any(check), "its CPU clock is then read soon");
    stage.reply(tool, number, Status::Ok, 0);
    assert_eq!(stage.gas(run), (11, 0, 5));
}

fn capped(call: &str, limit: u64) -> pawang_core::contract::Verified {
    let each = EachCeiling { call: kit::rule(call).call, limit: Gas(limit) };
    contract(10_000, |contract| contract.gas.each = vec![each])
}

#[test]
fn a_sub_ceiling_refuses_a_call_and_ends_no_run() {
    let mut stage = Stage::new();
    let (_, automation) = stage.begin(&capped("http.*", 20));
    let (tool, number) = stage.sends(automation, FETCH);
    stage.call(automation, FETCH);
    let denial = stage.denial().unwrap();
    let reason = "this call needs 15 gas and 5 are left under a sub-ceiling of the contract";
    assert_eq!((denial.code, denial.reason.as_str()), (DenialCode::CeilingReached, reason));
    stage.reply(tool, number, Status::Ok, 0);
    stage.call(automation, FETCH);
    assert_eq!((stage.denial().unwrap().code, stage.ended()), (DenialCode::CeilingReached, vec![]));
    stage.sends(automation, READ);
}

#[test]
fn a_sub_ceiling_that_is_reached_on_the_way_fails_the_call_and_not_the_run() {
    for is_last in [true, false] {
        let mut stage = Stage::new();
        let verified = capped("fs.read", 100);
        let (_, automation) = stage.begin(&verified);
        let (tool, number) = stage.sends(automation, READ);
        if !is_last {
            stage.chunk(tool, number, 101 << 10);
            assert_eq!((stage.answer(), stage.out.len()), (None, 1), "{:?}", stage.out);
        }
        stage.reply(tool, number, Status::Ok, 101 << 10);
        assert_eq!((stage.failure(), stage.ended()), (Some("ceiling_reached"), vec![]));
        let spent = stage.account(&verified).spent().0;
        assert!((50..=100).contains(&spent), "what was set aside is spent, and no more: {spent}");
    }
}

#[test]
fn max_calls_counts_calls_that_were_relayed_and_no_others() {
    let mut stage = Stage::new();
    let verified = contract(10_000, |contract| contract.allow[0].max_calls = Some(2));
    let (_, automation) = stage.begin(&verified);
    stage.call(automation, REFUSED);
    for _ in 0..2 {
        stage.sends(automation, READ);
    }
    stage.call(automation, READ);
    let denial = stage.denial().unwrap();
    let reason = "the grant allows 2 calls, and all of them were made";
    assert_eq!((denial.code, denial.reason.as_str()), (DenialCode::CallsUsedUp, reason));
    let (_, again) = stage.begin(&verified);
    stage.call(again, READ);
    assert_eq!(stage.denial().unwrap().code, DenialCode::CallsUsedUp, "for all uses together");
}

#[test]
fn f68_a_nested_call_is_paid_by_the_call_it_is_made_for() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (exec, parent) = stage.sends(automation, EXEC);
    let before = stage.gas(run);
    stage.call(exec, Ask { parent, ..SPAWN });
    let nested = stage.served().unwrap();
    assert_eq!(stage.gas(run), before);
    let answer = Answer { id: nested, status: Status::Ok, more: false, gas: Gas::ZERO, received: 0 };
    stage.does(|relay, now, out| relay.served(now, answer, out));
    assert_eq!(stage.settled(), [("ok", 1)]);
    stage.reply(exec, parent, Status::Ok, 0);
    assert_eq!((stage.settled(), stage.gas(run).2), (vec![("ok", 26)], 26));
}

#[test]
fn f68_a_nested_call_that_does_not_fit_into_its_parents_gas_max_is_denied() {
    for (gas_max, code) in [(26, None), (25, Some(DenialCode::ReservationUsedUp))] {
        let (mut stage, _, automation) = Stage::with(1_000);
        let (exec, parent) = stage.sends(automation, Ask { gas_max, ..EXEC });
        stage.call(exec, Ask { parent, ..SPAWN });
        assert_eq!((stage.denial().map(|denial| denial.code), stage.ended()), (code, vec![]));
    }
}

#[test]
fn f71_a_nested_call_that_nobody_can_pay_ends_the_run() {
    let (mut stage, run, automation) = Stage::with(26);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.call(automation, REFUSED);
    stage.call(exec, Ask { parent, ..SPAWN });
    assert_eq!(
        (stage.denial().unwrap().code, stage.ended()),
        (DenialCode::OutOfGas, vec![(run, Outcome::OutOfGas)])
    );
}

#[test]
fn f68_what_a_nested_call_moves_counts_for_its_parent() {
    let (mut stage, run, automation) = Stage::with(10_000);
    let (exec, parent) = stage.sends(automation, Ask { gas_max: 30, ..EXEC });
    stage.call(exec, Ask { parent, ..SPAWN });
    let nested = stage.served().unwrap();
    let answer = Answer { id: nested, status: Status::Ok, more: false, gas: Gas(5), received: 0 };
    stage.does(|relay, now, out| relay.served(now, answer, out));
    assert_eq!(stage.settled(), [("failed: gas_max_reached", 6)]);
    assert!(stage.out.iter().any(|e| matches!(e, Effect::Cancel { id, .. } if *id == parent)));
    stage.reply(exec, parent, Status::Ok, 0);
    assert_eq!((stage.failure(), stage.gas(run).2), (Some("gas_max_reached"), 30));
}

#[test]
fn the_warning_comes_once_at_four_fifths_however_little_was_granted() {
    for (granted, at) in [(1, 1), (2, 2), (4, 4), (5, 4), (6, 5), (10, 8), (13, 11), (1_000, 800)] {
        let (mut stage, run, automation) = Stage::with(granted);
        let mut warned = Vec::new();
        for _ in 0..granted {
            stage.call(automation, REFUSED);
            let is_warning = |e: &Effect| matches!(e, Effect::Record(Entry::Warn { .. }));
            if stage.out.iter().any(is_warning) {
                warned.push(stage.gas(run).2);
            }
        }
        assert_eq!(warned, [at], "of {granted}");
    }
}
