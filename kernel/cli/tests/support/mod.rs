//! A private daemon for one test: state, key and files in a folder of its own; stopped when the test ends.
#![allow(dead_code, reason = "each file of tests uses its own part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A folder, and the daemon that is started in it when a command needs one.
pub struct Daemon {
    dir: TempDir,
}

impl Daemon {
    /// With a key that the daemon trusts.
    pub fn new() -> Self {
        let daemon = Self::bare();
        let made = daemon.pawang(&["key", "new", "--name", "ann"]);
        assert!(made.status.success(), "{}", stderr(&made));
        daemon
    }

    /// Without a key, and not started yet.
    pub fn bare() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// `pawang` with these words, for this daemon, and nothing of our environment but PATH.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(prefix().join("bin/pawang"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.dir.path());
        command.arg("--state").arg(self.path("state")).args(words).stdin(Stdio::null());
        command
    }

    pub fn pawang(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub fn with_input(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        // A program that reads less than it is given closes the pipe: what it then did is what is tested.
        let _ = writer.join().unwrap();
        output
    }

    pub fn run_source(&self, source: &str, program: &[&str]) -> Output {
        self.pawang(&[&["run", source, "--"], program].concat())
    }

    /// A contract source with plenty of gas and one harmless grant.
    pub fn source(&self, name: &str, more: &str) -> String {
        let text = format!(
            "contract = 1\nname = \"{name}\"\nttl = \"1h\"\n[gas]\nlimit = 100000\n\
             [[allow]]\ncall = \"run.info\"\n{more}"
        );
        self.put(&format!("{name}.toml"), &text)
    }

    pub fn script(&self, text: &str) -> String {
        self.put("script.py", text)
    }

    pub fn put(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// A file only its owner reads.
    pub fn private(&self, name: &str, text: &str) -> String {
        let path = self.put(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn first_segment(&self) -> PathBuf {
        let entries = fs::read_dir(self.path("state/audit")).unwrap();
        let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        segments.sort();
        segments.remove(0)
    }

    /// Whether a file of the state directory, or one in a folder of it, holds these bytes.
    pub fn holds(&self, name: &str, needle: &[u8]) -> bool {
        let path = PathBuf::from(self.path("state")).join(name);
        let files: Vec<PathBuf> = match fs::read_dir(&path) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => vec![path],
        };
        files.iter().any(|file| fs::read(file).unwrap().windows(needle.len()).any(|window| window == needle))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.command(&["stop", "--daemon"]).output();
    }
}

/// Where the programs of the release lie.
fn prefix() -> PathBuf {
    let prefix = std::env::var_os("PAWANG_PREFIX")
        .expect("PAWANG_PREFIX is not set: run these tests with `cargo xtask test`");
    let prefix = Path::new(&prefix).to_owned();
    assert!(
        prefix.join("bin/pawangd").is_file(),
        "{} holds no release: `cargo xtask build`",
        prefix.display()
    );
    prefix
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads the banner of a run from the child's stderr, and the walls after it; the rest is drained on a thread.
pub fn first_run(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let banner = lines.next().unwrap().unwrap();
    let id =
        banner.strip_prefix("● run ").and_then(|rest| rest.split(' ').next()).expect("a banner").to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    id
}

/// What Ctrl-C in a terminal does.
pub fn interrupt(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
}
