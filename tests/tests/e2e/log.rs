//! The log torn, altered, cut and out of room: what the daemon then starts from, refuses, or waits for.

use pawang_core::digest::Digest;
use pawang_core::record::{Entry, Record};
use pawang_tests::{Daemon, Job, Live, processes, until};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const INFO: &str = "from pawang import run\nprint(run.info()['name'])";

fn job() -> Job {
    Job::new("logged").uses(100).plain("run.info")
}

/// A daemon that has done something and was ended in order, and the segment that holds it.
fn ended() -> (Daemon, PathBuf) {
    let mut daemon = Daemon::start();
    daemon.run(&job(), INFO, &[]).expect("logged\n");
    daemon.stop();
    let segment = daemon.segments().pop().unwrap();
    (daemon, segment)
}

#[test]
fn f79_a_torn_last_line_is_cut_off_and_nothing_else_is_lost() {
    let mut daemon = Daemon::start();
    let request = daemon.sign(&job(), &["python3", &daemon.script(INFO)]);
    Live::start(daemon.control(), &request).unwrap().end().expect("logged\n");
    daemon.kill();
    let segment = daemon.segments().pop().unwrap();
    let whole = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, format!("{whole}{{\"n\":99,\"t\":17")).unwrap();
    daemon.boot();
    assert_eq!(fs::read_to_string(&segment).unwrap(), whole);
    assert!(daemon.log().contains("a torn last line was cut off the log"), "{}", daemon.log());
    Live::start(daemon.control(), &request).unwrap().end().expect("logged\n");
    daemon.expect_whole_log();
}

#[test]
fn f78_a_log_that_was_altered_or_cut_is_not_started_from() {
    type Change = fn(&str) -> String;
    let cases: &[(&str, Change)] = &[
        ("record 5", |text| text.replacen("\"name\":\"logged\"", "\"name\":\"lagged\"", 1)),
        ("record", |text| text.replacen("\"spent\":1", "\"spent\":0", 1)),
        ("record", |text| lines(text, |at, _| at != 4)),
        ("record", |text| lines(text, |at, all| at + 2 < all)),
        ("record", |text| format!("{}\n{text}", text.lines().last().unwrap())),
        ("record", |text| text.replacen('{', "[", 1)),
        ("head", |_| String::new()),
    ];
    for (at, (what, change)) in cases.iter().enumerate() {
        let (daemon, segment) = ended();
        let text = fs::read_to_string(&segment).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed, "case {at}");
        fs::write(&segment, changed).unwrap();
        let said = daemon.boot_refused();
        assert!(said.contains("the log cannot be trusted") && said.contains(what), "case {at}: {said}");
        assert!(said.contains("try: pawang audit verify"), "case {at}: {said}");
        let segments = daemon.segments();
        assert!(segments.len() <= 1, "case {at}: a new segment was begun: {segments:?}");
    }
}

fn lines(text: &str, keep: impl Fn(usize, usize) -> bool) -> String {
    let all = text.lines().count();
    let kept = text.lines().enumerate().filter(|(at, _)| keep(*at, all));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn f78_a_log_of_another_daemon_is_not_started_from() {
    let (daemon, segment) = ended();
    let (other, theirs) = ended();
    fs::copy(&theirs, &segment).unwrap();
    fs::copy(other.state().join("audit/head.json"), daemon.state().join("audit/head.json")).unwrap();
    let said = daemon.boot_refused();
    assert!(said.contains("the log cannot be trusted"), "{said}");
}

#[test]
fn a_log_that_cannot_grow_stops_all_work_and_goes_on_by_itself() {
    let mut daemon = Daemon::start();
    let dir = daemon.folder("work");
    let script = "import sys
from pawang import run
print('begun', flush=True)
sys.stdin.read()
for _ in range(20):
    run.fs.append(sys.argv[1] + '/journal', 'x')
print(run.info()['name'])
";
    let job = job().path("fs.append", &format!("{dir}/journal"));
    let mut live = daemon.begin(&job, script, &[&dir]);
    live.until_says("begun");
    // No file of the daemon may grow any more: the log as it is, and whatever it writes next.
    let size = fs::metadata(daemon.segments().pop().unwrap()).unwrap().len();
    limit_files(daemon.pid(), &size.to_string());
    let run = serde_json::json!({ "run": live.id });
    live.control.call("ctl.stdin", &run, b"").unwrap();
    until("the daemon says that it cannot write", || {
        daemon.log().contains("the log cannot be written; all work waits").then_some(())
    });
    assert!(!fs::exists(format!("{dir}/journal")).unwrap(), "INV-2: done before it was written down");
    let info = daemon.ask("ctl.info", &Value::Null).unwrap();
    assert_ne!(info["log"], "ok", "{info}");
    let refused = Live::start(daemon.control(), &daemon.sign(&job, &["/bin/true"])).unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable), ("log_unwritable", true), "{refused:?}");
    limit_files(daemon.pid(), "unlimited");
    live.end().expect("begun\nlogged\n");
    assert_eq!(fs::read_to_string(format!("{dir}/journal")).unwrap().len(), 20);
    assert_eq!(daemon.ask("ctl.info", &Value::Null).unwrap()["log"], "ok");
    assert!(processes::is_alive(daemon.pid()));
    daemon.stop();
    daemon.boot();
    daemon.expect_whole_log();
}

