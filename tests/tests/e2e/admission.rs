//! Contracts that are not accepted, or not any more. `contracts/bad` has every way to write one wrong; these are the ways
//! that need a daemon: its clock, its key, its trust, its memory of what was spent.

use pawang_core::contract::Serial;
use pawang_core::contract::{Contract, Envelope};
use pawang_core::control::RunRequest;
use pawang_core::digest::Digest;
use pawang_core::key::Signer;
use pawang_protocol::Gas;
use pawang_tests::daemon::contract;
use pawang_tests::{Daemon, Job, Live};
use serde_json::json;
use std::fs;

fn good(daemon: &Daemon) -> RunRequest {
    daemon.sign(&Job::new("good").plain("run.info"), &["/bin/true"])
}

/// Starts nothing, for this reason, and writes nothing of it into the log.
#[track_caller]
fn refused(daemon: &Daemon, request: &RunRequest, code: &str, words: &str) {
    let before = daemon.records().len();
    let failure = Live::start(daemon.control(), request).unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.message.contains(words), "{failure:?}");
    let new = &daemon.records()[before..];
    assert!(new.iter().all(|record| record["kind"] != "admit" && record["kind"] != "start"), "{new:?}");
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn contracts_that_are_not_for_this_daemon_or_this_time_are_refused() {
    let daemon = Daemon::start();
    let request = good(&daemon);
    let stranger = Signer::from_seed([9; 32]);
    type Change = dyn Fn(&mut Contract);
    let cases: &[(&str, &str, &Change)] = &[
        ("expired", "expired: valid until", &|c| (c.not_before, c.not_after) = (now() - 100, now() - 1)),
        ("not_yet_valid", "not yet valid", &|c| (c.not_before, c.not_after) = (now() + 500, now() + 600)),
        ("wrong_audience", "wrong audience", &|c| c.audience = Signer::from_seed([8; 32]).id()),
        ("issuer_mismatch", "issuer mismatch", &|c| c.issuer = Signer::from_seed([9; 32]).id()),
        ("prices_changed", "prices changed", &|c| c.prices = Digest::of(b"cheaper")),
        ("out_of_gas", "gas is spent", &|c| c.gas.limit = Gas(0)),
        ("bad_value", "uses", &|c| c.uses = 0),
    ];
    for (code, words, change) in cases {
        refused(&daemon, &daemon.resign(&request, change), code, words);
    }
    // f55: a key that signs for itself.
    let mut own = contract(&request);
    own.issuer = stranger.id();
    let envelope = Envelope::sign(&own.to_payload(), &stranger).to_json();
    refused(&daemon, &RunRequest { envelope, ..request.clone() }, "unknown_key", "nobody here trusts");
    Live::start(daemon.control(), &request).unwrap().end().expect("");
}

#[test]
fn f58_a_contract_with_any_bit_changed_is_refused() {
    let daemon = Daemon::start();
    let request = good(&daemon);
    let bytes = request.envelope.clone().into_bytes();
    let step = (bytes.len() / 60).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let envelope = String::from_utf8(changed).unwrap();
        if envelope == request.envelope {
            continue;
        }
        let failure = Live::start(daemon.control(), &RunRequest { envelope, ..request.clone() }).unwrap_err();
        assert!(!failure.hint.is_empty(), "byte {at}: {failure:?}");
    }
    assert!(daemon.records().iter().all(|record| record["kind"] != "start"));
}

#[test]
fn f63_a_program_that_changed_since_it_was_signed_does_not_run() {
    let daemon = Daemon::start();
    let script = daemon.script("print('as signed')");
    let request = daemon.sign(&Job::new("pinned").uses(2), &["python3", &script]);
    Live::start(daemon.control(), &request).unwrap().end().expect("as signed\n");
    fs::write(&script, "print('something else')").unwrap();
    refused(&daemon, &request, "wrong_program", "script-1.py");
    let swapped = RunRequest { executable: "/bin/sh".to_owned(), ..request.clone() };
    let failure = Live::start(daemon.control(), &swapped).unwrap_err();
    assert_eq!(failure.code, "wrong_program", "{failure:?}");
    fs::write(&script, "print('as signed')").unwrap();
    Live::start(daemon.control(), &request).unwrap().end().expect("as signed\n");
}

#[test]
fn f60_a_one_shot_contract_is_spent_after_one_run_and_after_a_restart() {
    let mut daemon = Daemon::start();
    let request = good(&daemon);
    Live::start(daemon.control(), &request).unwrap().end().expect("");
    refused(&daemon, &request, "used_up", "");
    daemon.kill();
    daemon.boot();
    refused(&daemon, &request, "used_up", "");
    daemon.stop();
    daemon.boot();
    refused(&daemon, &request, "used_up", "");
    // The same text signed again is another contract.
    let again = daemon.resign(&request, |contract| contract.serial = Serial([1; 16]));
    Live::start(daemon.control(), &again).unwrap().end().expect("");
}

