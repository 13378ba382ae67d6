//! The command line without a daemon, and with things that only pretend to be one.
//!
//! Each test has the program in a folder of its own, so that no daemon stands beside it. It is a hard link: a copy
//! would be busy being written while another test forks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a surprise fails the test")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use tempfile::TempDir;

/// A folder with the program, and an empty home.
struct Place {
    bin: TempDir,
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let bin = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::hard_link(env!("CARGO_BIN_EXE_pawang"), bin.path().join("pawang")).unwrap();
        Self { bin, home: tempfile::tempdir().unwrap() }
    }

    /// A path in the home.
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.bin.path().join("pawang"));
        command.env_clear().env("HOME", self.home.path()).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Someone on the control socket who says these bytes to the first who connects, and hears them out.
    fn put_listener(&self, words: Vec<u8>) -> (String, thread::JoinHandle<Vec<u8>>) {
        let state = self.path("state");
        fs::create_dir(&state).unwrap();
        let listener = UnixListener::bind(state.join("control.sock")).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&words).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap_or_default();
            heard
        });
        (state.to_str().unwrap().to_owned(), thread)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn without_a_daemon_to_start_it_says_so_in_three_lines() {
    let place = Place::new();
    let output = place.run(&["ps"]);
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(
        stderr(&output),
        "pawang: cannot start the daemon\n  why: pawangd is neither beside pawang nor on PATH\n  \
         try: install both from the same release, side by side\n"
    );
    let mode = fs::metadata(place.path(".local/state/pawang")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700, "what it made for the daemon is closed to others");
}

