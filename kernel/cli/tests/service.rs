//! `pawang service install --into DIR`: the units name this installation's daemon and nothing else is changed in them.

#![allow(clippy::expect_used, reason = "a test that cannot go on says so")]

use std::path::Path;
use std::process::Command;

fn install(dir: &Path, prefix: &str, words: &[&str]) -> std::process::Output {
    let program = Path::new(prefix).join("bin/pawang");
    Command::new(program)
        .args(["service", "install", "--into"])
        .arg(dir)
        .args(words)
        .output()
        .expect("pawang runs")
}

#[test]
fn units_name_the_daemon_beside_the_command() {
    let prefix = std::env::var("PAWANG_PREFIX").expect("PAWANG_PREFIX is not set: run `cargo xtask test`");
    let daemon = Path::new(&prefix).canonicalize().unwrap().join("bin/pawangd");
    for (words, line) in [(&[][..], "User=pawang"), (&["--user"][..], "WantedBy=default.target")] {
        let dir = tempfile::tempdir().unwrap();
        let output = install(dir.path(), &prefix, words);
        assert!(output.status.success(), "{output:?}");
        let unit = std::fs::read_to_string(dir.path().join("pawangd.service")).unwrap();
        assert!(unit.contains(&format!("ExecStart={}\n", daemon.display())), "{unit}");
        assert!(unit.contains(line), "{unit}");
        assert!(dir.path().join("pawangd.socket").is_file());
    }
}