#[test]
fn f70_gas_of_a_contract_is_one_account_over_all_its_runs() {
    let mut daemon = Daemon::start();
    let dir = daemon.folder("in");
    fs::write(format!("{dir}/a"), vec![0; 100 << 10]).unwrap();
    let script = "import sys\nfrom pawang import run\nprint(len(run.fs.read(sys.argv[1] + '/a')))";
    let job = Job::new("shared").gas(2_000).uses(50).path("fs.read", &format!("{dir}/**"));
    let mut request = daemon.sign(&job, &["python3", &daemon.script(script)]);
    request.args = vec![dir];
    let mut spent = 0;
    for run in 0.. {
        assert!(run < 40, "2,000 gas for {run} runs of 100 and more");
        let Ok(live) = Live::start(daemon.control(), &request) else { break };
        let ran = live.end();
        assert!(ran.gas() >= spent, "{ran:?}");
        spent = ran.gas();
        if ran.outcome != "done" {
            ran.expect_outcome("out_of_gas");
            break;
        }
        daemon.stop();
        daemon.boot();
    }
    assert!((1_500..=2_000).contains(&spent), "{spent}");
}

#[test]
fn a_key_signs_nothing_beyond_its_ceiling() {
    let daemon = Daemon::start();
    let bob = Signer::from_seed([3; 32]);
    let key = daemon.write("bob.key", &bob.to_text());
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ceiling = daemon.write(
        "ceiling.toml",
        "gas = 1000\nttl_s = 7200\nuses = 1\nallow = [{ call = \"fs.read\", path = \"/srv/data/**\" }]\n[limits]\n\
         wall_s = 300\nmemory_mib = 256\nprocesses = 1\nopen_files = 64\nfile_mib = 16\ntmp_mib = 16\noutput_kib = 1024\nmemory_store_kib = 0\n",
    );
    let added = daemon.pawang(&["trust", "add", "bob", &bob.id().to_string(), "--ceiling", &ceiling]);
    assert!(added.status.success(), "{added:?}");
    let sign = |job: &Job| {
        let request = daemon.sign(job, &["/bin/true"]);
        let mut contract = contract(&request);
        contract.issuer = bob.id();
        RunRequest { envelope: Envelope::sign(&contract.to_payload(), &bob).to_json(), ..request }
    };
    let within = Job::new("bobs").gas(1_000).path("fs.read", "/srv/data/a");
    Live::start(daemon.control(), &sign(&within)).unwrap().end().expect("");
    for (beyond, words) in [
        (within.clone().gas(1_001), "gas"),
        (within.clone().uses(2), "uses"),
        (within.clone().path("fs.read", "/srv/**"), "/srv/**"),
        (within.clone().path("fs.write", "/srv/data/a"), "fs.write"),
        (within.clone().limit("processes", 2), "processes"),
        (within.clone().plain("run.info"), "run.info"),
    ] {
        refused(&daemon, &sign(&beyond), "over_ceiling", words);
    }
    // No longer trusted, no longer accepted.
    assert!(daemon.pawang(&["trust", "remove", "bob"]).status.success());
    let fresh = within.clone().gas(999);
    refused(&daemon, &sign(&fresh), "unknown_key", "");
}

#[test]
fn a_revoked_contract_stops_its_runs_and_is_worthless_for_good() {
    let mut daemon = Daemon::start();
    let script =
        "from pawang import run\nprint('up', flush=True)\nrun.call('exec.run', '/bin/sleep\\x00600')";
    let job = Job::new("revoked").uses(9).exec(&["/bin/sleep", "600"]).limit("processes", 4);
    let request = daemon.sign(&job, &["python3", &daemon.script(script)]);
    let mut live = Live::start(daemon.control(), &request).unwrap();
    live.until_says("up");
    let digest = live_digest(&daemon, &live.id);
    let revoked = daemon.ask("ctl.revoke", &json!({ "contract": digest })).unwrap();
    assert_eq!(revoked["stopped"], json!([live.id]));
    live.end().expect_outcome("revoked");
    refused(&daemon, &request, "revoked", "");
    daemon.kill();
    daemon.boot();
    refused(&daemon, &request, "revoked", "");
}

fn live_digest(daemon: &Daemon, run: &str) -> String {
    let start = daemon.records_of(run, "start").pop().unwrap();
    start["contract"].as_str().unwrap().to_owned()
}

#[test]
fn f43_no_contract_grants_the_daemons_own_state() {
    let daemon = Daemon::start();
    let state = daemon.state().to_str().unwrap().to_owned();
    let parent = daemon.state().parent().unwrap().to_str().unwrap().to_owned();
    for (call, path) in [
        ("fs.read", format!("{state}/daemon.key")),
        ("fs.write", format!("{state}/audit/**")),
        ("fs.*", format!("{state}/**")),
        ("fs.list", state.clone()),
        ("fs.write", format!("{state}/not-there-yet")),
    ] {
        // The command line refuses to sign it; a hostile signer would not.
        let request = daemon.sign(&Job::new("greedy").path(call, "/srv/x"), &["/bin/true"]);
        let text = String::from_utf8(contract(&request).to_payload()).unwrap();
        let changed = Contract::parse(text.replace("/srv/x", &path).as_bytes()).unwrap();
        refused(&daemon, &daemon.resign(&request, |contract| *contract = changed), "protected", "");
    }
    // A grant of a folder above it is no way in either.
    let script = "import sys
from pawang import run, Denied, Failed
for path in sys.argv[1:]:
    try:
        print(run.fs.read(path)[:1])
    except (Denied, Failed) as no:
        print(type(no).__name__)
";
    let job = Job::new("above").path("fs.read", &format!("{parent}/**"));
    let source = daemon.write("above.toml", &job.source());
    let run = daemon.pawang(&[
        "run",
        &source,
        "--",
        "python3",
        &daemon.script(script),
        &format!("{state}/daemon.key"),
    ]);
    assert!(!String::from_utf8_lossy(&run.stdout).contains("b'"), "{run:?}");
}
