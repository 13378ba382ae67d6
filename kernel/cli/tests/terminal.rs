//! What a person sees: the command line on a real terminal, made by `script` (util-linux).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a surprise fails the test"
)]

mod support;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use support::Daemon;

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(daemon: &Daemon, words: &[&str]) -> Self {
        let command = daemon.command(words);
        let line: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &format!("exec {}", line.join(" ")), "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of util-linux is needed for these tests");
        Self { child, seen: String::new() }
    }

    /// Reads until this text has been shown.
    fn wait_for(&mut self, text: &str) {
        let out = self.child.stdout.as_mut().unwrap();
        let mut byte = [0];
        while !self.seen.contains(text) {
            assert_eq!(out.read(&mut byte).unwrap(), 1, "{text:?} was never shown, but {:?}", self.seen);
            self.seen.push(char::from(byte[0]));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Everything shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code();
        (self.seen + &String::from_utf8_lossy(&rest), code)
    }
}

#[test]
fn f81_a_terminal_never_gets_what_it_would_obey() {
    let daemon = Daemon::new();
    let script = daemon.script("print('\\x1b]0;owned\\x07\\x1b[2Jtext\\u202e')\n");
    let source = daemon.source("hostile", "");
    let (seen, code) = Terminal::start(&daemon, &["run", &source, "--", "python3", &script]).end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("\\x1b]0;owned\\x07\\x1b[2Jtext\\u{202e}\r\n"), "{seen}");
    assert!(
        seen.contains('●') && seen.contains("\x1b[32mdone\x1b[0m"),
        "our own lines are in colour: {seen}"
    );
}

#[test]
fn f44_a_secret_is_asked_for_without_being_shown() {
    let daemon = Daemon::new();
    let mut terminal = Terminal::start(&daemon, &["secret", "set", "CANARY_KEY"]);
    for (question, answer) in [
        ("CANARY_KEY: ", "wrong\x15canary-0123456780ü\x7f\x7f9\n"),
        ("Choose a passphrase for the vault: ", "correct horse battery\n"),
        ("The same again: ", "correct horse battery\n"),
    ] {
        terminal.wait_for(question);
        terminal.type_in(answer);
    }
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains("canary") && !seen.contains("correct"), "{seen}");
}

#[test]
fn ctrl_c_at_a_question_changes_nothing() {
    let daemon = Daemon::new();
    let mut terminal = Terminal::start(&daemon, &["secret", "set", "CANARY_KEY"]);
    terminal.wait_for("CANARY_KEY: ");
    terminal.type_in("half\x03");
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(81), "{seen}");
    assert!(seen.contains("given up; nothing was changed"), "{seen}");
}

#[test]
fn ctrl_c_on_the_terminal_stops_the_run_and_not_the_daemon() {
    let daemon = Daemon::new();
    let source = daemon.source("sleep", "");
    let mut terminal = Terminal::start(&daemon, &["run", &source, "--", "/bin/sleep", "600"]);
    terminal.wait_for("walls: ");
    terminal.type_in("\x03");
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(81), "{seen}");
    assert!(seen.contains("stopped"), "{seen}");
    assert!(daemon.pawang(&["ps"]).status.success());
}
