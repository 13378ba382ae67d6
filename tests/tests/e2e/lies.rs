//! Tools that lie, crash and flood: suspected like anyone, and never the end of the daemon or of another run.

use pawang_tests::{Daemon, Job, Live, Ran, Start, puppet};
use tempfile::TempDir;

/// A daemon whose `fs` is a puppet of this name.
fn daemon(name: &str) -> (Daemon, TempDir) {
    let libexec = puppet::libexec(name);
    let start = Start { libexec: Some(libexec.path().into()), ..Start::default() };
    (Daemon::with(start), libexec)
}

fn job() -> Job {
    Job::new("victim").gas(100_000).path("fs.read", "/etc/**").plain("run.info")
}

/// Reads `/etc/NAME` for each name of its arguments, and says what came of it.
const READS: &str = "import sys
from pawang import run, Failed, Denied
for name in sys.argv[1:]:
    try:
        print(name, run.fs.read('/etc/' + name))
    except Failed as failed:
        print(name, failed.failure.code)
    except Denied as denied:
        print(name, denied.denial.code)
";

fn reads(daemon: &Daemon, names: &[&str]) -> Ran {
    daemon.run(&job(), READS, names)
}

#[test]
fn a_tool_that_crashes_in_a_call_fails_that_call_and_is_started_again() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let ran = reads(&daemon, &["fine", "crash", "fine", "crash-in-stream", "fine"]);
    ran.expect(
        "fine b'fine'\ncrash tool_crashed\nfine b'fine'\ncrash-in-stream tool_crashed\nfine b'fine'\n",
    );
    let tools = daemon.records_of(&ran.id, "tool");
    let crashes: Vec<u64> = tools.iter().map(|tool| tool["crashes"].as_u64().unwrap()).collect();
    assert_eq!(crashes, [0, 1, 2]);
    let settled = daemon.records_of(&ran.id, "settle");
    assert_eq!(settled.len(), 5);
    assert_eq!(settled[1]["status"], "failed: tool_crashed");
    assert_eq!(ran.summary["gas_reserved"], 0, "f65: {:?}", ran.summary);
}

#[test]
fn a_tool_that_crashed_five_times_is_not_started_again_in_that_run() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let ran = reads(&daemon, &["crash", "crash", "crash", "crash", "crash", "fine"]);
    assert!(ran.text().ends_with("crash tool_crashed\nfine tool_broken\n"), "{ran:?}");
    assert_eq!(daemon.records_of(&ran.id, "tool").len(), 5);
    reads(&daemon, &["fine"]).expect("fine b'fine'\n");
}

#[test]
fn f53_a_tool_that_breaks_the_protocol_is_stopped_and_named() {
    let (daemon, _libexec) = daemon("pawang-fs");
    for (name, what) in [
        ("unknown-id", "which is not one it is serving"),
        ("garbage", "frame length 2779096485"),
        ("huge-frame", "frame length 4294967295"),
        ("second-hello", "not a message"),
    ] {
        let ran = reads(&daemon, &[name, "fine"]);
        ran.expect(&format!("{name} tool_crashed\nfine b'fine'\n"));
        let faults = daemon.records_of(&ran.id, "fault");
        assert_eq!((faults.len(), &faults[0]["who"]), (1, &"fs".into()), "{name}");
        assert!(faults[0]["what"].as_str().unwrap().contains(what), "{name}: {faults:?}");
    }
    daemon.expect_whole_log();
}

#[test]
fn f53_a_second_reply_reaches_nobody_and_is_a_fault() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let ran = reads(&daemon, &["twice", "fine", "fine"]);
    let text = ran.text();
    assert!(text.starts_with("twice b'once'\n") && text.ends_with("fine b'fine'\n"), "{text}");
    assert_eq!(daemon.records_of(&ran.id, "fault").len(), 1);
}

#[test]
fn f71_a_tool_cannot_charge_more_than_the_contract_holds() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let ran = reads(&daemon, &["lies-about-gas"]);
    ran.expect_outcome("out_of_gas");
    assert!(ran.gas() <= 100_000, "{}", ran.gas());
    // Another contract is not touched.
    reads(&daemon, &["fine"]).expect("fine b'fine'\n");
    daemon.expect_whole_log();
}

