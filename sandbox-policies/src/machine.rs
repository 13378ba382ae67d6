//! What this machine gives, in words: the rows of `pawang doctor`.
//!
//! Walls are found by trying them, through the launcher; settings of the system are read from `/proc` and `/sys`. Each
//! finding that is missing says what is lost.

use crate::launcher::{LaunchError, Launcher};
use crate::ruleset::LANDLOCK_ABI_MIN;
use crate::walls::{Wall, Walls};
use std::path::Path;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub good: bool,
    /// Whether nothing can be started without it.
    pub required: bool,
    /// What was found.
    pub found: String,
    /// What is lost without it, or what to do; empty where it is good.
    pub lost: String,
}

/// Everything that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Landlock ABI, 0 for none.
    pub landlock_abi: i32,
    /// Walls that can be put up here.
    pub walls: Walls,
    /// One row each.
    pub findings: Vec<Finding>,
}

/// Looks at this machine with the launcher program given.
///
/// # Errors
/// [`LaunchError::Lost`] where the launcher cannot be started.
pub fn probe_machine(launcher: &Path) -> Result<Machine, LaunchError> {
    let launcher = Launcher::start(launcher)?;
    Ok(Machine::of(&launcher))
}

impl Machine {
    /// As a running launcher has found it.
    #[must_use]
    pub fn of(launcher: &Launcher) -> Self {
        let facts = launcher.facts();
        let mut walls = Walls::from_bits(facts.namespaces | Walls::FLOOR.bits());
        for (there, wall) in
            [(facts.landlock_abi >= LANDLOCK_ABI_MIN, Wall::Landlock), (facts.seccomp, Wall::Seccomp)]
        {
            walls = if there { walls } else { walls.without(wall) };
        }
        if facts.landlock_abi >= 6 {
            walls = walls.with(Wall::Scopes);
        }
        if facts.uid == 0 {
            walls = walls.with(Wall::Uid);
        }
        let mut findings: Vec<_> =
            Wall::ALL.into_iter().map(|wall| row(wall, walls, facts.landlock_abi)).collect();
        findings.extend([truncation(facts.landlock_abi), terminal(), yama(), cgroups()]);
        Self { landlock_abi: facts.landlock_abi, walls, findings }
    }

    /// Whether anything can be started here.
    #[must_use]
    pub fn has_floor(&self) -> bool {
        self.walls.contains(Walls::FLOOR)
    }
}

fn row(wall: Wall, walls: Walls, abi: i32) -> Finding {
    let good = walls.has(wall);
    let found = match wall {
        Wall::Landlock | Wall::Scopes => format!("ABI {abi}"),
        _ if good => "usable".to_owned(),
        _ => "not usable".to_owned(),
    };
    let lost = if good { String::new() } else { wall.lost_without().to_owned() };
    Finding { name: wall.name(), good, required: Walls::FLOOR.has(wall), found, lost }
}

fn optional(name: &'static str, good: bool, found: String, lost: &str) -> Finding {
    let lost = if good { String::new() } else { lost.to_owned() };
    Finding { name, good, required: false, found, lost }
}

fn truncation(abi: i32) -> Finding {
    optional(
        "landlock truncation",
        abi >= 3,
        format!("ABI {abi}"),
        "a broken fs tool could empty files that its run may only read (Linux 6.2 ends that)",
    )
}

fn terminal() -> Finding {
    let setting = read("/proc/sys/dev/tty/legacy_tiocsti");
    optional(
        "terminal input (TIOCSTI)",
        setting.as_deref() == Some("0"),
        setting.map_or_else(|| "unknown".to_owned(), |value| format!("legacy_tiocsti={value}")),
        "nothing here: no process gets a terminal and the filter refuses the call",
    )
}

fn yama() -> Finding {
    let setting = read("/proc/sys/kernel/yama/ptrace_scope");
    optional(
        "yama",
        setting.as_deref().is_some_and(|value| value != "0"),
        setting.map_or_else(|| "absent".to_owned(), |value| format!("ptrace_scope={value}")),
        "your own unconfined programs can read the kernel's memory; confined ones cannot",
    )
}

fn cgroups() -> Finding {
    let controllers = read("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let good = ["memory", "pids"].iter().all(|name| controllers.split(' ').any(|found| found == *name));
    optional(
        "cgroup v2 memory and pids",
        good,
        if controllers.is_empty() { "no controllers".to_owned() } else { controllers },
        "memory is limited per process, not per run: at most processes times memory_mib",
    )
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
