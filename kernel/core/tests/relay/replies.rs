//! A call's way back: whose reply it is, and what it may do.

use crate::stage::{Ask, EXEC, READ, SPAWN, Stage, WRITE};
use pawang_core::record::Entry;
use pawang_core::relay::{Answer, Body, Effect, Fault};
use pawang_protocol::{Gas, Status};

fn last(id: u64) -> Answer {
    Answer { id, status: Status::Ok, more: false, gas: Gas::ZERO, received: 0 }
}

#[test]
fn a_reply_reaches_its_caller_under_the_callers_own_id() {
    let (mut stage, run, automation) = Stage::with(1_000);
    stage.call_as(automation, 700, READ, false).unwrap();
    let (tool, number) = stage.forwarded().unwrap();
    stage.chunk(tool, number, 3_000);
    assert_eq!(stage.answer(), Some((automation, 700, Status::Ok, false, 0)));
    stage.reply(tool, number, Status::Ok, 1_000);
    assert_eq!(stage.answer(), Some((automation, 700, Status::Ok, true, 4)));
    assert_eq!((stage.settled(), stage.gas(run).2), (vec![("ok", 4)], 4));
}

#[test]
fn f53_a_reply_to_a_call_that_was_given_to_another_is_a_fault() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (fs, read) = stage.sends(automation, READ);
    let (memory, write) = stage.sends(automation, WRITE);
    let spent = stage.gas(run);
    for (from, id) in [(fs, write), (memory, read), (automation, read), (fs, 99), (fs, 0), (fs, u64::MAX)] {
        let fault = Fault(format!("reply to call {id}, which is not one it is serving"));
        assert_eq!(stage.try_reply(from, last(id)), Err(fault));
        assert_eq!((stage.out.len(), stage.gas(run)), (0, spent));
    }
}

#[test]
fn f53_a_second_last_reply_is_a_fault_and_so_is_one_of_an_older_generation() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (tool, first) = stage.sends(automation, READ);
    stage.reply(tool, first, Status::Ok, 0);
    assert!(stage.try_reply(tool, last(first)).is_err());
    let (_, second) = stage.sends(automation, READ);
    stage.gone(tool);
    let (again, third) = stage.sends(automation, READ);
    for (from, id) in [(tool, third), (tool, second), (again, second)] {
        assert!(stage.try_reply(from, last(id)).is_err(), "{from:?} {id}");
    }
    stage.reply(again, third, Status::Ok, 0);
}

#[test]
fn a_tool_at_fault_is_killed_and_what_it_served_fails() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, _) = stage.sends(automation, READ);
    let fault = stage.try_reply(tool, last(99)).unwrap_err();
    stage.does(|relay, now, out| relay.fault(now, tool, &fault, out));
    let record = Entry::Fault { run, who: "fs".to_owned(), what: fault.0 };
    assert_eq!(stage.out[..2], [Effect::Record(record), Effect::Kill { peer: tool }]);
    assert_eq!((stage.failure(), stage.ended()), (Some("tool_crashed"), vec![]));
    assert_eq!(stage.relay.whose(tool), None);
}

#[test]
fn a_tool_has_no_rules_to_refuse_by() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, READ);
    stage.reply(tool, number, Status::Denied, 0);
    assert_eq!((stage.failure(), stage.settled()), (Some("tool_refused"), vec![("failed: tool_refused", 1)]));
}

#[test]
fn a_tool_that_crashes_is_started_again_later_and_later_and_then_not_at_all() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let mut delays = Vec::new();
    for _ in 0..5 {
        let (tool, _) = stage.sends(automation, READ);
        delays.extend(stage.out.iter().find_map(|effect| match effect {
            Effect::StartTool { delay_ms, crashes, .. } => Some((*delay_ms, *crashes)),
            _ => None,
        }));
        stage.gone(tool);
        assert_eq!(
            (stage.failure(), stage.settled()),
            (Some("tool_crashed"), vec![("failed: tool_crashed", 1)])
        );
    }
    assert_eq!(delays, [(0, 0), (20, 1), (40, 2), (80, 3), (160, 4)]);
    stage.call(automation, READ);
    assert_eq!((stage.failure(), stage.forwarded()), (Some("tool_broken"), None));
    assert_eq!(stage.settled(), [("failed: tool_broken", 1)]);
    stage.does(|relay, _, out| relay.warm(pawang_core::run::RunId(1), "fs", out));
    assert!(stage.out.is_empty(), "f67 a broken tool is not warmed");
    stage.sends(automation, WRITE);
}

#[test]
fn a_tool_that_cannot_be_started_fails_its_calls_with_the_reason() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (tool, _) = stage.sends(automation, READ);
    let failure = pawang_protocol::Failure::new("no_walls", "it could not be confined");
    stage.does(|relay, now, out| relay.tool_failed(now, tool, &failure, out));
    assert_eq!((stage.failure(), stage.relay.whose(tool)), (Some("no_walls"), None));
}

#[test]
fn a_tool_that_cannot_be_started_is_not_answered_itself() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.call(exec, Ask { parent, ..SPAWN });
    let failure = pawang_protocol::Failure::new("no_walls", "it could not be confined");
    stage.does(|relay, now, out| relay.tool_failed(now, exec, &failure, out));
    let told: Vec<_> = stage.out.iter().filter(|e| matches!(e, Effect::Answer { .. })).collect();
    assert!(matches!(told[..], [Effect::Answer { to, .. }] if *to == automation), "{told:?}");
}

#[test]
fn a_call_nested_in_one_that_is_answered_is_cancelled_and_its_caller_hears_so() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.call(exec, Ask { parent, ..SPAWN });
    let nested = stage.served().unwrap();
    stage.reply(exec, parent, Status::Ok, 0);
    assert_eq!(stage.out[0], Effect::CancelServed { id: nested });
    assert_eq!(stage.settled(), [("cancelled: stopped", 1), ("ok", 26)]);
    assert_eq!(stage.answer(), Some((exec, 1, Status::Cancelled, true, 1)));
    let late = Answer { received: 4, ..last(nested) };
    stage.does(|relay, now, out| relay.served(now, late, out));
    assert!(stage.out.is_empty(), "a late answer of the kernel itself is dropped");
}

#[test]
fn f53_the_kernels_own_answer_is_not_taken_for_a_tools_call() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (_, number) = stage.sends(automation, READ);
    stage.does(|relay, now, out| relay.served(now, last(number), out));
    assert!(stage.out.is_empty() && stage.relay.is_in_flight(number));
}

#[test]
fn content_is_marked_for_redaction_where_a_secret_was_put_in_and_nowhere_else() {
    let secret = "[[secret]]\nname = \"K\"\nto = \"https://h/v1/**\"\nas = \"header:x-k={}\"\n";
    let contract = crate::stage::contract(1_000, |contract| {
        *contract = crate::kit::contract(&(crate::kit::rules(crate::stage::GRANTS) + secret));
    });
    let mut stage = Stage::new();
    stage.relay.set_secrets(["K".to_owned()].into());
    let (_, automation) = stage.begin(&contract);
    for (resource, is_marked) in [("GET https://h/v1/x", true), ("GET https://h/x", false)] {
        let (tool, number) = stage.sends(automation, Ask { method: "http.fetch", resource, ..READ });
        stage.chunk(tool, number, 10);
        let redact = stage.out.iter().find_map(|effect| match effect {
            Effect::Answer { redact, body: Body::Forwarded, .. } => Some(*redact),
            _ => None,
        });
        assert_eq!(redact, Some(is_marked.then_some(number)));
    }
}
