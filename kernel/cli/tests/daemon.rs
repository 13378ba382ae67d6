//! The command line against a real daemon, with real programs under real contracts.
//!
//! The programs of the release lie in the folder that PAWANG_PREFIX names; `cargo xtask test` builds and names it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a surprise fails the test"
)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use support::{Daemon, stderr, stdout};

#[test]
fn one_command_makes_the_key_and_a_second_runs_a_program() {
    let daemon = Daemon::new();
    let run = daemon.run_source(&daemon.source("hello", ""), &["/bin/echo", "hello"]);
    assert_eq!((stdout(&run).as_str(), run.status.code()), ("hello\n", Some(0)), "{}", stderr(&run));
    let talk = stderr(&run);
    let lines: Vec<&str> = talk.lines().collect();
    assert!(lines[0].starts_with("● run ") && lines[0].contains("  hello   contract "), "{talk}");
    assert!(lines[1].starts_with("  walls: "), "{talk}");
    assert!(lines[2].contains("  done in ") && lines[2].contains("   exit 0   gas "), "{talk}");
}

#[test]
fn the_programs_own_exit_status_is_ours() {
    let daemon = Daemon::new();
    let source = daemon.source("status", "");
    for (words, code) in [(&["/bin/false"][..], 1), (&["/usr/bin/test", "1", "=", "x", "y"], 2)] {
        assert_eq!(daemon.run_source(&source, words).status.code(), Some(code), "{words:?}");
    }
}

#[test]
fn output_goes_where_the_program_sent_it_byte_for_byte() {
    let daemon = Daemon::new();
    let script = daemon.script("import sys\nsys.stdout.buffer.write(b'o\\xff\\x1b[2J')\nsys.stdout.flush()\nprint('e', file=sys.stderr)\n");
    let run = daemon.run_source(&daemon.source("bytes", ""), &["python3", &script]);
    assert_eq!(run.stdout, b"o\xff\x1b[2J", "{}", stderr(&run));
    assert!(stderr(&run).lines().any(|line| line == "e"), "{}", stderr(&run));
}

#[test]
fn stdin_is_forwarded_from_a_pipe_to_its_end() {
    let daemon = Daemon::new();
    let source = daemon.source("cat", "");
    let input: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let run = daemon.with_input(&["run", &source, "--", "/bin/cat"], &input);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(run.stdout == input, "{} of {} bytes came back", run.stdout.len(), input.len());
}

#[test]
fn a_refused_call_is_told_as_it_happens_explained_and_in_the_timeline() {
    let daemon = Daemon::new();
    let script = daemon.script(
        "from pawang import run, Denied\ntry:\n    run.fs.read('/etc/passwd')\nexcept Denied as no:\n    print(no.denial.code)\n",
    );
    let run = daemon.run_source(&daemon.source("peek", ""), &["python3", &script]);
    assert_eq!((stdout(&run).as_str(), run.status.code()), ("D201\n", Some(0)), "{}", stderr(&run));
    let talk = stderr(&run);
    let notice =
        talk.lines().find(|line| line.starts_with("✗ denied  fs.read /etc/passwd")).expect("a notice");
    let call = notice.split("pawang explain ").nth(1).expect("says how to learn more");

    let explain = daemon.pawang(&["explain", call]);
    assert_eq!(explain.status.code(), Some(77));
    for line in
        ["verdict   denied · D201", "            call = \"fs.read\"", "            path = \"/etc/passwd\""]
    {
        assert!(stdout(&explain).contains(line), "{line}: {}", stdout(&explain));
    }
    let id = call.split(':').next().unwrap();
    let timeline = daemon.pawang(&["timeline", id]);
    let text = stdout(&timeline);
    let row = text.lines().find(|line| line.contains("/etc/passwd")).expect("a row");
    assert!(row.contains("denied") && row.contains("D201"), "{text}");
    assert!(text.lines().last().unwrap().ends_with("chain whole · signed"), "{text}");
    let records = stdout(&daemon.pawang(&["timeline", "--json", id]));
    assert!(records.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{records}");
}

#[test]
fn out_of_gas_is_exit_code_4() {
    let daemon = Daemon::new();
    let script = daemon.script("while True:\n    pass\n");
    let source = daemon.source("loop", "");
    fs::write(&source, fs::read_to_string(&source).unwrap().replace("100000", "300")).unwrap();
    let run = daemon.run_source(&source, &["python3", &script]);
    assert_eq!(run.status.code(), Some(4), "{}", stderr(&run));
    assert!(stderr(&run).contains("  out of gas in "), "{}", stderr(&run));
}

#[test]
fn a_run_past_its_wall_clock_limit_times_out() {
    let daemon = Daemon::new();
    let run = daemon.run_source(&daemon.source("slow", "[limits]\nwall_s = 1\n"), &["/bin/sleep", "60"]);
    assert_eq!(run.status.code(), Some(80), "{}", stderr(&run));
}

#[test]
fn ctrl_c_stops_the_run_and_waits_until_it_is_gone() {
    let daemon = Daemon::new();
    let source = daemon.source("sleep", "");
    let mut child =
        daemon.command(&["run", &source, "--", "/bin/sleep", "600"]).stderr(Stdio::piped()).spawn().unwrap();
    let id = support::first_run(&mut child);
    support::interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(81));
    let runs: serde_json::Value =
        serde_json::from_slice(&daemon.pawang(&["ps", "--all", "--json"]).stdout).unwrap();
    let run = runs.as_array().unwrap().iter().find(|run| run["run"] == id.as_str()).expect("the run");
    assert_eq!(run["outcome"], "stopped");
}

