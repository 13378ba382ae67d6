//! What is read from the system: memory and wake-ups of a process, processes by what they run, the end of one.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// How long a process may take to appear.
const APPEARS: Duration = Duration::from_secs(20);

/// A line `name: N kB` of `/proc/PID/<file>`, in KiB.
pub fn kib(pid: u32, file: &str, name: &str) -> io::Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} in {path}")))
}

/// How often the threads of a process have gone to sleep so far: each is woken as often.
pub fn sleeps(pid: u32) -> io::Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(sum)
}

/// Descendants of a process whose command line holds `word`.
pub fn children(parent: u32, word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for pid in direct(parent) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).replace('\0', " ").contains(word) {
            found.push(pid);
        }
        found.extend(children(pid, word));
    }
    found
}

/// A child belongs to the thread that made it.
fn direct(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().filter_map(Result::ok);
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The first such child, as soon as there is one.
pub fn wait_for_child(parent: u32, word: &str) -> io::Result<u32> {
    let deadline = Instant::now() + APPEARS;
    loop {
        if let Some(pid) = children(parent, word).last() {
            return Ok(*pid);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("no process {word} appeared")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a process has ended, and returns the monotonic time in ns.
pub fn end_of(pid: u32) -> io::Result<f64> {
    let pid =
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no such pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None)?;
    let now = clock_gettime(ClockId::Monotonic);
    Ok(Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0)).as_secs_f64() * 1e9
        + Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0)).as_secs_f64() * 1e9)
}
