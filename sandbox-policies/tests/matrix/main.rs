//! The escape matrix: every hostile act against every profile, and against each wall by itself.
//!
//! Claims, over the table in `acts.rs`: with all walls up every profile stops the act, in exactly the way that `golden.txt`
//! says; on a machine without namespaces, what the floor stops is still stopped; each of the walls listed as its guard stops it alone; and with just those walls taken down the act
//! succeeds, so that none of the refusals is an accident. `PAWANG_GOLDEN=write` writes the golden file anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod acts;
mod fixture;
#[path = "../support/mod.rs"]
mod support;

use acts::{ACTS, Act, Guard};
use fixture::{Fixture, World};
use pawang_sandbox::{Jail, Launcher, Profile, Wall, Walls};
use std::collections::BTreeSet;
use std::path::Path;
use support::{NAMESPACES, Outcome, full_launcher, launcher, run, without_namespaces};

/// The two profiles against which walls are tried one by one: one of our own programs, one of strangers'.
const KINDS: [&str; 2] = ["tool", "automation"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Succeeded,
    Refused(i32),
    Killed(i32),
}

#[test]
fn every_profile_stops_every_act() {
    let table = against_every_profile(&mut full_launcher(), Walls::all(), |act, profile| {
        act.allowed.contains(&profile)
    });
    golden("golden.txt", &table);
}

/// What namespaces alone would stop is not stopped, and there is one process; everything else stands as before.
#[test]
fn without_namespaces_every_profile_stops_what_the_floor_can() {
    let table = against_every_profile(&mut launcher(), without_namespaces(), |act, profile| {
        let strangers = ["automation", "program"].contains(&profile);
        let is_lost =
            !act.foreign.is_empty() && act.foreign.iter().all(|guard| NAMESPACES.contains(&guard.wall));
        let is_task = ["fork", "vfork", "thread"].contains(&act.name);
        if strangers && is_lost { true } else { act.allowed.contains(&profile) && !(strangers && is_task) }
    });
    golden("golden-without-namespaces.txt", &table);
}

/// Tries every act under every profile; `succeeds` says where it may. Returns what happened, a line for each act.
fn against_every_profile(
    launcher: &mut Launcher,
    walls: Walls,
    succeeds: impl Fn(&Act, &str) -> bool,
) -> String {
    let world = World::new();
    let (mut table, mut wrong) = (String::new(), Vec::new());
    for act in ACTS {
        let mut line = act.name.to_owned();
        for profile in Profile::names() {
            let verdict = attempt(launcher, &world, act, profile, walls);
            if (verdict == Verdict::Succeeded) != succeeds(act, profile) {
                wrong.push(format!("{} under {profile}: {verdict:?}", act.name));
            }
            line.push_str(&format!(" {profile}={}", text(&verdict)));
        }
        table.push_str(&format!("{line}\n"));
    }
    assert!(wrong.is_empty(), "not as the table says:\n{}", wrong.join("\n"));
    table
}

#[test]
fn each_guard_alone_stops_its_acts() {
    let (world, mut launcher) = (World::new(), full_launcher());
    let abi = launcher.facts().landlock_abi;
    let mut leaks = Vec::new();
    for (act, profile, guards) in guarded() {
        for guard in guards.iter().filter(|guard| guard.since <= abi) {
            let verdict = attempt(&mut launcher, &world, act, profile, alone(guard.wall));
            if verdict == Verdict::Succeeded {
                leaks.push(format!("{} under {profile} with {} alone", act.name, guard.wall));
            }
        }
    }
    assert!(leaks.is_empty(), "these walls do not stop what the table says they do:\n{}", leaks.join("\n"));
}

#[test]
fn with_its_guards_removed_each_act_succeeds() {
    let (world, mut launcher) = (World::new(), full_launcher());
    let mut stopped = Vec::new();
    for (act, profile, guards) in guarded() {
        let walls = guards.iter().fold(Walls::all(), |walls, guard| walls.without(guard.wall));
        let verdict = attempt(&mut launcher, &world, act, profile, walls);
        if verdict != Verdict::Succeeded {
            stopped.push(format!("{} under {profile} behind {walls}: {verdict:?}", act.name));
        }
    }
    assert!(stopped.is_empty(), "these acts are stopped by something else:\n{}", stopped.join("\n"));
}

#[test]
fn the_table_names_no_act_twice() {
    let names: BTreeSet<_> = ACTS.iter().map(|act| act.name).collect();
    assert_eq!(names.len(), ACTS.len());
}

fn guarded() -> impl Iterator<Item = (&'static Act, &'static str, &'static [Guard])> {
    ACTS.iter()
        .flat_map(|act| {
            KINDS.into_iter().zip([act.tool, act.foreign]).map(move |(kind, guards)| (act, kind, guards))
        })
        .filter(|(_, _, guards)| !guards.is_empty())
}

/// One wall, and those without which it cannot be put up.
fn alone(wall: Wall) -> Walls {
    let base = Walls::NONE.with(wall);
    match wall {
        Wall::Scopes => base.with(Wall::Landlock),
        Wall::PidNs | Wall::NetNs | Wall::IpcNs | Wall::UtsNs | Wall::MountNs | Wall::Rlimits => {
            base.with(Wall::UserNs)
        }
        _ => base,
    }
}

fn attempt(launcher: &mut Launcher, world: &World, act: &Act, profile: &str, walls: Walls) -> Verdict {
    let fixture = Fixture::new(act.arguments);
    let jail = Jail { walls, ..world.jail(profile, &fixture, act) };
    let outcome = run(launcher, &jail);
    verdict(&outcome).unwrap_or_else(|| panic!("{} under {profile} behind {walls}: {outcome:?}", act.name))
}

/// The first process of a jail reports a death by signal n as 128 + n.
fn verdict(outcome: &Outcome) -> Option<Verdict> {
    match (outcome.exit, outcome.signal) {
        (Some(0), None) => Some(Verdict::Succeeded),
        (Some(10), None) => {
            let errno = outcome.stdout.trim().strip_prefix("refused ")?.parse().ok()?;
            Some(Verdict::Refused(errno))
        }
        // The ELF loader's word for a program that it may not open.
        (Some(127), None) => Some(Verdict::Refused(libc::EACCES)),
        (Some(code), None) if code > 128 => Some(Verdict::Killed(code - 128)),
        (None, Some(signal)) => Some(Verdict::Killed(signal)),
        _ => None,
    }
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Succeeded => "allowed".to_owned(),
        Verdict::Refused(errno) => format!("errno-{errno}"),
        Verdict::Killed(signal) => format!("signal-{signal}"),
    }
}

fn golden(file: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix").join(file);
    if std::env::var("PAWANG_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differ: Vec<_> = table.lines().filter(|line| !expected.lines().any(|known| known == *line)).collect();
    assert!(differ.is_empty(), "not as in tests/matrix/{file}:\n{}", differ.join("\n"));
    assert_eq!(table.lines().count(), expected.lines().count(), "{file} has lines for acts that are gone");
}
