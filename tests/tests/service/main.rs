//! The service units, under the real systemd: it verifies them, and a real one, started in namespaces of its own, runs
//! them.
//!
//! Starting a systemd takes root. Run by an ordinary user, those tests say so in one line and claim nothing; `.ci/run`
//! runs them as root as well.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends there"
)]

mod machine;

use machine::{Machine, prefix, service_folder};
use std::fs;
use std::io::Write as _;
use std::process::Command;

/// What units may not set, because runs inherit it; the unit of the machine says of each why.
const NEEDED_BY_RUNS: [&str; 6] = [
    "MemoryDenyWriteExecute",
    "ProcSubset",
    "ProtectProc",
    "RestrictNamespaces",
    "RestrictSUIDSGID",
    "SystemCallFilter",
];

/// A contract for one run that reads one file.
const CONTRACT: &str = r#"
contract = 1
name = "hello"
ttl = "1h"
gas = { limit = 1000 }
allow = [{ call = "fs.read", path = "/run/home/hello.txt" }]
"#;

/// Copies the units of `kind` with the staged daemon in them, as an installation elsewhere would.
fn units_in_place(kind: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let daemon = prefix().join("bin/pawangd");
    for name in ["pawangd.service", "pawangd.socket"] {
        let unit = fs::read_to_string(service_folder().join(kind).join(name)).unwrap();
        let unit = unit.replace("/usr/bin/pawangd", daemon.to_str().unwrap());
        fs::write(folder.path().join(name), unit).unwrap();
    }
    folder
}

fn verify(kind: &str, words: &[&str]) {
    let folder = units_in_place(kind);
    let mut command = Command::new("systemd-analyze");
    command.args(words).args(["verify", "--man=no"]).env("XDG_RUNTIME_DIR", folder.path());
    let output =
        command.args(["pawangd.service", "pawangd.socket"].map(|name| folder.path().join(name))).output();
    let output = output.expect("systemd-analyze is missing; try: apt-get install systemd");
    // A misspelt key is only a warning: any word of it counts.
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!((said.as_str(), output.status.success()), ("", true));
}

#[test]
fn systemd_verifies_the_units_of_the_machine_without_a_word() {
    verify("system", &["--system"]);
}

#[test]
fn systemd_verifies_the_units_of_a_user_without_a_word() {
    verify("user", &["--user"]);
}

#[test]
fn units_deny_nothing_that_runs_need() {
    for kind in ["system", "user"] {
        let unit = fs::read_to_string(service_folder().join(kind).join("pawangd.service")).unwrap();
        for key in NEEDED_BY_RUNS {
            assert!(!unit.lines().any(|line| line.starts_with(key)), "{kind}: {key} is inherited by runs");
        }
    }
}

/// A machine with the units installed; `None`, and one line, for whoever is not root.
fn machine(test: &str) -> Option<Machine> {
    if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        return Some(Machine::boot());
    }
    let _ = writeln!(
        std::io::stderr(),
        "{test}: needs root to start a systemd; covered by the run as root in .ci/run"
    );
    None
}

#[test]
fn a_connection_starts_the_service_and_is_answered() {
    let Some(machine) = machine("a_connection_starts_the_service_and_is_answered") else { return };
    assert_eq!(machine.property("ActiveState"), "inactive");
    machine.pawang(&["ps", "--json"]);
    assert_eq!(machine.property("ActiveState"), "active");
    assert_eq!(machine.property("StatusText"), "running");
    assert_ne!(machine.uid_of_daemon(), "0");
}

#[test]
fn stop_is_clean_and_a_second_start_finds_the_log_whole() {
    let Some(machine) = machine("stop_is_clean_and_a_second_start_finds_the_log_whole") else { return };
    machine.systemctl(&["start", "pawangd.service"]);
    let first = machine.property("MainPID");
    machine.systemctl(&["stop", "pawangd.service"]);
    assert_eq!(machine.property("Result"), "success");
    assert_eq!(machine.processes_of_service(), "");
    machine.systemctl(&["restart", "pawangd.service"]);
    assert_ne!(machine.property("MainPID"), first);
    machine.verify_log();
}

#[test]
fn f76_a_daemon_killed_with_9_is_back_with_a_whole_log() {
    let Some(machine) = machine("f76_a_daemon_killed_with_9_is_back_with_a_whole_log") else { return };
    machine.pawang(&["ps", "--json"]);
    let first = machine.property("MainPID");
    machine.systemctl(&["kill", "--kill-who=main", "--signal=KILL", "pawangd.service"]);
    // The socket is systemd's and outlives the daemon: a client that comes too early waits in its queue.
    machine.pawang(&["ps", "--json"]);
    assert_ne!(machine.property("MainPID"), first);
    assert_eq!(machine.property("ActiveState"), "active");
    machine.verify_log();
}

#[test]
fn the_hardening_of_the_unit_leaves_runs_all_their_walls() {
    let Some(machine) = machine("the_hardening_of_the_unit_leaves_runs_all_their_walls") else { return };
    machine.pawang(&["key", "new", "--name", "root"]);
    machine.write("/run/home/hello.txt", "it was read");
    machine.write(
        "/run/home/hello.py",
        "from pawang import run\nprint(run.fs.read_text('/run/home/hello.txt'))\n",
    );
    machine.write("/run/home/hello.toml", CONTRACT);
    let said = machine.pawang(&[
        "run",
        "--json",
        "/run/home/hello.toml",
        "--",
        "/usr/bin/python3",
        "/run/home/hello.py",
    ]);
    assert!(said.contains("it was read"), "{said}");
    for wall in ["landlock", "seccomp", "user-ns", "pid-ns", "net-ns", "ipc-ns", "mount-ns"] {
        assert!(said.contains(&format!("\"{wall}\"")), "{wall} is missing: {said}");
    }
}

#[test]
fn the_credential_of_the_service_manager_opens_the_vault() {
    let Some(machine) = machine("the_credential_of_the_service_manager_opens_the_vault") else { return };
    machine.pawang_with_stdin(&["secret", "set", "CANARY"], "canary-5ca1ab1e");
    assert_eq!(machine.pawang(&["secret", "list", "--json"]).matches("CANARY").count(), 1);
    machine.systemctl(&["restart", "pawangd.service"]);
    assert_eq!(machine.pawang(&["secret", "list", "--json"]).matches("CANARY").count(), 1);
}
