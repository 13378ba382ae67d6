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
    rows.push(pipelined(sources, rounds, &pinned, Placement::Pinned)?);
    drop(pinned);
    let free = Daemon::start(sources, Placement::Free)?;
    rows.extend(round_trip(sources, rounds, &free, Placement::Free)?);
    rows.push(pipelined(sources, rounds, &free, Placement::Free)?);
    Ok(rows)
}

fn round_trip(sources: &Sources, rounds: usize, daemon: &Daemon, place: Placement) -> io::Result<Vec<Row>> {
    let (own, bare) = alternate(sources, rounds, daemon, place, &["ping", CALLS])?;
    let (path, tail, goal) = match place {
        Placement::Pinned => ("call, 256 B, one CPU, p50", "the same, p99", Goal::AtMost(1.25)),
        Placement::Free => ("call, 256 B, unpinned, p50", "the same, unpinned, p99", Goal::Told),
    };
    let row = |path, goal, figure: fn(&Figures) -> f64| Row {
        path,
        reached: time(figure(&own)),
        rival: format!("bare relay {}", time(figure(&bare))),
        figure: figure(&own) / figure(&bare),
        goal,
    };
    Ok(vec![row(path, goal, |f| f.p50), row(tail, Goal::Told, |f| f.p99)])
}

fn pipelined(sources: &Sources, rounds: usize, daemon: &Daemon, place: Placement) -> io::Result<Row> {
    let (own, bare) = alternate(sources, rounds, daemon, place, &["pipe", PIPELINED, DEPTH])?;
    let (path, goal) = match place {
        Placement::Pinned => ("calls, 64 in flight, one CPU", Goal::AtLeast(0.7)),
        Placement::Free => ("calls, 64 in flight, unpinned", Goal::Told),
    };
    let rival = format!("bare relay {}", rate(bare.per_s));
    Ok(Row { path, reached: rate(own.per_s), rival, figure: own.per_s / bare.per_s, goal })
}

/// One round of ours, one of the rival's, and so on: what changes on the machine meanwhile meets both.
fn alternate(
    sources: &Sources,
    rounds: usize,
    daemon: &Daemon,
    place: Placement,
    words: &[&str],
) -> io::Result<(Figures, Figures)> {
    let parse = |text: String| text.trim().parse::<Figures>().map_err(io::Error::other);
    let (mut own, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(parse(daemon.measure(words)?)?);
        let output = place.command(&sources.program("bench-rival")).args(words).output()?;
        bare.push(parse(printed(&output, words)?)?);
    }
    Ok((Figures::median(&own), Figures::median(&bare)))
}
