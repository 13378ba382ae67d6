//! Contracts from source to revocation, against a real daemon that admits or refuses them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a surprise fails the test"
)]

mod support;

use std::fs;
use support::{Daemon, stderr, stdout};

#[test]
fn a_signed_contract_is_checked_run_once_and_revoked() {
    let daemon = Daemon::new();
    let source = daemon.source("signed", "");
    let envelope = daemon.path("signed.json");
    let sign = daemon.pawang(&["contract", "sign", &source, "--out", &envelope, "--", "/bin/echo"]);
    assert_eq!(sign.status.code(), Some(0), "{}", stderr(&sign));
    let check = daemon.pawang(&["contract", "check", &envelope]);
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));

    let other = daemon.pawang(&["run", &envelope, "--", "/bin/cat"]);
    assert_eq!(other.status.code(), Some(65));
    assert!(stderr(&other).contains("is for another program"), "{}", stderr(&other));

    let first = daemon.pawang(&["run", &envelope, "--", "/bin/echo", "once"]);
    assert_eq!((stdout(&first).as_str(), first.status.code()), ("once\n", Some(0)), "{}", stderr(&first));
    let second = daemon.pawang(&["run", &envelope, "--", "/bin/echo", "twice"]);
    assert_eq!(
        (stdout(&second).as_str(), second.status.code()),
        ("", Some(65)),
        "spent is spent: {}",
        stderr(&second)
    );

    let fresh = daemon.path("fresh.json");
    daemon.pawang(&["contract", "sign", &source, "--out", &fresh, "--", "/bin/echo"]);
    let revoke = daemon.pawang(&["contract", "revoke", &fresh]);
    assert_eq!(revoke.status.code(), Some(0), "{}", stderr(&revoke));
    let revoked = daemon.pawang(&["run", &fresh]);
    assert_eq!(revoked.status.code(), Some(65), "{}", stderr(&revoked));
    assert!(stderr(&revoked).contains("(revoked)"), "{}", stderr(&revoked));
}

#[test]
fn f56_one_changed_byte_of_a_signed_contract_is_refused() {
    let daemon = Daemon::new();
    let sign = daemon.pawang(&["contract", "sign", &daemon.source("tampered", ""), "--", "/bin/echo"]);
    let mut value: serde_json::Value = serde_json::from_slice(&sign.stdout).expect("an envelope");
    let payload = value["payload"].as_str().unwrap().to_owned();
    let (at, old) = payload.char_indices().nth(40).unwrap();
    let new = if old == 'A' { "B" } else { "A" };
    value["payload"] = format!("{}{new}{}", &payload[..at], &payload[at + 1..]).into();
    let path = daemon.put("tampered.json", &value.to_string());
    for words in [&["contract", "check", path.as_str()][..], &["run", &path]] {
        assert_eq!(daemon.pawang(words).status.code(), Some(65), "{words:?}");
    }
}

#[test]
fn whom_nobody_trusts_any_more_is_refused() {
    let daemon = Daemon::new();
    let key = stdout(&daemon.pawang(&["key", "show"])).trim().to_owned();
    let list = stdout(&daemon.pawang(&["trust", "list", "--json"]));
    assert!(list.contains(&key), "{list}");
    assert_eq!(daemon.pawang(&["trust", "remove", &key]).status.code(), Some(0));
    assert_eq!(daemon.pawang(&["trust", "remove", &key]).status.code(), Some(66));
    let run = daemon.run_source(&daemon.source("untrusted", ""), &["/bin/echo"]);
    assert_eq!(run.status.code(), Some(65));
    assert!(stderr(&run).contains("unknown_key)"), "{}", stderr(&run));
}

