//! How a run ends: its processes watched and reaped, its limits held, its books closed when nothing of it is left (INV-6).

use crate::cpu;
use crate::kernel::{Content, Kernel, Shared};
use crate::run::Process;
use crate::shell::settle;
use pawang_core::control::RunEvent;
use pawang_core::relay::{Finish, RunFigures};
use pawang_core::run::{Outcome, RunId};
use pawang_sandbox::Wall;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_local;

/// Runs that have ended are listed by `ps` until this many others have.
const ENDED_MAX: usize = 64;

/// Keeps a run from being concluded while something of it is being started. `false`: it is over already.
pub fn hold(shared: &Shared, run: RunId) -> bool {
    let mut kernel = shared.borrow_mut();
    let Some(live) = kernel.runs.get_mut(&run).filter(|live| live.ended.is_none()) else { return false };
    live.busy = live.busy.saturating_add(1);
    true
}

/// The opposite of [`hold`]; whoever calls it concludes the run afterwards.
pub fn release(shared: &Shared, run: RunId) {
    if let Some(live) = shared.borrow_mut().runs.get_mut(&run) {
        live.busy = live.busy.saturating_sub(1);
    }
}

/// Watches over the automation's process from its start to its end.
pub fn watch_automation(shared: &Shared, run: RunId, process: Process) {
    let (pid, pidfd) = (process.pid, Rc::clone(&process.pidfd));
    {
        let mut kernel = shared.borrow_mut();
        let is_ending = kernel.relay.figures(run).is_none_or(|figures| figures.ending.is_some());
        if let Some(live) = kernel.runs.get_mut(&run) {
            if is_ending {
                process.kill();
            }
            live.process = Some(process);
        }
    }
    let shared = Rc::clone(shared);
    spawn_local(async move {
        exited(&pidfd).await;
        let cpu_ms = cpu::ended_ms(pid);
        let exit = reap(&pidfd);
        {
            let mut kernel = shared.borrow_mut();
            if let Some(live) = kernel.runs.get_mut(&run) {
                live.exit = exit;
                live.cpu_done_ms = live.cpu_done_ms.saturating_add(cpu_ms);
                if let Some(process) = live.process.take() {
                    // Without a process namespace its group may outlive it.
                    if !process.walls.has(Wall::PidNs) {
                        process.kill();
                    }
                }
            }
            kernel.event(|relay, out| relay.end(run, Outcome::Done, out));
        }
        settle(&shared);
        end(&shared, run);
    });
}

/// Ends a run when its time is over.
pub async fn wall_clock(shared: Shared, run: RunId, (limit, outcome): (Duration, Outcome)) {
    let changed = shared.borrow().runs.get(&run).map(|run| Rc::clone(&run.changed));
    let Some(changed) = changed else { return };
    let at = tokio::time::Instant::now().checked_add(limit);
    loop {
        let Some(at) = at else { return };
        tokio::select! {
            () = tokio::time::sleep_until(at) => {
                shared.borrow_mut().event(|relay, out| relay.end(run, outcome, out));
                settle(&shared);
                return;
            }
            () = changed.notified() => {
                if shared.borrow().runs.get(&run).is_none_or(|run| run.ended.is_some()) {
                    return;
                }
            }
        }
    }
}

/// CPU time of a run so far, in ms: the automation's tree and the programs it had started.
pub fn cpu_ms(kernel: &Kernel, run: RunId) -> u64 {
    let Some(live) = kernel.runs.get(&run) else { return 0 };
    let foreign = live.process.iter().chain(live.programs.values());
    foreign.fold(live.cpu_done_ms, |sum, process| sum.saturating_add(cpu::tree_ms(process.pid)))
}

/// Kills what is left of a run that is ending.
pub fn end(shared: &Shared, run: RunId) {
    if let Some(live) = shared.borrow().runs.get(&run) {
        live.kill();
    }
    conclude(shared, run);
}

/// Closes the books of a run of which nothing is left.
pub fn conclude(shared: &Shared, run: RunId) {
    let watcher = {
        let mut kernel = shared.borrow_mut();
        let kernel = &mut *kernel;
        let Some(figures) = kernel.relay.figures(run).filter(|figures| figures.ending.is_some()) else {
            return;
        };
        let Some(live) = kernel.runs.get_mut(&run).filter(|live| live.is_empty() && live.ended.is_none())
        else {
            return;
        };
        let finish = Finish { cpu_ms: live.cpu_done_ms, exit: live.exit, detail: live.detail.clone() };
        let now = kernel.clock.now();
        let (outcome, contract) = (figures.ending, figures.contract);
        kernel.with_effects(|relay, out| relay.finish(now, run, finish, out));
        kernel.act(Content::default());
        // A head at the end of each run: what a run did can be shown to others from then on.
        let now_ms = kernel.clock.unix_ms();
        if let Err(error) = kernel.log.push_head(now_ms) {
            eprintln!("pawangd: level=error what=\"no head\" error={error:?}");
        }
        let us = kernel.clock.us();
        let spent = kernel
            .relay
            .account(&contract)
            .map(|account| (account.granted(), account.spent(), account.reserved()));
        let Some(live) = kernel.runs.get_mut(&run) else { return };
        let figures = RunFigures { gas: spent.unwrap_or(figures.gas), ..figures };
        live.ended = Some(live.summary(run, &figures, us, outcome));
        live.stdin = None;
        live.changed.notify_waiters();
        let _ = std::fs::remove_dir_all(live.dir.join("program"));
        live.watcher
            .take()
            .zip(live.ended.clone())
            .map(|(watcher, summary)| (watcher, summary, live.detail.clone()))
    };
    settle(shared);
    // Only now: what is told to stop is found among what is served.
    shared.borrow_mut().forget_redactors();
    if let Some((watcher, run, detail)) = watcher {
        watcher.last(&RunEvent::Ended { run, detail });
    }
    shared.borrow_mut().forget_old_runs(ENDED_MAX);
}

/// Waits until the process behind a descriptor has ended.
pub async fn exited(pidfd: &Rc<OwnedFd>) {
    let Ok(copy) = pidfd.as_fd().try_clone_to_owned() else { return };
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that close while registered; an OwnedFd does not"
    )]
    let watched = AsyncFd::with_interest(copy, Interest::READABLE);
    if let Ok(watched) = watched {
        let _ = watched.readable().await;
    }
}

/// Reaps it. Exit status, or 128 + n where signal n killed it.
pub fn reap(pidfd: &Rc<OwnedFd>) -> Option<i32> {
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).ok().flatten()?;
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| signal.saturating_add(128)))
}

impl Kernel {
    fn forget_old_runs(&mut self, keep: usize) {
        let mut ended: Vec<(u64, RunId)> =
            self.runs.iter().filter_map(|(&id, run)| Some((run.ended.as_ref()?.started_ms, id))).collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(keep);
        for (_, id) in ended.into_iter().take(surplus) {
            if let Some(run) = self.runs.remove(&id) {
                let _ = std::fs::remove_dir_all(run.dir);
            }
        }
    }
}
