//! `cargo xtask bench`: measures every path that has a goal, each beside its floor or rival, in alternating rounds of one run,
//! and prints the table of BENCHMARKS.md.
//!
//! As root, what is pinned also gets a real-time priority, so that other load on the machine counts as little as it
//! can; elsewhere the machine should be idle. Nothing is judged: a missed goal is printed as missed, and the exit
//! status tells only whether everything could be measured.
#![forbid(unsafe_code)]

mod bare;
mod calls;
mod core;
mod decisions;
mod place;
mod records;
mod spawns;
mod states;
mod system;
mod table;

use place::Sources;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use table::Row;

const USAGE: &str = "pawang-bench --prefix DIR --programs DIR [--rounds N] [--runs N] [calls|pure|core|records|memory|gas|spawns]…";
const SECTIONS: [&str; 7] = ["calls", "pure", "core", "records", "memory", "gas", "spawns"];

/// Said by the driver to itself: the priority is what it should be.
const AS_IS: &str = "--as-is";

/// What the command line said.
struct Options {
    sources: Sources,
    rounds: usize,
    runs: usize,
    sections: Vec<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, automation, tool, rest @ ..] = words.as_slice()
        && word == "bare-relay"
    {
        return match bare::relay(automation, tool, rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    if let Err(error) = take_priority(&words) {
        eprintln!("no real-time priority ({error}): other load on this machine shows in the figures");
    }
    let words: Vec<String> = words.into_iter().filter(|word| word != AS_IS).collect();
    let Some(options) = options(words.into_iter()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("{}", table::HEAD);
    let mut is_whole = true;
    for section in &options.sections {
        match measure(section, &options) {
            Ok(rows) => rows.iter().for_each(|row| println!("{}", row.line())),
            Err(error) => {
                eprintln!("{section}: {error}");
                is_whole = false;
            }
        }
    }
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// As root: becomes the same program with a real-time priority. Returns only where it has one, needs none, or cannot.
fn take_priority(words: &[String]) -> io::Result<()> {
    if words.iter().any(|word| word == AS_IS) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    Err(Command::new("chrt").args(["-f", "10"]).arg(own).arg(AS_IS).args(words).exec())
}

fn measure(section: &str, options: &Options) -> io::Result<Vec<Row>> {
    let Options { sources, rounds, runs, .. } = options;
    match section {
        "calls" => calls::measure(sources, *rounds),
        "pure" => decisions::measure(*rounds),
        "core" => core::measure(*rounds),
        "records" => records::measure(*rounds),
        "memory" => states::memory(sources, *runs),
        "gas" => states::gas(sources, *rounds),
        // Last: it pins this process.
        "spawns" => spawns::measure(sources, *rounds),
        _ => Err(io::Error::other(USAGE)),
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Option<Options> {
    let (mut prefix, mut programs, mut rounds, mut runs) = (None, None, 5, 1_000);
    let mut sections = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--prefix" => prefix = Some(PathBuf::from(words.next()?)),
            "--programs" => programs = Some(PathBuf::from(words.next()?)),
            "--rounds" => rounds = words.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--runs" => runs = words.next()?.parse().ok()?,
            section if SECTIONS.contains(&section) => sections.push(word),
            _ => return None,
        }
    }
    if sections.is_empty() {
        sections = SECTIONS.map(str::to_owned).to_vec();
    }
    Some(Options { sources: Sources { prefix: prefix?, programs: programs? }, rounds, runs, sections })
}
