//! Helpers: a smaller contract cut from a run's own, its gas carved out and given back.

use pawang_tests::{Daemon, Job, processes, until};
use serde_json::json;
use std::fs;

/// Spawns itself as `role` under what `sys.argv` says, and plays the role when it is the helper.
fn job(dir: &str) -> Job {
    Job::new("parent")
        .gas(20_000)
        .path("fs.read", &format!("{dir}/**"))
        .allow("run.spawn", "name", "helper")
        .plain("run.info")
        .limit("processes", 4)
}

const SPAWN: &str = "import sys, time
from pawang import run, Denied, Failed
d, role = sys.argv[1], (sys.argv[2:] or [None])[0]

def spawn(role, **contract):
    contract = {'name': 'helper', 'gas': 1000, 'allow': [{'call': 'fs.read', 'path': d + '/a'}], **contract}
    return run.spawn('helper', contract, [d, role])

def free():
    return run.info()['gas']['free']

";

fn run(script: &str) -> (Daemon, pawang_tests::Ran) {
    let daemon = Daemon::start();
    let dir = daemon.folder("in");
    fs::write(format!("{dir}/a"), "for the helper").unwrap();
    fs::write(format!("{dir}/b"), "not for it").unwrap();
    let ran = daemon.run(&job(&dir), &format!("{SPAWN}{script}"), &[&dir]);
    (daemon, ran)
}

#[test]
fn a_helper_works_under_its_own_contract_and_its_gas_comes_back() {
    let (daemon, ran) = run("if role == 'reads':
    print(run.fs.read_text(d + '/a'))
    try:
        run.fs.read(d + '/b')
    except Denied as no:
        print(no.denial.code)
    sys.exit(5)
done = spawn('reads').wait()
print(done.exit, done.stdout.decode().split())
");
    ran.expect("5 ['for', 'the', 'helper', 'D203']\n");
    let records = daemon.records();
    let of = |kind: &str| records.iter().filter(|r| r["kind"] == kind).collect::<Vec<_>>();
    let (carve, back) = (of("carve")[0], of("return")[0]);
    assert_eq!((&carve["reserved"], &carve["helper"]), (&json!(1000), &back["helper"]));
    let spent = back["spent"].as_u64().unwrap();
    assert!((2..1000).contains(&spent), "{back}");
    assert!(ran.gas() >= spent && ran.gas() < 1_000, "what it did not spend came back: {}", ran.gas());
    let helper = of("start").into_iter().find(|start| start["parent"] == ran.id.as_str()).unwrap();
    assert_eq!(daemon.records_of(helper["run"].as_str().unwrap(), "deny").len(), 1);
    daemon.expect_whole_log();
}

#[test]
fn a_helper_gets_no_more_than_its_parent_has() {
    let (_, ran) = run("def tries(**contract):
    try:
        print(spawn('x', **contract).wait().exit)
    except Denied as no:
        print(no.denial.code)
    except Failed as no:
        print(no.failure.code)
tries(allow=[{'call': 'fs.read', 'path': '/etc/**'}])
tries(allow=[{'call': 'fs.write', 'path': d + '/a'}])
tries(allow=[{'call': 'fs.*', 'path': d + '/a'}])
tries(gas=10**9)
tries(gas=0)
tries(secrets=['API_KEY'])
tries(program='/bin/sh')
tries(wishes=1)
tries()
");
    ran.expect("not_a_subset\nnot_a_subset\nnot_a_subset\nnot_a_subset\nout_of_gas\nnot_a_subset\nnot_a_subset\nbad_request\n0\n");
}

#[test]
fn a_helper_out_of_gas_does_not_take_its_parent_along() {
    let (_, ran) = run("if role == 'loops':
    while True:
        pass
done = spawn('loops').wait()
print(done.exit, run.info()['name'])
");
    assert_eq!((ran.outcome.as_str(), ran.exit), ("done", Some(0)), "{ran:?}");
    assert!(ran.text().ends_with(" parent\n"), "{ran:?}");
    assert!(ran.gas() >= 1_000, "{}", ran.gas());
}

#[test]
fn helpers_end_with_their_parent() {
    let daemon = Daemon::start();
    let dir = daemon.folder("in");
    fs::write(format!("{dir}/a"), "x").unwrap();
    let script = format!(
        "{SPAWN}if role == 'waits':\n    print('up', flush=True)\n    time.sleep(3600)\nfor piece in spawn('waits'):\n    print('helper', piece.data, flush=True)\n"
    );
    for how in ["stop", "kill"] {
        let mut live = daemon.begin(&job(&dir), &script, &[&dir]);
        live.until_says("helper b'up");
        if how == "stop" {
            daemon.ask("ctl.stop", &json!({ "run": live.id })).unwrap();
        } else {
            let detail = daemon.ask("ctl.inspect", &json!({ "run": live.id })).unwrap();
            let pid = detail["processes"][0]["pid"].as_i64().unwrap();
            processes::signal(i32::try_from(pid).unwrap(), nix::sys::signal::Signal::SIGKILL);
        }
        let ran = live.end();
        assert_eq!(ran.outcome, if how == "stop" { "stopped" } else { "done" });
        until("nothing of the helper is left", || {
            let left = processes::descendants(daemon.pid());
            left.iter().all(|process| process.name.starts_with("pawang-launch")).then_some(())
        });
        let records = daemon.records();
        let helper = records.iter().find(|r| r["kind"] == "start" && r["parent"] == ran.id.as_str()).unwrap();
        until("its books are closed", || daemon.records_of(helper["run"].as_str().unwrap(), "end").pop());
        let contract = json!({ "contract": ran.summary["contract"] });
        let detail = daemon.ask("ctl.contract", &contract).unwrap();
        assert_eq!(detail["gas"][2], 0, "{how}: nothing of the parent's gas stays set aside: {detail}");
    }
    daemon.expect_whole_log();
}
