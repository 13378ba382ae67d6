//! A private daemon for the measurements, and programs run as the measurements need them: pinned or not.
//!
//! Everything lies in one temporary folder. In the daemon's own copy of `libexec` the `memory` tool is the echo tool.

use nix::sched::CpuSet;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a daemon may take to answer.
const READY: Duration = Duration::from_secs(20);

/// Where things come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The staged installation.
    pub prefix: PathBuf,
    /// Folder of the static programs of this package.
    pub programs: PathBuf,
}

/// Where the processes of a measurement run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// All on one processor; with a real-time priority where this is root, so that other load does not count.
    Pinned,
    /// Wherever the system puts them.
    Free,
}

/// A daemon, and the folder it lives in.
pub struct Daemon {
    child: Child,
    folder: TempDir,
    sources: Sources,
}

impl Sources {
    /// A static program of this package.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The launcher.
    pub fn launcher(&self) -> PathBuf {
        self.prefix.join("libexec/pawang/pawang-launcher")
    }
}

impl Placement {
    /// A command that starts `program` there. `chrt` and `taskset` execute it in their own place.
    pub fn command(self, program: &Path) -> Command {
        let is_root = rustix::process::geteuid().is_root();
        let cpu = last_cpu().to_string();
        let words: &[&str] = match self {
            Self::Pinned if is_root => &["chrt", "-f", "10", "taskset", "-c", &cpu],
            Self::Pinned => &["taskset", "-c", &cpu],
            // The driver itself has a real-time priority, which would be inherited.
            Self::Free if is_root => &["chrt", "-o", "0"],
            Self::Free => return Command::new(program),
        };
        let mut command = Command::new(words.first().copied().unwrap_or_default());
        command.args(words.get(1..).unwrap_or_default()).arg(program);
        command
    }
}

/// Interrupts mostly go to the first processor, so the last one is the quietest.
pub fn last_cpu() -> usize {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::count()).rev().find(|cpu| set.is_set(*cpu).unwrap_or(false)).unwrap_or(0)
}

impl Daemon {
    /// Starts it and makes an operator's key.
    ///
    /// # Errors
    /// With the daemon's own words where it does not come up.
    pub fn start(sources: &Sources, placement: Placement) -> io::Result<Self> {
        let folder = TempDir::with_prefix("pawang-bench.")?;
        let libexec = folder.path().join("libexec");
        copy_tree(&sources.prefix.join("libexec/pawang"), &libexec)?;
        fs::copy(sources.program("bench-echo"), libexec.join("plugins/memory/pawang-memory"))?;
        let state = folder.path().join("state");
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = placement.command(&sources.prefix.join("bin/pawangd"));
        command.arg("--state").arg(&state).arg("--libexec").arg(&libexec).stdin(Stdio::null());
        let child = command.stdout(log.try_clone()?).stderr(log).current_dir("/").spawn()?;
        let mut daemon = Self { child, folder, sources: sources.clone() };
        daemon.wait_ready(&state.join("control.sock"))?;
        daemon.pawang(&["key", "new", "--name", "bench"])?;
        Ok(daemon)
    }

    fn wait_ready(&mut self, socket: &Path) -> io::Result<()> {
        let deadline = Instant::now() + READY;
        while UnixStream::connect(socket).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let told = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the daemon did not come up: {told}")));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `pawang …`, which must succeed.
    pub fn pawang(&self, words: &[&str]) -> io::Result<Output> {
        let output = self.command().args(words).output()?;
        if output.status.success() {
            return Ok(output);
        }
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("pawang {}: {told}", words.join(" "))))
    }

    /// `pawang`, with this daemon as the one it talks to.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.sources.prefix.join("bin/pawang"));
        command.env("PAWANG_STATE", self.folder.path().join("state")).stdin(Stdio::null());
        command
    }

    /// `pawang run` of the automation with these words under a contract of so much gas; more options in front.
    pub fn run(&self, gas: u64, options: &[&str], words: &[&str]) -> io::Result<Command> {
        let contract = self.folder.path().join(format!("gas-{gas}.toml"));
        fs::write(&contract, contract_source(gas))?;
        let mut command = self.command();
        command.arg("run").args(options).arg(contract).arg("--");
        command.arg(self.sources.program("bench-automation")).args(words);
        Ok(command)
    }

    /// The same with more gas than is needed; returns what it printed.
    pub fn measure(&self, words: &[&str]) -> io::Result<String> {
        let output = self.run(1_000_000_000, &[], words)?.output()?;
        printed(&output, words)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its runs end with it; its folder goes afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program printed, if it succeeded.
///
/// # Errors
/// With what it said instead.
pub fn printed(output: &Output, words: &[&str]) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{words:?} ended with {}: {told}", output.status)))
}

fn contract_source(gas: u64) -> String {
    format!(
        "contract = 1\nname = \"bench\"\nttl = \"1h\"\nuses = 1\n[gas]\nlimit = {gas}\n\
         [limits]\nwall_s = 3600\nmemory_mib = 64\nprocesses = 1\nmemory_store_kib = 64\n\
         [[allow]]\ncall = \"memory.read\"\nname = \"bench/**\"\n"
    )
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
