//! What Pawang weighs when it does nothing, what a thousand runs weigh, and how long a run outlives its gas.

use crate::place::{Daemon, Placement, Sources};
use crate::system::{children, end_of, kib, sleeps, wait_for_child};
use crate::table::{Goal, Row, time};
use pawang_bench::{Figures, median};
use std::io;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How long an idle kernel is watched.
const WATCHED: Duration = Duration::from_secs(5);
/// Gas of a run that is to use it up: as many ms of CPU time.
const BUDGET: u64 = 200;
const MIB: f64 = 1024.0;

/// Idle figures, then those of `runs` live runs.
pub fn memory(sources: &Sources, runs: usize) -> io::Result<Vec<Row>> {
    let daemon = Daemon::start(sources, Placement::Pinned)?;
    sleep(Duration::from_secs(2));
    let (rss, before) = (kib(daemon.pid(), "status", "VmRSS")?, sleeps(daemon.pid())?);
    sleep(WATCHED);
    let woken = sleeps(daemon.pid())? - before;
    let image = sources.prefix.join("bin/pawangd").metadata()?.len();
    let image = f64::from(u32::try_from(image / 1024).unwrap_or(u32::MAX)) / MIB;
    let told = |path, reached, figure, goal| Row { path, reached, rival: String::new(), figure, goal };
    let mut rows = vec![
        told("idle kernel, RSS (MiB)", format!("{:.1} MiB", rss / MIB), rss / MIB, Goal::AtMost(6.0)),
        told("pawangd, stripped (MiB)", format!("{image:.1} MiB"), image, Goal::AtMost(6.0)),
        told("idle kernel, wake-ups in 5 s", format!("{woken:.0}"), woken, Goal::AtMost(0.0)),
    ];
    rows.push(plugin(&daemon)?);
    rows.extend(crowd(&daemon, runs)?);
    Ok(rows)
}

fn plugin(daemon: &Daemon) -> io::Result<Row> {
    let mut run = idle(daemon, &[])?;
    wait_for_child(daemon.pid(), "bench-automation")?;
    let tool = wait_for_child(daemon.pid(), "pawang-memory")?;
    sleep(Duration::from_millis(300));
    let pss = kib(tool, "smaps_rollup", "Pss")?;
    run.kill()?;
    run.wait()?;
    Ok(Row {
        path: "idle plugin, alone of its kind, PSS (KiB)",
        reached: format!("{pss:.0} KiB"),
        rival: String::new(),
        figure: pss,
        goal: Goal::Told,
    })
}

fn idle(daemon: &Daemon, options: &[&str]) -> io::Result<Child> {
    let mut command = daemon.run(1_000_000, options, &["idle", "600"])?;
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// A call of one run while many others are alive, beside the same call alone.
fn crowd(daemon: &Daemon, runs: usize) -> io::Result<Vec<Row>> {
    let ping = || -> io::Result<Figures> {
        let rounds: io::Result<Vec<Figures>> = (0..3)
            .map(|_| daemon.measure(&["ping", "5000"])?.trim().parse().map_err(io::Error::other))
            .collect();
        Ok(Figures::median(&rounds?))
    };
    let alone = ping()?;
    for _ in 0..runs {
        idle(daemon, &["--detach"])?.wait()?;
    }
    let alive = children(daemon.pid(), "bench-automation").len();
    if alive < runs {
        eprintln!("only {alive} of {runs} runs are alive");
    }
    let (rss, crowded) = (kib(daemon.pid(), "status", "VmRSS")?, ping()?);
    let pss = kib(wait_for_child(daemon.pid(), "pawang-memory")?, "smaps_rollup", "Pss")?;
    Ok(vec![
        Row {
            path: "idle plugin among others of its kind, PSS (KiB)",
            reached: format!("{pss:.0} KiB"),
            rival: String::new(),
            figure: pss,
            goal: Goal::AtMost(120.0),
        },
        Row {
            path: "kernel with 1,000 live runs, RSS (MiB)",
            reached: format!("{:.1} MiB with {runs}, each with a tool", rss / MIB),
            rival: String::new(),
            figure: rss / MIB,
            goal: Goal::AtMost(64.0),
        },
        Row {
            path: "p99 of a call among them",
            reached: time(crowded.p99),
            rival: format!("alone {}", time(alone.p99)),
            figure: crowded.p99 / alone.p99,
            goal: Goal::AtMost(3.0),
        },
    ])
}

/// From the gas to the end of the process.
pub fn gas(sources: &Sources, rounds: usize) -> io::Result<Vec<Row>> {
    // A real-time priority would let what spins keep its processor from the kernel.
    let (free, pinned) =
        (Daemon::start(sources, Placement::Free)?, Daemon::start(sources, Placement::Pinned)?);
    let (mut cpu, mut call) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (last, _) = until_dead(&free, "spin")?;
        cpu.push(last / 1e6 - f64::from(u32::try_from(BUDGET).unwrap_or(0)));
        let (last, dead) = until_dead(&pinned, "drain")?;
        call.push((dead - last) / 1e6);
    }
    let (cpu, call) = (median(cpu), median(call));
    let row = |path, value: f64, most| Row {
        path,
        reached: time(value * 1e6),
        rival: String::new(),
        figure: value,
        goal: Goal::AtMost(most),
    };
    Ok(vec![
        row("out of gas by CPU time: CPU used beyond it (ms)", cpu.max(0.0), 5.0),
        row("out of gas by a call: from the call to dead (ms)", call, 0.5),
    ])
}

/// The last time the automation printed, and when it was dead, in ns.
fn until_dead(daemon: &Daemon, word: &str) -> io::Result<(f64, f64)> {
    let mut command = daemon.run(BUDGET, &[], &[word])?;
    let run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let pid = wait_for_child(daemon.pid(), &format!("bench-automation {word}"))?;
    let dead = end_of(pid)?;
    let output = run.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().and_then(|line| line.parse().ok());
    last.map(|last| (last, dead)).ok_or_else(|| io::Error::other(format!("{word} printed nothing")))
}
