//! What the tests of this crate share: the static binaries, a launcher, a jail to start from, and one run of it.
//!
//! The binaries are those of `PAWANG_LIBEXEC` (the launcher, which `cargo xtask` stages) and `PAWANG_PROBE`, and are built
//! here where these are not set: for musl, or statically for glibc where that target is missing, because a dynamic
//! program cannot run under a tool's profile.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use pawang_sandbox::{
    Access, Jail, Launched, Launcher, Limits, ResolvedRuntime, SealedImage, Stdio, Wall, Walls,
};
use rustix::process::{WaitId, WaitIdOptions};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// What became of a process.
#[derive(Debug)]
pub struct Outcome {
    pub exit: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub walls: Walls,
}

/// The static launcher: the one that is staged, or one built here.
pub fn launcher_path() -> PathBuf {
    match std::env::var_os("PAWANG_LIBEXEC") {
        Some(folder) => PathBuf::from(folder).join("pawang-launcher"),
        None => built().join("pawang-launcher"),
    }
}

/// The static probe, which is never installed.
pub fn probe_path() -> PathBuf {
    std::env::var_os("PAWANG_PROBE").map_or_else(|| built().join("examples/sandbox-probe"), PathBuf::from)
}

/// The folder of static programs, built on first use, in the target folder that the tests were built in.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let glibc = || build("x86_64-unknown-linux-gnu", Some("-Ctarget-feature=+crt-static"));
        build("x86_64-unknown-linux-musl", None).or_else(|_| glibc()).unwrap()
    })
}

fn build(target: &str, flags: Option<&str>) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--quiet", "--package", "pawang-sandbox", "--profile", "plugin", "--target", target])
        .args(["--bin", "pawang-launcher", "--example", "sandbox-probe"])
        .env("CARGO_TARGET_DIR", folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    let output = command.output().map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(folder.join(target).join("plugin")),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A launcher of the test's own.
pub fn launcher() -> Launcher {
    Launcher::start(&launcher_path()).unwrap()
}

/// A launcher on a machine that gives every namespace. What is claimed under this cannot be shown without.
pub fn full_launcher() -> Launcher {
    let launcher = launcher();
    let found = Walls::from_bits(launcher.facts().namespaces);
    let missing: Vec<_> = NAMESPACES.into_iter().filter(|wall| !found.has(*wall)).collect();
    assert!(
        missing.is_empty(),
        "this test needs namespaces that this machine refuses: {missing:?} (pawang doctor)"
    );
    launcher
}

/// The walls that some machines do not give.
pub const NAMESPACES: [Wall; 6] =
    [Wall::UserNs, Wall::PidNs, Wall::NetNs, Wall::IpcNs, Wall::UtsNs, Wall::MountNs];

/// All walls but these.
pub fn without_namespaces() -> Walls {
    NAMESPACES.into_iter().fold(Walls::all(), Walls::without)
}

/// The user that foreign programs become where the tests run as root.
pub fn other_user() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(65534)
}

/// A jail for a static program without any right.
pub fn jail(profile: &str, image: &Path, argv: &[&str]) -> Jail {
    Jail {
        profile: profile.to_owned(),
        image: Arc::new(SealedImage::load(&File::open(image).unwrap()).unwrap()),
        argv: argv.iter().map(|&text| text.to_owned()).collect(),
        env: Vec::new(),
        cwd: "/".to_owned(),
        runtime: ResolvedRuntime::default(),
        paths: Vec::new(),
        binds: Vec::new(),
        private_root: false,
        limits: Limits { processes: 1, ..Limits::TOOL },
        uid: None,
        walls: Walls::all(),
    }
}

/// Runs a jail to its end and collects what it wrote.
pub fn run(launcher: &mut Launcher, jail: &Jail) -> Outcome {
    let (stdio, readers, channel) = stdio();
    let launched = launcher.launch_without(jail, stdio).unwrap_or_else(|e| panic!("not started: {e}"));
    let outcome = collect(launched, readers);
    drop(channel);
    outcome
}

/// Streams for one process: what it gets, and the kernel's ends.
pub fn stdio() -> (Stdio, [OwnedFd; 2], OwnedFd) {
    let null = File::open("/dev/null").unwrap();
    let (out, stdout) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (err, stderr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (ours, channel) = std::os::unix::net::UnixStream::pair().unwrap();
    (Stdio { stdin: null.into(), stdout, stderr, channel: channel.into() }, [out, err], ours.into())
}

/// Waits for the end and reads both streams to theirs.
pub fn collect(launched: Launched, [out, err]: [OwnedFd; 2]) -> Outcome {
    let errors = std::thread::spawn(move || text(err));
    let stdout = text(out);
    let status = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::PidFd(launched.pidfd.as_fd()), WaitIdOptions::EXITED)
    })
    .unwrap()
    .unwrap();
    Outcome {
        exit: status.exit_status(),
        signal: status.terminating_signal(),
        stdout,
        stderr: errors.join().unwrap(),
        walls: launched.walls,
    }
}

fn text(fd: OwnedFd) -> String {
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reading and listing, as a contract's `fs.read` gives it.
pub const READ: Access = Access::READ;
