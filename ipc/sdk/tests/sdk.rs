//! Both ends of the SDK as processes, with the test as their kernel: the examples are what a newcomer copies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a surprise fails the test")]

use pawang_sdk::protocol::limits::{DATA_MAX, FRAME_MAX};
use pawang_sdk::protocol::{KernelHello, Message, Role, Status};
use pawang_sdk::testkit::{Ask, Event, Plugin};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// An example of this crate; cargo builds them before the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join(name)
}

fn wordcount() -> Plugin {
    Plugin::start(&example("wordcount"), include_str!("../examples/wordcount.toml"), &[], Value::Null)
}

fn count(text: &str) -> Ask {
    Ask::new("wordcount.count", "").data(text)
}

/// What a process that was told `message` first says before it gives up.
fn last_words(binary: &str, message: &Message<'_>) -> String {
    let mut process = Plugin::spawn(&example(binary));
    process.say(message);
    let output = process.stop();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn hello(version_min: u16, role: Role) -> Vec<u8> {
    let hello =
        KernelHello { version_min, role, run: String::new(), methods: Vec::new(), setup: Value::Null };
    serde_json::to_vec(&hello).unwrap()
}

#[test]
fn a_tool_answers_with_a_result_or_a_failure() {
    let mut tool = wordcount();
    let answer = tool.call(&count("one two\n\nthree\n")).ok();
    assert_eq!(answer.args, [json!({"lines": 2, "words": 3, "bytes": 15})]);
    let with_empty = tool.call(&count("one\n\n").args(json!({"empty_lines": true}))).ok();
    assert_eq!(with_empty.args, [json!({"lines": 2, "words": 1, "bytes": 5})]);
    let failure = tool.call(&count("").data([0xff])).failure();
    assert_eq!((failure.code.as_str(), failure.hint.as_str()), ("bad_text", "convert it first"));
    let failure = tool.call(&count("").args(json!({"emptylines": true}))).failure();
    assert!(failure.code == "bad_arguments" && failure.message.contains("emptylines"), "{failure}");
}

#[test]
fn calls_sent_together_are_answered_in_order() {
    let mut tool = wordcount();
    let ids: Vec<u64> = (0..1_000).map(|n| tool.send(&count(&"w ".repeat(n)))).collect();
    for (words, id) in ids.into_iter().enumerate() {
        assert_eq!(
            tool.answer(id).ok().args,
            [json!({"lines": usize::from(words > 0), "words": words, "bytes": 2 * words})]
        );
    }
}

#[test]
fn content_of_every_size_arrives_whole() {
    let mut tool = wordcount();
    for size in [0, 1, 4_095, 65_535, 65_536, 65_537, DATA_MAX - 1, DATA_MAX] {
        assert_eq!(tool.call(&count(&"x".repeat(size))).ok().args[0]["bytes"], size);
    }
}

#[test]
fn f50_hostile_frames_end_the_tool_with_one_line() {
    let too_long = u32::try_from(FRAME_MAX + 1).unwrap().to_le_bytes();
    let cases: [(&[u8], &str); 5] = [
        (&too_long, "frame length 1048577"),
        (&[0, 0, 0, 0], "frame length 0"),
        (&[4, 0, 0, 0, 99, 0, 0, 0], "not a message"),
        (&[6, 0, 0, 0, 4, 0, 0, 0, 1, 1], "not a message"),
        (&[13, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9], "reason 9 is not known"),
    ];
    for (bytes, why) in cases {
        let mut tool = wordcount();
        tool.write_raw(bytes);
        let output = tool.stop();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && words.contains(why) && words.lines().count() == 1,
            "{words}"
        );
    }
}