#[test]
fn a_detached_run_goes_on_and_is_listed_inspected_and_stopped() {
    let daemon = Daemon::new();
    let source = daemon.source("long", "");
    let run = daemon.pawang(&["run", "--detach", &source, "--", "/bin/sleep", "600"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let id = stdout(&run).trim().to_owned();
    let list = stdout(&daemon.pawang(&["ps"]));
    assert!(list.lines().any(|line| line.contains(&id) && line.contains("alive")), "{list}");
    let inspect = daemon.pawang(&["inspect", &id]);
    assert!(stdout(&inspect).contains("\nwalls\n"), "{}{}", stdout(&inspect), stderr(&inspect));
    let gas = daemon.pawang(&["gas", &id]);
    assert!(stdout(&gas).contains("granted"), "{}{}", stdout(&gas), stderr(&gas));
    let stop = daemon.pawang(&["stop", &id]);
    assert!(stdout(&stop).contains("  stopped in "), "{}{}", stdout(&stop), stderr(&stop));
    assert!(!stdout(&daemon.pawang(&["ps"])).contains(&id));
}

#[test]
fn a_secret_is_stored_from_stdin_listed_by_name_and_removed() {
    let daemon = Daemon::new();
    let passphrase = daemon.private("passphrase", "correct horse battery\n");
    let set = ["secret", "set", "CANARY_KEY", "--passphrase-file", &passphrase];
    let stored = daemon.with_input(&set, b"canary-0123456789\n");
    assert_eq!(stored.status.code(), Some(0), "{}", stderr(&stored));
    assert_eq!(stdout(&daemon.pawang(&["secret", "list", "--json"])), "[\"CANARY_KEY\"]\n");
    daemon.pawang(&["stop", "--daemon"]);
    let wrong = daemon.private("wrong", "something else\n");
    let locked = daemon.pawang(&["secret", "unlock", "--passphrase-file", &wrong]);
    assert_eq!(locked.status.code(), Some(65), "{}", stderr(&locked));
    let removed = daemon.pawang(&["secret", "remove", "CANARY_KEY", "--passphrase-file", &passphrase]);
    assert_eq!(removed.status.code(), Some(0), "{}", stderr(&removed));
    assert_eq!(stdout(&daemon.pawang(&["secret", "list", "--json"])), "[]\n");
    for file in ["audit", "pawangd.log"] {
        assert!(!daemon.holds(file, b"canary-0123456789"), "f44: {file} holds the secret");
    }
}

#[test]
fn the_log_verifies_after_work_and_names_the_record_that_was_changed() {
    let daemon = Daemon::new();
    daemon.run_source(&daemon.source("logged", ""), &["/bin/true"]);
    let whole = daemon.pawang(&["audit", "verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    daemon.pawang(&["stop", "--daemon"]);
    let segment = daemon.first_segment();
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("\"name\":\"logged\"", "\"name\":\"lagged\"", 1)).unwrap();
    let broken = daemon.pawang(&["audit", "verify"]);
    assert_eq!(broken.status.code(), Some(74));
    assert!(stderr(&broken).starts_with("pawang: the log is broken at "), "{}", stderr(&broken));
}

#[test]
fn two_commands_at_once_start_one_daemon() {
    let daemon = Daemon::bare();
    let children: Vec<_> =
        (0..4).map(|_| daemon.command(&["ps", "--json"]).stdout(Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "[]\n"));
    }
    assert_eq!(fs::metadata(daemon.path("state/control.sock")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn doctor_finds_this_installation_whole() {
    let daemon = Daemon::new();
    let output = daemon.pawang(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let findings = report["findings"].as_array().unwrap();
    let missing: Vec<_> = findings.iter().filter(|finding| finding["state"] == "missing").collect();
    assert!(missing.is_empty() && output.status.code() == Some(0), "{missing:?}");
}

#[test]
fn a_run_as_json_is_one_object_a_line_with_the_output_in_it() {
    let daemon = Daemon::new();
    let run = daemon.pawang(&["run", "--json", &daemon.source("json", ""), "--", "/bin/echo", "hello"]);
    let events: Vec<serde_json::Value> =
        stdout(&run).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "output", "ended"], "{}", stderr(&run));
    assert_eq!(events[1]["text"], "hello\n");
    assert_eq!(events[2]["run"]["outcome"], "done");
    assert_eq!(stderr(&run), "");
}

#[test]
fn the_output_of_a_run_is_kept_and_shown_again() {
    let daemon = Daemon::new();
    let script = daemon.script("import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr)\n");
    let source = daemon.source("kept", "");
    let run = daemon.pawang(&["run", "--detach", &source, "--", "python3", &script]);
    let id = stdout(&run).trim().to_owned();
    let logs = daemon.pawang(&["logs", "--follow", &id]);
    assert_eq!((stdout(&logs).as_str(), stderr(&logs).as_str()), ("out\n", "err\n"));
    assert_eq!(daemon.pawang(&["logs", "ffffffff"]).status.code(), Some(66));
}

#[test]
fn a_timeline_is_followed_until_the_run_ends() {
    let daemon = Daemon::new();
    let script = daemon.script("from pawang import run\nrun.info()\n");
    let run = daemon.pawang(&["run", "--detach", &daemon.source("followed", ""), "--", "python3", &script]);
    let id = stdout(&run).trim().to_owned();
    let text = stdout(&daemon.pawang(&["timeline", "--follow", &id]));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("verdict") && lines[1].contains("run.info"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("  done in ")), "{text}");
    let exported = stdout(&daemon.pawang(&["audit", "export", "--run", &id]));
    assert!(
        exported.lines().all(|line| line.contains(&id)) && exported.contains("\"kind\":\"end\""),
        "{exported}"
    );
}
