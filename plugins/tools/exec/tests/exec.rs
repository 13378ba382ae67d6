//! The exec tool as a process, with the test as its kernel.

#![allow(clippy::panic, reason = "a surprise fails the test")]

use pawang_sdk::protocol::Status;
use pawang_sdk::testkit::{Ask, Event, Plugin};
use serde_json::{Value, json};
use std::path::Path;

fn tool() -> Plugin {
    let manifest = include_str!("../plugin.toml");
    Plugin::start(Path::new(env!("CARGO_BIN_EXE_pawang-exec")), manifest, &["kernel.spawn"], Value::Null)
}

/// Sends `exec.run` and returns its id and that of the nested call, after checking that the two belong together.
fn start(tool: &mut Plugin, args: Value) -> (u64, u64, Value, u32) {
    let id = tool.send(&Ask::new("exec.run", "git\0log\0--all").args(args).data("input"));
    match tool.next_event() {
        Event::Call { id: nested, parent, deadline_ms, method, resource, args, data } => {
            assert_eq!((parent, method.as_str(), data.as_slice()), (id, "kernel.spawn", b"input".as_slice()));
            assert_eq!(resource, "git\0log\0--all", "the words arrive as they were decided on");
            (id, nested, args, deadline_ms)
        }
        other => panic!("expected kernel.spawn, got {other:?}"),
    }
}

#[test]
fn output_and_exit_are_passed_on_as_they_come() {
    let mut tool = tool();
    let asked = json!({"cwd": "/tmp", "env": {"LANG": "C"}, "timeout_ms": 5_000});
    let (id, nested, args, deadline_ms) = start(&mut tool, asked.clone());
    assert_eq!((args, deadline_ms), (asked, 5_000), "the timeout is the deadline of the nested call");
    for (fd, text) in [(1, "out"), (2, "err"), (1, "put")] {
        tool.reply(nested, Status::Ok, true, &json!({"fd": fd}), text.as_bytes());
        let Event::Reply(reply) = tool.next_event() else { panic!("expected output") };
        assert_eq!(
            (reply.id, reply.args, reply.data, reply.more),
            (id, json!({"fd": fd}), text.into(), true)
        );
    }
    let end = json!({"exit": 3, "signal": null, "cpu_ms": 12});
    tool.reply(nested, Status::Ok, false, &end, b"");
    let answer = tool.answer(id).ok();
    assert_eq!((answer.args, answer.data.len()), (vec![end], 0));
}

#[test]
fn a_failure_of_the_kernel_is_the_failure_of_the_call() {
    let mut tool = tool();
    let (id, nested, ..) = start(&mut tool, json!({}));
    let failure = json!({"code": "not_found", "message": "no such program", "retryable": false});
    tool.reply(nested, Status::Failed, false, &failure, b"");
    assert_eq!(tool.answer(id).failure().code, "not_found");
}

#[test]
fn a_denial_of_the_tool_is_a_failure_that_quotes_it() {
    let mut tool = tool();
    let (id, nested, ..) = start(&mut tool, json!({}));
    let denial = json!({
        "code": "D203", "call": "kernel.spawn", "resource": "git", "reason": "no grant covers it",
        "contract": "91c0", "gas_left": 7, "retryable": false,
    });
    tool.reply(nested, Status::Denied, false, &denial, b"");
    let failure = tool.answer(id).failure();
    assert_eq!(failure.code, "denied");
    assert!(failure.message.contains("D203") && failure.message.contains("no grant covers it"), "{failure}");
}

#[test]
fn output_at_the_limit_passes_and_one_byte_more_stops_the_program() {
    let mut tool = tool();
    for (bytes, passes) in [(10, true), (11, false)] {
        let (id, nested, ..) = start(&mut tool, json!({"max_bytes": 10}));
        tool.reply(nested, Status::Ok, true, &json!({"fd": 1}), &vec![b'x'; bytes]);
        if passes {
            tool.reply(nested, Status::Ok, false, &json!({"exit": 0}), b"");
            assert_eq!(tool.answer(id).ok().data.len(), 10);
        } else {
            assert!(matches!(tool.next_event(), Event::Cancel(cancelled) if cancelled == nested));
            assert_eq!(tool.answer(id).failure().code, "too_large");
        }
    }
}

#[test]
fn f1_a_limit_of_zero_means_no_output() {
    let mut tool = tool();
    let (id, nested, ..) = start(&mut tool, json!({"max_bytes": 0}));
    tool.reply(nested, Status::Ok, true, &json!({"fd": 1}), b"x");
    assert!(matches!(tool.next_event(), Event::Cancel(_)));
    assert_eq!(tool.answer(id).failure().code, "too_large");
}

#[test]
fn cancel_stops_the_program_and_late_output_is_dropped() {
    let mut tool = tool();
    let (id, nested, ..) = start(&mut tool, json!({}));
    tool.cancel(id);
    assert!(matches!(tool.next_event(), Event::Cancel(cancelled) if cancelled == nested));
    assert_eq!(tool.answer(id).status, Status::Cancelled);
    tool.reply(nested, Status::Ok, true, &json!({"fd": 1}), b"late");
    tool.reply(nested, Status::Cancelled, false, &Value::Null, b"");
    let (id, nested, ..) = start(&mut tool, json!({}));
    tool.reply(nested, Status::Ok, false, &json!({"exit": 0}), b"");
    assert_eq!(tool.answer(id).status, Status::Ok, "the tool still serves");
}

#[test]
fn a_misspelt_option_is_refused_before_anything_starts() {
    let mut tool = tool();
    for args in [
        json!({"shell": true}),
        json!({"env": {"A": 1}}),
        json!({"timeout_ms": -1}),
        json!({"timeout_ms": 0}),
    ] {
        let failure = tool.call(&Ask::new("exec.run", "true").args(args.clone())).failure();
        assert_eq!(failure.code, "bad_arguments", "{args}");
    }
}

#[test]
fn f53_a_reply_to_a_call_never_made_ends_the_tool() {
    let mut tool = tool();
    tool.reply(99, Status::Ok, false, &Value::Null, b"");
    assert!(matches!(tool.next_event(), Event::Closed));
}