/// What a full disk is to a test that has only an ordinary user's rights: writes that would grow a file fail.
fn limit_files(pid: i32, bytes: &str) {
    let pid = pid.to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(set.unwrap().success());
}

#[test]
fn f80_neither_bodies_nor_queries_are_in_the_log() {
    let daemon = Daemon::start();
    let web = pawang_tests::web::Web::start(|_, _| ("200 OK".to_owned(), b"reply-canary".to_vec()));
    let dir = daemon.folder("work");
    let script = "import sys
from pawang import run
run.fs.write(sys.argv[1] + '/x', 'file-canary')
with run.http.fetch('POST', sys.argv[2] + '/p?query-canary=1', headers={'x-a': 'header-canary'}, body=b'body-canary') as answer:
    print(answer.body.decode())
";
    let url = web.url();
    let job = Job::new("quiet").path("fs.write", &format!("{dir}/x")).allow(
        "http.fetch",
        "http",
        &format!("POST {url}/**"),
    );
    let ran = daemon.run(&job, script, &[&dir, &url]);
    ran.expect("reply-canary\n");
    for canary in ["file-canary", "query-canary", "header-canary", "body-canary", "reply-canary"] {
        let found = processes::holds(&daemon.state().join("audit"), canary.as_bytes());
        assert_eq!(found, None, "{canary}");
    }
}

#[test]
fn f60_a_clock_set_back_makes_no_contract_valid_again() {
    let (mut daemon, segment) = ended();
    daemon.boot();
    // Signed now, for an hour.
    let request = daemon.sign(&job(), &["python3", &daemon.script(INFO)]);
    daemon.stop();
    // The log goes on for two hours; then this machine's clock is set back to what it shows now.
    let newest = daemon.segments().pop().unwrap();
    let last = fs::read_to_string(&newest).unwrap().lines().last().unwrap().to_owned();
    let n = daemon.records().last().unwrap()["n"].as_u64().unwrap();
    let later = daemon.records().last().unwrap()["t"].as_u64().unwrap() + 2 * 3_600_000;
    let record = Record { n: n + 1, t: later, prev: Digest::of(last.as_bytes()), entry: Entry::Halt {} };
    let line = serde_json::to_string(&record).unwrap();
    OpenOptions::new().append(true).open(&newest).unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    daemon.boot();
    let refused = Live::start(daemon.control(), &request).unwrap_err();
    assert_eq!(refused.code, "expired", "{refused:?}");
    assert!(daemon.log().contains("the system clock runs behind the log"), "{}", daemon.log());
    // What is signed for the time of the log works, and is recorded at no earlier time.
    let info = daemon.ask("ctl.info", &Value::Null).unwrap();
    assert!(info["now"].as_u64().unwrap() >= later / 1_000, "{info}");
    daemon.run(&job(), INFO, &[]).expect("logged\n");
    daemon.stop();
    let times: Vec<u64> = daemon.records().iter().map(|record| record["t"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(segment.is_file());
    daemon.expect_whole_log();
}