#[test]
fn f53_messages_out_of_turn_end_the_tool() {
    let body = hello(1, Role::Tool);
    let call = Message::Call {
        id: 1,
        parent: 0,
        method: 1,
        deadline_ms: 0,
        gas_max: 0,
        resource: "",
        secrets: b"",
        args: b"",
        data: b"",
    };
    assert!(last_words("wordcount", &call).contains("the first message is not a Hello"));
    let mut tool = wordcount();
    tool.say(&Message::Hello { version: 1, features: 0, body: &body });
    assert!(String::from_utf8(tool.stop().stderr).unwrap().contains("a second Hello arrived"));
}

#[test]
fn a_kernel_that_speaks_another_version_or_to_another_role_is_refused() {
    let newer = hello(2, Role::Tool);
    let words = last_words("wordcount", &Message::Hello { version: 9, features: 0, body: &newer });
    assert!(words.contains("it speaks versions 2 to 9, this program 1 to 1"), "{words}");
    let wrong = hello(1, Role::Automation);
    let words = last_words("wordcount", &Message::Hello { version: 1, features: 0, body: &wrong });
    assert!(words.contains("this is a Tool, it was started as Automation"), "{words}");
}

#[test]
fn a_program_started_by_hand_says_how_to_start_it() {
    for (redirection, binary) in [("3<&-", "headings"), ("3</dev/null", "headings"), ("3<&-", "wordcount")] {
        let script = format!("exec \"$0\" {redirection}");
        let output = Command::new("/bin/sh").arg("-c").arg(script).arg(example(binary)).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && words.contains("pawang run"),
            "{redirection} {binary}: {words}"
        );
    }
}

#[test]
fn an_automation_reads_answers_in_any_order_and_reports_denials() {
    let mut automation = Plugin::start_automation(&example("headings"), &["fs.list", "fs.read"]);
    let Event::Call { id: list, method, resource, .. } = automation.next_event() else { panic!("a call") };
    assert_eq!((method.as_str(), resource.as_str()), ("fs.list", "/input"));
    let lines = b"{\"name\":\"b\",\"kind\":\"file\"}\n{\"name\":\"d\",\"kind\":\"dir\"}\n{\"name\":\"a\",\"kind\":\"file\"}\n";
    automation.reply(list, Status::Ok, true, &Value::Null, lines);
    automation.reply(list, Status::Ok, false, &Value::Null, b"{\"name\":\"c\",\"kind\":\"file\"}\n");
    let ids: Vec<u64> = ["/input/a", "/input/b", "/input/c"]
        .into_iter()
        .map(|path| match automation.next_event() {
            Event::Call { id, resource, args, .. } if resource == path && args == json!({"length": 200}) => {
                id
            }
            other => panic!("expected a read of {path}, got {other:?}"),
        })
        .collect();
    let denial = json!({
        "code": "D203", "call": "fs.read", "resource": "/input/b", "reason": "no grant covers it",
        "contract": "91c0", "gas_left": 7, "retryable": false,
    });
    automation.reply(ids[2], Status::Ok, true, &Value::Null, b"third ");
    automation.reply(ids[1], Status::Denied, false, &denial, b"");
    automation.reply(ids[2], Status::Ok, false, &Value::Null, b"heading\nmore");
    automation.reply(ids[0], Status::Ok, false, &Value::Null, b"first");
    assert!(matches!(automation.next_event(), Event::Closed));
    let output = automation.stop();
    assert!(output.status.success(), "{output:?}");
    let printed = "a: first\nb: denied: fs.read /input/b (D203 no grant covers it)\nc: third heading\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), printed);
}

#[test]
fn a_method_the_kernel_does_not_offer_is_a_failure_and_nothing_is_sent() {
    let automation = Plugin::start_automation(&example("headings"), &["fs.read"]);
    let output = automation.stop();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("the kernel offers no method fs.list (unknown_method)"), "{words}");
}

#[test]
fn the_end_of_the_run_ends_the_automation() {
    let automation = Plugin::start_automation(&example("headings"), &["fs.list", "fs.read"]);
    let output = automation.stop();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && words.contains("the run is over"), "{words}");
}
