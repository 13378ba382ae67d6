//! What runs on this machine, read from `/proc`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// A process as `/proc/PID/stat` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// `R`, `S`, `Z` …
    pub state: char,
    /// Its name.
    pub name: String,
}

/// Every process there is.
#[must_use]
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| one(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// One process, if it is there.
#[must_use]
pub fn one(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let name = head.split_once('(')?.1.to_owned();
    Some(Process { pid, parent, state, name })
}

/// Whether it is there and not a zombie.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    one(pid).is_some_and(|process| process.state != 'Z')
}

/// Everything that descends from a process, without itself.
#[must_use]
pub fn descendants(pid: i32) -> Vec<Process> {
    let all = all();
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in &all {
        children.entry(process.parent).or_default().push(process);
    }
    let (mut found, mut todo, mut seen) = (Vec::new(), vec![pid], HashSet::new());
    while let Some(parent) = todo.pop() {
        for child in children.get(&parent).into_iter().flatten().filter(|child| seen.insert(child.pid)) {
            found.push((*child).clone());
            todo.push(child.pid);
        }
    }
    found
}

/// Open descriptors of a process.
#[must_use]
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Resident memory of a process, in KiB.
#[must_use]
pub fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Sends a signal to one process.
pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Whether a file, or any file below a folder, holds these bytes; returns its name.
#[must_use]
pub fn holds(path: &Path, needle: &[u8]) -> Option<String> {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().flatten().find_map(|entry| holds(&entry.path(), needle));
    }
    let bytes = fs::read(path).unwrap_or_default();
    contains(&bytes, needle).then(|| path.display().to_string())
}

/// Whether `bytes` hold `needle`.
#[must_use]
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
