//! Cancels, deadlines, callers that are gone: every call ends, and soon.

use crate::stage::{Ask, EXEC, READ, SPAWN, Stage};
use pawang_core::record::Entry;
use pawang_core::relay::{CANCEL_GRACE_MS, Effect};
use pawang_protocol::{CancelReason, Status};

#[test]
fn a_caller_may_cancel_once_and_hears_when_it_is_done() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, READ);
    let cancel = |stage: &mut Stage| stage.does(|relay, now, out| relay.cancel(now, automation, 1, out));
    cancel(&mut stage);
    assert_eq!(stage.out, [Effect::Cancel { to: tool, id: number, reason: CancelReason::Caller }]);
    cancel(&mut stage);
    assert!(stage.out.is_empty(), "told once");
    stage.chunk(tool, number, 2_000);
    assert!(stage.out.is_empty(), "what is no longer wanted is not passed on");
    stage.reply(tool, number, Status::Ok, 0);
    assert_eq!(stage.answer(), Some((automation, 1, Status::Cancelled, true, 2)));
    assert_eq!(stage.settled(), [("cancelled: caller", 2)]);
    cancel(&mut stage);
    assert!(stage.out.is_empty(), "a cancel that crosses the last reply finds nothing");
}

#[test]
fn f53_nobody_can_cancel_anothers_call() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, READ);
    for (from, id) in [(tool, 1), (tool, number), (automation, 2), (automation, 0)] {
        stage.does(|relay, now, out| relay.cancel(now, from, id, out));
        assert!(stage.out.is_empty());
    }
}

#[test]
fn f51_a_call_past_its_deadline_is_cancelled_and_its_tool_stopped_if_it_does_not_obey() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, number) = stage.sends(automation, Ask { deadline_ms: 100, ..READ });
    stage.tick_at_ms(99);
    assert!(stage.out.is_empty());
    stage.tick_at_ms(100);
    assert_eq!(stage.out, [Effect::Cancel { to: tool, id: number, reason: CancelReason::Deadline }]);
    stage.tick_at_ms(99 + CANCEL_GRACE_MS);
    assert!(stage.out.is_empty());
    stage.tick_at_ms(100 + CANCEL_GRACE_MS);
    let what = "it did not end a call it was told to end".to_owned();
    let fault = Entry::Fault { run, who: "fs".to_owned(), what };
    assert_eq!(stage.out[..2], [Effect::Record(fault), Effect::Kill { peer: tool }]);
    assert_eq!((stage.failure(), stage.settled()), (Some("timed_out"), vec![("failed: timed_out", 1)]));
    assert_eq!(stage.relay.next_deadline_us(), None);
}

#[test]
fn a_deadline_is_the_callers_or_the_methods_whichever_is_first() {
    for (deadline_ms, at_ms) in [(0, 300_000), (1, 1), (u32::MAX, 300_000)] {
        let (mut stage, _, automation) = Stage::with(1_000);
        stage.sends(automation, Ask { deadline_ms, ..READ });
        assert_eq!(stage.relay.next_deadline_us(), Some(1_000_000 + at_ms * 1_000));
    }
}

#[test]
fn a_call_that_the_kernel_serves_times_out_like_any_other() {
    let (mut stage, _, automation) = Stage::with(1_000);
    stage.call(automation, Ask { method: "run.info", resource: "", ..READ });
    let id = stage.served().unwrap();
    stage.tick_at_ms(5_000);
    assert_eq!(stage.out, [Effect::CancelServed { id }]);
    stage.tick_at_ms(5_000 + CANCEL_GRACE_MS);
    assert_eq!((stage.failure(), stage.relay.is_in_flight(id)), (Some("timed_out"), false));
}

#[test]
fn f51_calls_of_a_caller_that_is_gone_end_within_the_grace_and_are_not_answered() {
    let (mut stage, _, automation) = Stage::with(10_000);
    let (tool, first) = stage.sends(automation, READ);
    let (_, second) = stage.sends(automation, READ);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.call(exec, Ask { parent, ..SPAWN });
    let nested = stage.served().unwrap();
    stage.does(|relay, now, out| relay.cancel(now, automation, 2, out));
    stage.gone(automation);
    let reason = CancelReason::Stopped;
    let cancels = [
        Effect::Cancel { to: tool, id: first, reason },
        Effect::Cancel { to: exec, id: parent, reason },
        Effect::CancelServed { id: nested },
    ];
    assert_eq!(stage.out, cancels, "each is told once, also what is nested");
    stage.reply(tool, first, Status::Ok, 0);
    assert_eq!((stage.answer(), stage.settled()), (None, vec![("cancelled: stopped", 1)]));
    stage.tick_at_ms(CANCEL_GRACE_MS);
    assert_eq!(stage.relay.next_deadline_us(), None, "all are over");
    assert!(!stage.relay.is_in_flight(second) && !stage.relay.is_in_flight(parent));
}

#[test]
fn a_call_nested_in_one_that_is_cancelled_is_cancelled_with_it() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.call(exec, Ask { parent, ..SPAWN });
    let id = stage.served().unwrap();
    stage.does(|relay, now, out| relay.cancel(now, automation, 1, out));
    let cancel = Effect::Cancel { to: exec, id: parent, reason: CancelReason::Caller };
    assert_eq!(stage.out, [cancel, Effect::CancelServed { id }]);
}

#[test]
fn f53_a_reply_after_its_run_began_to_end_reaches_nobody() {
    for outcome in [pawang_core::run::Outcome::Revoked, pawang_core::run::Outcome::Stopped] {
        let (mut stage, run, automation) = Stage::with(1_000);
        let (tool, number) = stage.sends(automation, READ);
        stage.does(|relay, _, out| relay.end(run, outcome, out));
        stage.chunk(tool, number, 500_000);
        assert!(stage.out.is_empty(), "and costs no more than was set aside");
        stage.reply(tool, number, Status::Ok, 0);
        assert_eq!((stage.answer(), stage.settled()), (None, vec![("ok", 64)]));
    }
}
