//! A call's whole way, from an automation in its jail through `pawangd` to a tool in its jail and back, beside the bare
//! relay: three processes, the same bytes, no decision, no gas, no record.

use crate::place::{Daemon, Placement, Sources, printed};
use crate::table::{Goal, Row, rate, time};
use pawang_bench::Figures;
use std::io;

/// Calls in one round: some tenths of a second.
const CALLS: &str = "5000";
const PIPELINED: &str = "40000";
const DEPTH: &str = "64";

/// Both placements.
pub fn measure(sources: &Sources, rounds: usize) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let pinned = Daemon::start(sources, Placement::Pinned)?;
    rows.extend(round_trip(sources, rounds, &pinned, Placement::Pinned)?);
    rows.extend(pipelined(sources, rounds, &pinned, Placement::Pinned)?);
    drop(pinned);
    let free = Daemon::start(sources, Placement::Free)?;
    rows.extend(round_trip(sources, rounds, &free, Placement::Free)?);
    rows.extend(pipelined(sources, rounds, &free, Placement::Free)?);
    Ok(rows)
}

fn round_trip(sources: &Sources, rounds: usize, daemon: &Daemon, place: Placement) -> io::Result<Vec<Row>> {
    let three = alternate(sources, rounds, daemon, place, &["ping", CALLS])?;
    let [path, same, tail] = match place {
        Placement::Pinned => ["call, 256 B, one CPU, p50", "the same, to the same ends", "the same, p99"],
        Placement::Free => {
            ["call, 256 B, unpinned, p50", "the same, to the same ends, unpinned", "the same, p99, unpinned"]
        }
    };
    let goal = if place == Placement::Pinned { Goal::AtMost(1.25) } else { Goal::Told };
    let row = |path, goal, name, rival: &Figures, figure: fn(&Figures) -> f64| Row {
        path,
        reached: time(figure(&three.own)),
        rival: format!("{name} {}", time(figure(rival))),
        figure: figure(&three.own) / figure(rival),
        goal,
    };
    Ok(vec![
        row(path, goal, "bare relay", &three.bare, |f| f.p50),
        row(same, Goal::Told, "bare middle", &three.middle, |f| f.p50),
        row(tail, Goal::Told, "bare relay", &three.bare, |f| f.p99),
    ])
}

fn pipelined(sources: &Sources, rounds: usize, daemon: &Daemon, place: Placement) -> io::Result<Vec<Row>> {
    let three = alternate(sources, rounds, daemon, place, &["pipe", PIPELINED, DEPTH])?;
    let [path, bytes] = match place {
        Placement::Pinned => ["calls, 64 in flight, one CPU", "the same, to ends that do nothing"],
        Placement::Free => ["calls, 64 in flight, unpinned", "the same, to ends that do nothing, unpinned"],
    };
    let goal = if place == Placement::Pinned { Goal::AtLeast(0.7) } else { Goal::Told };
    let row = |path, goal, name, rival: &Figures| Row {
        path,
        reached: rate(three.own.per_s),
        rival: format!("{name} {}", rate(rival.per_s)),
        figure: three.own.per_s / rival.per_s,
        goal,
    };
    Ok(vec![row(path, goal, "bare middle", &three.middle), row(bytes, Goal::Told, "bare relay", &three.bare)])
}

/// The same calls three ways.
struct Three {
    /// Through `pawangd`.
    own: Figures,
    /// Between the same automation and tool, with a middle that only passes frames on (`bare.rs`).
    middle: Figures,
    /// Three processes that only pass messages on (`bin/rival.rs`).
    bare: Figures,
}

/// One round of each, and so on: what changes on the machine meanwhile meets all of them.
fn alternate(
    sources: &Sources,
    rounds: usize,
    daemon: &Daemon,
    place: Placement,
    words: &[&str],
) -> io::Result<Three> {
    let parse = |text: String| text.trim().parse::<Figures>().map_err(io::Error::other);
    let (mut own, mut middle, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(parse(daemon.measure(words)?)?);
        let mut command = place.command(&std::env::current_exe()?);
        command.arg("bare-relay").args(["bench-automation", "bench-echo"].map(|name| sources.program(name)));
        middle.push(parse(printed(&command.args(words).output()?, words)?)?);
        let output = place.command(&sources.program("bench-rival")).args(words).output()?;
        bare.push(parse(printed(&output, words)?)?);
    }
    let [own, middle, bare] = [own, middle, bare].map(|rounds| Figures::median(&rounds));
    Ok(Three { own, middle, bare })
}
