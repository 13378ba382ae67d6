//! The daemon killed with SIGKILL in the middle of everything: nothing outlives it, nothing is forgotten, nothing is free.
//!
//! A test process of its own: it is the one that orphans come to, so that each of them is seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};
use pawang_core::control::RunRequest;
use pawang_tests::{Daemon, Job, Live, processes, until};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::sync::{Mutex, MutexGuard};

/// Daemons killed in one test.
const KILLS: usize = 25;
const USES: u32 = 60;

/// Works without end in every way there is: many small calls, a long stream, a program, a helper that does the same.
const WORK: &str = "import sys, os, threading
from pawang import run
d, role = sys.argv[1], (sys.argv[2:] or ['main'])[0]

def stream():
    while True:
        for chunk in run.fs.open_read(d + '/zeros'):
            pass

def programs():
    while True:
        run.exec(['/bin/sleep', '0'])

def helpers():
    allow = [{'call': 'fs.append', 'path': d + '/journal'}]
    while True:
        run.spawn('helper', {'name': 'helper', 'gas': 2000, 'allow': allow}, [d, 'helper']).wait()

print('begun', flush=True)
if role == 'main':
    for work in (stream, programs, helpers):
        threading.Thread(target=work, daemon=True).start()
for _ in range(10**9 if role == 'main' else 20):
    run.fs.append(d + '/journal', 'x')
";

/// One test at a time: orphans say nothing of whose they are.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits until everything that came to us has ended, and reaps it.
fn expect_no_orphans() {
    until("nothing of the daemon is left", || {
        let ours = getpid().as_raw();
        let orphans: Vec<_> = processes::all().into_iter().filter(|process| process.parent == ours).collect();
        for orphan in &orphans {
            // Whoever is still alive is looked at again.
            let _ = waitpid(Pid::from_raw(orphan.pid), Some(WaitPidFlag::WNOHANG));
        }
        orphans.is_empty().then_some(())
    });
}

/// A contract and the work under it.
fn work(daemon: &Daemon) -> (RunRequest, String) {
    let dir = daemon.folder("work");
    fs::File::create(format!("{dir}/zeros")).unwrap().set_len(64 << 20).unwrap();
    fs::write(format!("{dir}/journal"), "").unwrap();
    let job = Job::new("works")
        .gas(100_000_000)
        .uses(USES)
        .path("fs.read", &format!("{dir}/zeros"))
        .path("fs.append", &format!("{dir}/journal"))
        .exec(&["/bin/sleep", "0"])
        .allow("run.spawn", "name", "helper")
        .limit("processes", 16);
    let mut request = daemon.sign(&job, &["python3", &daemon.script(WORK)]);
    request.args = vec![dir.clone()];
    (request, dir)
}

fn lines(daemon: &Daemon) -> usize {
    let newest = daemon.segments().pop().unwrap();
    fs::read(newest).unwrap().iter().filter(|&&byte| byte == b'\n').count()
}

/// Gas granted, spent and set aside, and uses left, as the daemon knows them.
fn account(daemon: &Daemon, digest: &str) -> (u64, u64, u64, u64) {
    let detail = daemon.ask("ctl.contract", &json!({ "contract": digest })).unwrap();
    let gas = |at: usize| detail["gas"][at].as_u64().unwrap();
    (gas(0), gas(1), gas(2), detail["uses_left"].as_u64().unwrap())
}

