//! A daemon of the test's own: state, key and files in a folder that goes with it.

use crate::control::Control;
use crate::job::Job;
use crate::processes;
use crate::ran::{Live, Ran};
use crate::wait::until;
use nix::sys::signal::Signal;
use pawang_core::contract::{Contract, Envelope};
use pawang_core::control::RunRequest;
use pawang_core::key::Signer;
use pawang_protocol::Failure;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// How a daemon is to be started, where not plainly.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Launcher and plugins, where not those of the release.
    pub libexec: Option<PathBuf>,
    /// Whether its vault is opened by a key file.
    pub has_vault_key: bool,
}

/// A daemon, and the folder all of its test happens in.
pub struct Daemon {
    dir: TempDir,
    start: Start,
    child: Option<Child>,
    files: Cell<u32>,
}

impl Daemon {
    /// One that trusts a key of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Start::default())
    }

    /// The same, started differently.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn with(start: Start) -> Self {
        let dir = tempfile::Builder::new().prefix("pawang-").tempdir().unwrap();
        let mut daemon = Self { dir, start, child: None, files: Cell::new(0) };
        daemon.write("vault.key", &"7".repeat(64));
        fs::set_permissions(daemon.path("vault.key"), fs::Permissions::from_mode(0o600)).unwrap();
        daemon.boot();
        let made = daemon.pawang(&["key", "new", "--name", "ann"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        daemon
    }

    /// Starts it again; returns when it answers.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn boot(&mut self) {
        let mut child = self.spawn();
        until("the daemon answers", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            Control::connect(&self.socket()).ok()
        });
        self.child = Some(child);
    }

    /// Starts it where it is not to start; returns what it says.
    ///
    /// # Panics
    /// Where it starts.
    #[must_use]
    pub fn boot_refused(&self) -> String {
        let before = self.log().len();
        let mut child = self.spawn();
        let status = until("the daemon gives up", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(1));
        self.log().split_off(before)
    }

    fn spawn(&self) -> Child {
        let _ = fs::remove_file(self.socket());
        let log = OpenOptions::new().append(true).create(true).open(self.path("daemon.log")).unwrap();
        let mut command = Command::new(prefix().join("bin/pawangd"));
        command.env_clear().env("PATH", "/usr/bin:/bin").arg("--state").arg(self.state());
        if let Some(libexec) = &self.start.libexec {
            command.arg("--libexec").arg(libexec);
        }
        if self.start.has_vault_key {
            command.arg("--vault-key").arg(self.path("vault.key"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).expect("the daemon runs")
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        processes::signal(self.pid(), Signal::SIGKILL);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        processes::signal(self.pid(), Signal::SIGTERM);
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// A new connection to it.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::connect(&self.socket()).unwrap()
    }

    /// One question, on a connection of its own.
    ///
    /// # Errors
    /// The failure the daemon answers with.
    pub fn ask(&self, method: &str, args: &Value) -> Result<Value, Failure> {
        self.control().ask(method, args, &[])
    }

    /// `pawang` with these words and nothing of our environment.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(prefix().join("bin/pawang"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.dir.path());
        command.arg("--state").arg(self.state()).args(words).stdin(Stdio::null());
        command
    }

    /// The same, to its end.
    #[must_use]
    pub fn pawang(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Stores a secret.
    pub fn set_secret(&self, name: &str, value: &str) {
        self.control().ask("ctl.secret-set", &json!({ "name": name }), value.as_bytes()).unwrap();
    }

    /// Writes a Python program; returns its path.
    #[must_use]
    pub fn script(&self, text: &str) -> String {
        self.write(&format!("script-{}.py", self.number()), text)
    }

    /// Signs a contract for a program, with the key the daemon trusts.
    ///
    /// # Panics
    /// Where it cannot be signed.
    #[must_use]
    pub fn sign(&self, job: &Job, program: &[&str]) -> RunRequest {
        let source = self.write(&format!("job-{}.toml", self.number()), &job.source());
        let signed = self.pawang(&[&["contract", "sign", &source, "--"], program].concat());
        assert!(signed.status.success(), "{}\n{}", String::from_utf8_lossy(&signed.stderr), job.source());
        request(String::from_utf8(signed.stdout).unwrap())
    }

    /// The same contract with something changed in it, signed by the same key.
    #[must_use]
    pub fn resign(&self, request: &RunRequest, change: impl FnOnce(&mut Contract)) -> RunRequest {
        let mut contract = contract(request);
        change(&mut contract);
        let text = fs::read_to_string(self.state().join("operator.key")).unwrap();
        let signer = Signer::from_text(&text).unwrap();
        RunRequest { envelope: Envelope::sign(&contract.to_payload(), &signer).to_json(), ..request.clone() }
    }

    /// Signs a contract for a Python program and starts it.
    ///
    /// # Panics
    /// Where it is not started.
    #[must_use]
    pub fn begin(&self, job: &Job, script: &str, args: &[&str]) -> Live {
        let mut request = self.sign(job, &["python3", &self.script(script)]);
        request.args = args.iter().map(|&arg| arg.to_owned()).collect();
        Live::start(self.control(), &request).unwrap()
    }

    /// The same, to its end.
    #[must_use]
    pub fn run(&self, job: &Job, script: &str, args: &[&str]) -> Ran {
        self.begin(job, script, args).end()
    }

    /// A file or folder of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file; returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Makes a folder; returns its path.
    #[must_use]
    pub fn folder(&self, name: &str) -> String {
        fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state().join("control.sock")
    }

    /// What the daemon has said on its standard error.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Segments of the audit log, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state().join("audit")).unwrap().flatten();
        let mut segments: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        segments.sort();
        segments
    }

    /// Every record of the audit log.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let text: String = self.segments().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        // A line without an end is being written, or was when the daemon was killed.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Records of one kind that belong to a run.
    #[must_use]
    pub fn records_of(&self, run: &str, kind: &str) -> Vec<Value> {
        let is_wanted = |record: &Value| record["run"] == run && record["kind"] == kind;
        self.records().into_iter().filter(is_wanted).collect()
    }

    /// Holds that anyone who reads the log finds it whole.
    #[track_caller]
    pub fn expect_whole_log(&self) {
        let verified = self.pawang(&["audit", "verify"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }

    fn number(&self) -> u32 {
        self.files.set(self.files.get() + 1);
        self.files.get()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
        }
    }
}

/// What a signed contract asks the daemon to run.
///
/// # Panics
/// Where the text is no signed contract.
#[must_use]
pub fn request(envelope: String) -> RunRequest {
    let (executable, script, files, args, detach) = Default::default();
    let request = RunRequest { envelope, executable, script, files, args, detach };
    let program = contract(&request).program;
    RunRequest {
        executable: program.executable.path,
        script: program.script.map(|script| script.path),
        files: program.files.into_iter().map(|file| file.path).collect(),
        ..request
    }
}

/// The contract inside a request, unverified.
#[must_use]
pub fn contract(request: &RunRequest) -> Contract {
    Contract::parse(Envelope::parse(request.envelope.as_bytes()).unwrap().payload()).unwrap()
}

/// Where the programs of the release lie.
///
/// # Panics
/// Where no one has said.
#[must_use]
pub fn prefix() -> &'static Path {
    static PREFIX: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = std::env::var_os("PAWANG_PREFIX").map(PathBuf::from);
        prefix.expect("PAWANG_PREFIX is not set: run these tests with `cargo xtask test`")
    })
}