#[test]
fn a_contract_is_cut_smaller_by_its_delegate_and_never_larger() {
    let daemon = Daemon::new();
    let own = stdout(&daemon.pawang(&["key", "show"])).trim().to_owned();
    let source = |name: &str, gas: u32, path: &str, more: &str| {
        let text = format!(
            "contract = 1\nname = \"{name}\"\nttl = \"1h\"\n{more}[gas]\nlimit = {gas}\n\
             [[allow]]\ncall = \"fs.read\"\npath = \"{path}\"\n"
        );
        daemon.put(&format!("{name}.toml"), &text)
    };
    let parent = daemon.path("parent.json");
    let delegating = source("parent", 10_000, "/srv/**", &format!("delegate = \"{own}\"\n"));
    let sign = daemon.pawang(&["contract", "sign", &delegating, "--out", &parent, "--", "/bin/echo"]);
    assert_eq!(sign.status.code(), Some(0), "{}", stderr(&sign));

    let child = daemon.path("child.json");
    let smaller = source("smaller", 5_000, "/srv/data/**", "");
    let cut = daemon.pawang(&["contract", "attenuate", &parent, &smaller, "--out", &child]);
    assert_eq!(cut.status.code(), Some(0), "{}", stderr(&cut));
    let run = daemon.pawang(&["run", &child, "--", "/bin/echo", "small"]);
    assert_eq!((stdout(&run).as_str(), run.status.code()), ("small\n", Some(0)), "{}", stderr(&run));

    for (name, gas, path, why) in [
        ("richer", 20_000, "/srv/data/**", "gas"),
        ("wider", 5_000, "/etc/**", "call = \"fs.read\"  path = \"/etc/**\""),
    ] {
        let larger = source(name, gas, path, "");
        let refused = daemon.pawang(&["contract", "attenuate", &parent, &larger]);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(65), ""), "{name}");
        assert!(
            stderr(&refused).contains("asks for more than") && stderr(&refused).contains(why),
            "{}",
            stderr(&refused)
        );
    }
    let stranger = daemon.private(
        "stranger",
        "pawang-key-v1\n0101010101010101010101010101010101010101010101010101010101010101\n",
    );
    let refused = daemon.pawang(&["contract", "attenuate", &parent, &smaller, "--key", &stranger]);
    assert!(
        stderr(&refused).starts_with("pawang: you may not cut from this contract\n"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_key_signs_up_to_its_ceiling_and_not_beyond() {
    let daemon = Daemon::new();
    let friend = daemon.path("friend");
    let made = daemon.pawang(&["key", "new", "--no-trust", "--key", &friend]);
    let key = stdout(&made).trim().to_owned();
    let ceiling = daemon.put(
        "ceiling.toml",
        "gas = 50000\nttl_s = 7200\nuses = 1\nallow = [{ call = \"run.info\" }]\n[limits]\nwall_s = 600\n\
         memory_mib = 512\nprocesses = 8\nopen_files = 64\nfile_mib = 16\ntmp_mib = 16\noutput_kib = 1024\nmemory_store_kib = 0\n",
    );
    let add = daemon.pawang(&["trust", "add", "friend", &key, "--ceiling", &ceiling]);
    assert_eq!(add.status.code(), Some(0), "{}", stderr(&add));
    let source = daemon.source("beyond", "");
    let beyond = daemon.pawang(&["run", &source, "--key", &friend, "--", "/bin/echo", "x"]);
    assert_eq!(beyond.status.code(), Some(65), "{}", stderr(&beyond));
    assert!(stderr(&beyond).contains("over the ceiling of friend"), "{}", stderr(&beyond));
    fs::write(&source, fs::read_to_string(&source).unwrap().replace("100000", "50000")).unwrap();
    let within = daemon.pawang(&["run", &source, "--key", &friend, "--", "/bin/echo", "x"]);
    assert_eq!(within.status.code(), Some(0), "{}", stderr(&within));
    assert!(stderr(&within).contains("signed by friend"), "{}", stderr(&within));
}

#[test]
fn what_the_daemon_admitted_is_shown_by_its_digest() {
    let daemon = Daemon::new();
    daemon.run_source(&daemon.source("shown", ""), &["/bin/true"]);
    let runs: serde_json::Value =
        serde_json::from_slice(&daemon.pawang(&["ps", "--all", "--json"]).stdout).unwrap();
    let digest = runs[0]["contract"].as_str().unwrap();
    let show = stdout(&daemon.pawang(&["contract", "show", &digest[..8]]));
    for line in ["allow   call = \"run.info\"", "in force   gas ", "uses left 0"] {
        assert!(show.contains(line), "{line}: {show}");
    }
    let key = stdout(&daemon.pawang(&["key", "show", "--daemon"]));
    assert!(show.lines().any(|line| line.contains("for daemon") && line.ends_with(key.trim())), "{show}");
    let unknown = daemon.pawang(&["contract", "show", "00000000"]);
    assert_eq!(unknown.status.code(), Some(66), "{}", stderr(&unknown));
}