#[test]
fn f70_f76_killed_at_any_point_it_loses_nothing_and_leaves_nothing() {
    let _alone = alone();
    let mut daemon = Daemon::start();
    let (request, dir) = work(&daemon);
    let (mut spent_before, mut digest) = (0, String::new());
    for kill in 1..=KILLS {
        let mut live = Live::start(daemon.control(), &request).unwrap();
        let began = lines(&daemon);
        // From the very first record on, and ever further into the work.
        let point = began + (kill - 1) * 12;
        until("the log has grown to the point", || (lines(&daemon) >= point).then_some(()));
        daemon.kill();
        while live.step().is_ok() {}
        expect_no_orphans();
        let written = daemon.records();
        daemon.boot();
        let records = daemon.records();
        let boot = records.iter().rfind(|record| record["kind"] == "boot").unwrap();
        let lost: Vec<&str> =
            boot["lost"].as_array().unwrap().iter().map(|run| run.as_str().unwrap()).collect();
        assert!(lost.contains(&live.id.as_str()), "kill {kill}: {boot}");
        if digest.is_empty() {
            digest = contract_of(&written, &live.id);
        }
        let (granted, spent, reserved, uses_left) = account(&daemon, &digest);
        let left = last_left(&written, &live.id, &digest).unwrap_or(granted);
        assert_eq!(reserved, 0, "kill {kill}: nothing is under way");
        assert!(granted - spent <= left, "kill {kill}: richer than before: {} > {left}", granted - spent);
        assert!(spent >= spent_before, "kill {kill}: {spent} < {spent_before}");
        assert_eq!(uses_left, u64::from(USES) - u64::try_from(kill).unwrap());
        spent_before = spent;
        // What was done was written down, and paid, before.
        let done = fs::metadata(format!("{dir}/journal")).unwrap().len();
        let appends = written.iter().filter(|r| r["kind"] == "call" && r["method"] == "fs.append").count();
        assert!(done <= u64::try_from(appends).unwrap(), "kill {kill}: {done} done, {appends} recorded");
        assert!(spent >= 2 * done, "kill {kill}: {done} done for {spent}");
    }
    daemon.expect_whole_log();
}

fn contract_of(records: &[Value], run: &str) -> String {
    let start = records.iter().find(|record| record["kind"] == "start" && record["run"] == run).unwrap();
    start["contract"].as_str().unwrap().to_owned()
}

/// Gas left after the last record of this run that says so, and what its helpers gave back since. What was set aside then
/// only makes it less.
fn last_left(records: &[Value], run: &str, digest: &str) -> Option<u64> {
    let gas = |record: &Value, field: &str| record[field].as_u64().unwrap();
    let mut carved = HashMap::new();
    records.iter().fold(None, |left, record| match record["kind"].as_str().unwrap() {
        "carve" => {
            carved.insert(record["helper"].clone(), gas(record, "reserved"));
            left
        }
        "return" if record["contract"] == digest => {
            left.map(|left| left + carved[&record["helper"]] - gas(record, "spent"))
        }
        _ if record["run"] == run => record["left"].as_u64().or(left),
        _ => left,
    })
}

#[test]
fn killed_while_it_starts_programs_it_leaves_none() {
    let _alone = alone();
    let mut daemon = Daemon::start();
    let job = Job::new("starts").uses(500).limit("processes", 4);
    let request = daemon.sign(&job, &["/bin/sleep"]);
    let request = RunRequest { args: vec!["600".to_owned()], detach: true, ..request };
    for kill in 0..10 {
        let mut control = daemon.control();
        for _ in 0..8 {
            control.call("ctl.run", &serde_json::to_value(&request).unwrap(), &[]).unwrap();
        }
        // After the first few answers, in the middle of the others.
        for _ in 0..kill % 8 {
            control.read().unwrap();
        }
        daemon.kill();
        expect_no_orphans();
        daemon.boot();
    }
    daemon.expect_whole_log();
}

#[test]
fn a_daemon_that_ends_in_order_stops_every_run_and_says_so() {
    let _alone = alone();
    let mut daemon = Daemon::start();
    let (request, _) = work(&daemon);
    let mut live = Live::start(daemon.control(), &request).unwrap();
    live.until_says("begun");
    daemon.stop();
    expect_no_orphans();
    let records = daemon.records();
    let end = records.iter().find(|record| record["kind"] == "end" && record["run"] == live.id.as_str());
    assert_eq!(end.unwrap()["outcome"], "stopped");
    assert!(records.iter().any(|record| record["kind"] == "halt"));
    daemon.boot();
    let boot = daemon.records().into_iter().rfind(|record| record["kind"] == "boot").unwrap();
    assert_eq!(boot["lost"], json!([]));
    daemon.expect_whole_log();
}

#[test]
fn a_command_line_killed_takes_its_run_with_it() {
    let _alone = alone();
    let daemon = Daemon::start();
    let source = daemon.write("sleeps.toml", &Job::new("sleeps").source());
    let mut child = daemon.command(&["run", &source, "--", "/bin/sleep", "600"]).spawn().unwrap();
    let run = until("it runs", || {
        let runs = daemon.ask("ctl.ps", &Value::Null).unwrap();
        runs.as_array().unwrap().first().map(|run| run["run"].as_str().unwrap().to_owned())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let end = until("the run has ended", || daemon.records_of(&run, "end").pop());
    assert_eq!(end["outcome"], "stopped");
}
