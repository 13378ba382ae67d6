//! From "start it" to its first 16 bytes: a static program in a tool's jail, made by the launcher; the same program by
//! plain `posix_spawn` (which is `clone(VM|VFORK)` and exec); and in bubblewrap's namespaces, where it is installed.

use crate::place::{Sources, last_cpu};
use crate::table::{Goal, Row, time};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use pawang_bench::median;
use pawang_sandbox::{Jail, Launcher, Limits, ResolvedRuntime, SealedImage, Stdio, Wall, Walls};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Starts in one round.
const STARTS: usize = 60;

const PINNED: [&str; 4] = [
    "sandboxed static program ready, one CPU",
    "the same, floor of walls only",
    "the same, all walls but the network namespace",
    "the same, beside bwrap",
];

/// All of them, in alternating rounds, on one processor and free.
pub fn measure(sources: &Sources, rounds: usize) -> io::Result<Vec<Row>> {
    let mut rows = all(
        sources,
        rounds,
        ["ready, unpinned", "the same, floor only", "the same, no net namespace", "the same, bwrap"],
    )?;
    let mut one = CpuSet::new();
    one.set(last_cpu()).map_err(io::Error::from)?;
    // Programs started from now on inherit it: this must be what the driver measures last.
    sched_setaffinity(Pid::from_raw(0), &one).map_err(io::Error::from)?;
    rows.extend(all(sources, rounds, PINNED)?);
    Ok(rows)
}

fn all(
    sources: &Sources,
    rounds: usize,
    [whole, floor, no_net, wrapped]: [&'static str; 4],
) -> io::Result<Vec<Row>> {
    let program = sources.program("bench-rival");
    let mut launcher = Launcher::start(&sources.launcher()).map_err(io::Error::other)?;
    let jail = jail(&program)?;
    let with = |walls| Jail { walls, ..jail.clone() };
    let (floored, netted) = (with(Walls::FLOOR), with(Walls::all().without(Wall::NetNs)));
    let bwrap = find("bwrap").filter(|bwrap| in_bwrap(bwrap, &program).is_ok());
    let (mut own, mut bare, mut other) = (Vec::new(), Vec::new(), Vec::new());
    let (mut low, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(round(|| launched(&mut launcher, &jail))?);
        low.push(round(|| launched(&mut launcher, &floored))?);
        without.push(round(|| launched(&mut launcher, &netted))?);
        bare.push(round(|| spawned(&program, &["bench-rival", "ready"]))?);
        if let Some(bwrap) = &bwrap {
            other.push(round(|| in_bwrap(bwrap, &program))?);
        }
    }
    let (own, bare) = (median(own), median(bare));
    let row = |path, own: f64, goal| Row {
        path,
        reached: time(own),
        rival: format!("posix_spawn {}", time(bare)),
        figure: own / bare,
        goal,
    };
    let mut rows = vec![
        row(whole, own, Goal::AtMost(1.7)),
        row(floor, median(low), Goal::Told),
        row(no_net, median(without), Goal::Told),
    ];
    if bwrap.is_some() {
        let other = median(other);
        let (reached, rival) = (time(own), format!("bwrap {}", time(other)));
        rows.push(Row { path: wrapped, reached, rival, figure: other / own, goal: Goal::AtLeast(10.0) });
    } else {
        eprintln!("bwrap is not installed or does not work here: not measured (apt-get install bubblewrap)");
    }
    Ok(rows)
}

fn round(mut start: impl FnMut() -> io::Result<f64>) -> io::Result<f64> {
    let samples: io::Result<Vec<f64>> = (0..STARTS).map(|_| start()).collect();
    samples.map(median)
}

/// As a tool that needs nothing but its channel is started, every wall up.
fn jail(program: &Path) -> io::Result<Jail> {
    Ok(Jail {
        profile: "tool".to_owned(),
        image: Arc::new(SealedImage::load(&File::open(program)?)?),
        argv: ["bench-rival", "ready"].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: "/".to_owned(),
        runtime: ResolvedRuntime::default(),
        paths: Vec::new(),
        binds: Vec::new(),
        private_root: false,
        limits: Limits::TOOL,
        uid: None,
        walls: Walls::all(),
    })
}

fn launched(launcher: &mut Launcher, jail: &Jail) -> io::Result<f64> {
    let null = File::open("/dev/null")?;
    let (ready, stdout) = io::pipe()?;
    let (_ours, channel) = UnixStream::pair()?;
    let stdio = Stdio {
        stdin: null.try_clone()?.into(),
        stdout: stdout.into(),
        stderr: null.into(),
        channel: channel.into(),
    };
    let begun = Instant::now();
    let process = launcher.launch(jail, stdio).map_err(io::Error::other)?;
    let took = until_ready(ready, begun)?;
    waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    Ok(took)
}

/// `words` with the first as the name it is told it has.
fn spawned(program: &Path, words: &[&str]) -> io::Result<f64> {
    let text = |word: &str| CString::new(word).map_err(io::Error::other);
    let words = words.iter().map(|word| text(word)).collect::<io::Result<Vec<CString>>>()?;
    let attributes = PosixSpawnAttr::init()?;
    let (ready, stdout) = io::pipe()?;
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(stdout.as_raw_fd(), 1)?;
    let begun = Instant::now();
    let none: [CString; 0] = [];
    let pid = posix_spawn(program, &actions, &attributes, &words, &none)?;
    drop(stdout);
    let took = until_ready(ready, begun)?;
    waitpid(pid, None)?;
    Ok(took)
}

/// Everything unshared, and nothing in its file tree but the program: as strict as bwrap gets without a filter.
fn in_bwrap(bwrap: &Path, program: &Path) -> io::Result<f64> {
    let program = program.to_str().ok_or_else(|| io::Error::other("a path that is not UTF-8"))?;
    let options = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--ro-bind"];
    let words: Vec<&str> = options.into_iter().chain([program, "/program", "/program", "ready"]).collect();
    spawned(bwrap, &words)
}

fn until_ready(mut ready: PipeReader, begun: Instant) -> io::Result<f64> {
    let mut hello = [0; 16];
    ready.read_exact(&mut hello)?;
    Ok(begun.elapsed().as_secs_f64() * 1e9)
}

/// The first program of this name on the search path.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