#[test]
fn a_tool_makes_no_calls_but_those_its_plugin_is_listed_with() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let ran = reads(&daemon, &["own-call"]);
    ran.expect("own-call b'status 1'\n");
    assert_eq!(daemon.records_of(&ran.id, "deny").len(), 1);
}

#[test]
fn f51_a_tool_that_never_answers_meets_the_calls_deadline_and_then_its_end() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let script = "from pawang import run, Failed
try:
    run.call('fs.read', '/etc/never', deadline=0.2)
except Failed as failed:
    print(failed.failure.code)
print(run.fs.read('/etc/fine'))
";
    let ran = daemon.run(&job(), script, &[]);
    // Told to end the call, it does not: it is stopped after its grace, and a new one serves the next call.
    ran.expect("timed_out\nb'fine'\n");
    assert!(daemon.records_of(&ran.id, "fault")[0]["what"].as_str().unwrap().contains("told to end"));
}

#[test]
fn tools_that_begin_wrongly_fail_the_call_with_a_reason() {
    for (name, fault) in [
        ("wrong-name", Some("it calls itself Some(\"http\") and was started as Some(\"fs\")")),
        ("wrong-version", Some("version 9")),
        ("dies-at-once", None),
    ] {
        let (daemon, _libexec) = daemon(name);
        let ran = reads(&daemon, &["fine", "fine", "fine", "fine", "fine", "fine", "fine"]);
        assert!(ran.text().ends_with("fine tool_broken\n"), "{name}: {ran:?}");
        let faults = daemon.records_of(&ran.id, "fault");
        assert_eq!(faults.is_empty(), fault.is_none(), "{name}");
        if let Some(what) = fault {
            assert!(faults[0]["what"].as_str().unwrap().contains(what), "{name}: {faults:?}");
        }
    }
}

#[test]
fn f81_what_a_tool_says_on_stderr_is_cut_escaped_and_prefixed() {
    let (daemon, _libexec) = daemon("pawang-fs");
    reads(&daemon, &["talks"]).expect("talks b'said'\n");
    let log = daemon.log();
    assert!(log.contains("tool=fs says=\"line 0 \\u{1b}[31m\\u{202e}\""), "{log}");
    assert!(log.len() < 64 << 10, "{} bytes", log.len());
    assert!(!log.contains('\x1b'));
}

#[test]
fn a_tool_that_floods_is_held_back_by_its_reader_and_paid_by_its_run() {
    let (daemon, _libexec) = daemon("pawang-fs");
    let before = pawang_tests::processes::resident_kib(daemon.pid());
    let mut slow = daemon.begin(
        &job().gas(1 << 40),
        "from pawang import run\nimport time\nfor piece in run.submit('fs.read', '/etc/floods'):\n    print('one', flush=True)\n    time.sleep(3600)",
        &[],
    );
    slow.until_says("one");
    reads(&daemon, &["fine"]).expect("fine b'fine'\n");
    let grown = pawang_tests::processes::resident_kib(daemon.pid()).saturating_sub(before);
    assert!(grown < 16 << 10, "the daemon grew by {grown} KiB");
    slow.cancel();
    slow.end().expect_outcome("stopped");
    // Read as fast as it comes, it ends with the gas.
    let ran = daemon.run(
        &job(),
        "from pawang import run\nfor piece in run.submit('fs.read', '/etc/floods'):\n    pass",
        &[],
    );
    ran.expect_outcome("out_of_gas");
}

#[test]
fn a_run_whose_tool_says_nothing_is_still_stopped_whole() {
    let (daemon, _libexec) = daemon("says-nothing");
    let request = daemon.sign(&job(), &["python3", &daemon.script(READS)]);
    let request = pawang_core::control::RunRequest { args: vec!["x".to_owned()], ..request };
    let mut live = Live::start(daemon.control(), &request).unwrap();
    pawang_tests::until("the call is made", || {
        daemon.records().iter().any(|record| record["kind"] == "call").then_some(())
    });
    live.cancel();
    live.end().expect_outcome("stopped");
    let left = pawang_tests::processes::descendants(daemon.pid());
    assert!(left.iter().all(|process| process.name.starts_with("pawang-launch")), "{left:?}");
}