#[test]
fn a_daemon_that_does_not_come_up_is_told_with_the_end_of_its_log() {
    let place = Place::new();
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/daemon-that-fails");
    std::os::unix::fs::symlink(daemon, place.bin.path().join("pawangd")).unwrap();
    let output = place.run(&["ps"]);
    let log = place.path(".local/state/pawang/pawangd.log");
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(
        stderr(&output),
        format!(
            "pawang: the daemon did not come up\n  why: its log ends:\n       the disk is\\x1b[31m on fire\n  \
             try: read {}, and see `pawang doctor`\n",
            log.display()
        )
    );
    assert_eq!(fs::metadata(log).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_state_directory_that_others_may_enter_is_refused() {
    let place = Place::new();
    let state = place.path("open");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let output = place.run(&["--state", state.to_str().unwrap(), "ps"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains(&format!("try: chmod 700 {}", state.display())), "{}", stderr(&output));
}

#[test]
fn f50_whoever_speaks_garbage_on_the_socket_is_left_at_once() {
    for (words, why) in [
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "it broke the protocol"),
        (vec![0xff, 0xff, 0xff, 0xff], "it broke the protocol"),
        (vec![4, 0, 0, 0, 9, 0, 0, 0], "it broke the protocol"),
        (vec![], "the connection to the daemon was lost"),
        (vec![16, 0, 0, 0, 1, 2], "the connection to the daemon was lost"),
    ] {
        let place = Place::new();
        let (state, listener) = place.put_listener(words.clone());
        let output = place.run(&["--state", &state, "ps"]);
        assert_eq!(output.status.code(), Some(69), "{words:?}");
        assert!(stderr(&output).contains(why), "{words:?}: {}", stderr(&output));
        assert_eq!(listener.join().unwrap(), b"", "nothing was said to {words:?}");
    }
}

#[test]
fn a_daemon_of_another_protocol_version_is_told_as_such() {
    let place = Place::new();
    let body = br#"{"version_min":7,"role":"control","run":"","methods":[]}"#;
    let hello = pawang_protocol::Message::Hello { version: 9, features: 0, body };
    let mut frame = Vec::new();
    hello.encode_frame(&mut frame).unwrap();
    let (state, _listener) = place.put_listener(frame);
    let output = place.run(&["--state", &state, "ps"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("why: it speaks 7 to 9, this command 1 to 1"), "{}", stderr(&output));
}

#[test]
fn a_key_is_made_without_a_daemon_when_asked_and_shown_again() {
    let place = Place::new();
    let made = place.run(&["key", "new", "--no-trust"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let path = place.path(".config/pawang/key");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(place.run(&["key", "show"]).stdout, made.stdout);
    let seed = fs::read_to_string(&path).unwrap().lines().last().unwrap().to_owned();
    assert!(!(stdout(&made) + &stderr(&made)).contains(&seed), "f44: the seed is shown nowhere");
    let again = place.run(&["key", "new", "--no-trust"]);
    assert_eq!(again.status.code(), Some(65));
    assert!(stderr(&again).starts_with("pawang: there is a key already\n"), "{}", stderr(&again));
}

#[test]
fn a_contract_is_written_checked_compared_and_explained_without_a_daemon() {
    let place = Place::new();
    let template = place.run(&["contract", "new"]);
    let (a, b) = (place.path("a.toml"), place.path("b.toml"));
    fs::write(&a, &template.stdout).unwrap();
    fs::write(&b, stdout(&template).replace("limit = 10_000", "limit = 20_000")).unwrap();
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());

    let check = place.run(&["contract", "check", a]);
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
    assert!(
        stdout(&check).contains("allow   call = \"fs.read\"  path = \"/srv/input/**\""),
        "{}",
        stdout(&check)
    );

    let diff = place.run(&["contract", "diff", a, b]);
    assert_eq!(
        stdout(&diff),
        "  + gas         10000  →  20000\n  the first allows nothing that the second does not\n"
    );

    let explain = |resource: &str| place.run(&["explain", "--contract", a, "fs.read", resource]);
    assert_eq!(explain("/srv/input/x").status.code(), Some(0));
    let denied = explain("/root/.ssh/id_ed25519");
    assert_eq!(denied.status.code(), Some(77));
    for line in ["verdict   denied · D203 no grant covers this path", "careful   this path holds keys"] {
        assert!(stdout(&denied).contains(line), "{}", stdout(&denied));
    }
    let json = place.run(&["explain", "--json", "--contract", a, "fs.read", "/etc/../x"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["verdict"], &json["code"]), (&"denied".into(), &"D102".into()));
}

#[test]
fn a_source_with_a_fault_is_refused_with_its_line() {
    let place = Place::new();
    let path = place.path("bad.toml");
    fs::write(&path, "contract = 1\nname = \"x\"\nttl = \"1h\"\ngaz = 5\n[gas]\nlimit = 1\n").unwrap();
    let output = place.run(&["contract", "check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("why: line 4, column 1"), "{}", stderr(&output));
}

#[test]
fn help_teaches_and_the_exit_codes_have_their_page() {
    let place = Place::new();
    let help = stdout(&place.run(&["help", "exit-codes"]));
    assert_eq!(
        help.lines().filter(|line| line.trim_start().starts_with(char::is_numeric)).count(),
        15,
        "{help}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]);
        assert!(script.status.success() && stdout(&script).contains("timeline"), "{shell}");
    }
    assert_eq!(place.run(&[]).status.code(), Some(2));
    assert_eq!(place.run(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn nothing_is_coloured_when_piped_unless_asked() {
    let place = Place::new();
    let plain = place.run(&["ps"]);
    assert!(!stderr(&plain).contains('\x1b'));
    assert!(stderr(&place.run(&["--color", "always", "ps"])).starts_with("\x1b[31mpawang:\x1b[0m "));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let place = Place::new();
    let mut child = place
        .command(&["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn f78_a_log_is_checked_without_a_daemon_and_each_kind_of_damage_is_named() {
    use pawang_core::audit::Tip;
    use pawang_core::key::Signer;
    use pawang_core::record::Entry;
    let signer = Signer::from_seed([9; 32]);
    let place = Place::new();
    let dir = place.path("audit");
    fs::create_dir(&dir).unwrap();
    let log = Log::write(&dir, &signer, |tip, out| {
        for n in 0..6 {
            tip.append(Entry::Secret { name: format!("S{n}"), act: "set".into() }, 2_000 + n, out).unwrap();
        }
        let head = Tip::head(tip, &signer);
        tip.append(head, 3_000, out).unwrap();
    });
    let key = signer.id().to_string();
    let verify = |dir: &Path| place.run(&["audit", "verify", "--log", dir.to_str().unwrap(), "--key", &key]);

    let whole = verify(&dir);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    assert!(
        stdout(&whole).starts_with("✓ the log is whole: 8 records in 1 segment, 1 signed head\n"),
        "{}",
        stdout(&whole)
    );

    let lines: Vec<&str> = log.text.lines().collect();
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat().join("\n") + "\n";
    for (text, line, why) in [
        (log.text.replacen("S2", "S9", 1), 5, "record 5: it does not hold the digest of the line before it"),
        (without(3), 4, "record 4: it is numbered 5"),
        (log.text.replacen("\"t\":2003", "\"t\":1", 1), 5, "record 5: its time lies before"),
        (log.text.trim_end().to_owned(), 8, "record 8: the last line has no end"),
        (
            lines[..5].join("\n") + "\n",
            5,
            "record 6: the log ends here, and a signed head says it went on to record 8",
        ),
        (log.text.replacen("{", "[", 1), 1, "record 1: the line is not a record"),
        (without(0), 1, "a log opens with a snapshot"),
    ] {
        fs::write(dir.join(&log.name), &text).unwrap();
        let output = verify(&dir);
        assert_eq!(output.status.code(), Some(74), "{why}: {}", stdout(&output));
        let file = dir.join(&log.name);
        let first = format!("pawang: the log is broken at {} line {line}\n  why: ", file.display());
        assert!(
            stderr(&output).starts_with(&first) && stderr(&output).contains(why),
            "{why}: {}",
            stderr(&output)
        );
    }

    fs::write(dir.join(&log.name), &log.text).unwrap();
    let other = Signer::from_seed([1; 32]).id().to_string();
    let output = place.run(&["audit", "verify", "--log", dir.to_str().unwrap(), "--key", &other]);
    assert_eq!(output.status.code(), Some(74), "another key's log");
    let exported = place.run(&["audit", "export", "--log", dir.to_str().unwrap()]);
    assert_eq!(stdout(&exported), log.text);
}

/// A log as the daemon writes it.
struct Log {
    name: String,
    text: String,
}

impl Log {
    fn write(
        dir: &Path,
        signer: &pawang_core::key::Signer,
        fill: impl FnOnce(&mut pawang_core::audit::Tip, &mut Vec<u8>),
    ) -> Self {
        let mut tip = pawang_core::audit::Tip::START;
        let mut out = Vec::new();
        let snapshot = serde_json::json!({"kind": "snapshot", "key": signer.id(), "prices": "00".repeat(32), "accounts": {},
            "revoked": [], "trust": null, "next_call": 1, "live": pawang_core::record::Live::default()});
        tip.append(serde_json::from_value(snapshot).unwrap(), 1_000, &mut out).unwrap();
        fill(&mut tip, &mut out);
        let name = "00000000000000000001.jsonl".to_owned();
        fs::write(dir.join(&name), &out).unwrap();
        fs::write(dir.join("head.json"), serde_json::to_vec(&tip.signed(signer)).unwrap()).unwrap();
        Self { name, text: String::from_utf8(out).unwrap() }
    }
}
