//! How much CPU time a process and everything it started has used.
//!
//! Live processes are read from their CPU clocks, to the ns; children that ended and were waited for are in their parent's
//! books, in clock ticks. A child whose parent ignores its end is in nobody's books once it is gone: what it used between two
//! readings is not charged (`SECURITY.md` names this; the wall-clock limit bounds it).

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::collections::VecDeque;

/// Most processes looked at in one reading; what no contract may exceed.
const TREE_MAX: usize = 8_192;

/// CPU time of `pid` and its descendants, in ms.
pub fn tree_ms(pid: i32) -> u64 {
    let mut waiting = VecDeque::from([pid]);
    let (mut nanos, mut seen) = (0u64, 0usize);
    while let Some(pid) = waiting.pop_front()
        && seen < TREE_MAX
    {
        seen = seen.saturating_add(1);
        nanos = nanos.saturating_add(own_ns(pid));
        let stat = stat(pid);
        nanos = nanos.saturating_add(ticks_ns(stat.map_or(0, |stat| stat.children)));
        waiting.extend(children(pid));
    }
    nanos / 1_000_000
}

/// CPU time of a process that has ended and is not yet reaped, with all its descendants that it waited for, in ms.
pub fn ended_ms(pid: i32) -> u64 {
    stat(pid).map_or(0, |stat| ticks_ns(stat.own.saturating_add(stat.children)) / 1_000_000)
}

/// How many processors share the work.
pub fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(1))
}

struct Stat {
    own: u64,
    children: u64,
}

fn own_ns(pid: i32) -> u64 {
    let read = clock_getcpuclockid(Pid::from_raw(pid)).and_then(clock_gettime);
    read.map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
    })
}

/// Fields 14 to 17 of `/proc/<pid>/stat` (proc(5)); the name in field 2 may hold anything, so count from its end.
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>().unwrap_or(0));
    let own = fields.next()?.saturating_add(fields.next()?);
    let children = fields.next()?.saturating_add(fields.next()?);
    Some(Stat { own, children })
}

/// Children of every thread of a process: `children` lists those that this one thread made (proc(5)).
fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let made =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    made.flat_map(|text| {
        text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
    })
    .collect()
}

/// `USER_HZ` is 100 on every Linux there is (time(7)).
fn ticks_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(10_000_000)
}

#[cfg(test)]
mod tests {
    #[test]
    fn children_of_every_thread_are_found() {
        let (started, pid) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut child = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
            started.send(i32::try_from(child.id()).unwrap()).unwrap();
            ended.recv().unwrap();
            child.kill().and_then(|()| child.wait()).unwrap();
        });
        let child = pid.recv().unwrap();
        assert!(super::children(i32::try_from(std::process::id()).unwrap()).contains(&child));
        end.send(()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn own_time_grows_and_a_missing_process_has_none() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut sum = 0u64;
        while super::own_ns(pid) < 2_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(super::tree_ms(pid) >= 1);
        // One more than any process can have (proc(5), pid_max).
        assert_eq!(super::tree_ms((1 << 22) + 1), 0);
    }
}
