//! One run as the daemon sees it: its processes, its output, who watches it.

use crate::control::Watcher;
use pawang_core::control::{ProcessDetail, RunSummary};
use pawang_core::relay::RunFigures;
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_sandbox::{Launched, Wall, Walls};
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use tokio::sync::Notify;

/// A process of a run.
pub struct Process {
    /// `automation`, the tool's name, or the command that `exec` started.
    pub name: String,
    /// Process id on the host.
    pub pid: i32,
    /// Refers to it and nothing else.
    pub pidfd: Rc<OwnedFd>,
    /// The walls it proved.
    pub walls: Walls,
}

/// A run, from its start until a while after its end.
pub struct LiveRun {
    /// Peer of the automation.
    pub automation: PeerId,
    /// Tools alive.
    pub tools: HashMap<PeerId, Process>,
    /// The automation, once it is started.
    pub process: Option<Process>,
    /// Programs that `exec` started, by call.
    pub programs: HashMap<u64, Process>,
    /// Name of the contract.
    pub name: String,
    /// Who signed it, for people.
    pub issuer: String,
    /// When the contract expires, unix seconds.
    pub not_after: u64,
    /// Folder with the program's files.
    pub dir: PathBuf,
    /// Whoever started it and looks on.
    pub watcher: Option<Watcher>,
    /// The program's standard input.
    pub stdin: Option<Rc<tokio::net::unix::pipe::Sender>>,
    /// CPU time of processes that have ended, in ms.
    pub cpu_done_ms: u64,
    /// Exit status of the automation, once known.
    pub exit: Option<i32>,
    /// One sentence on why it ended.
    pub detail: String,
    /// Told when it begins to end, and when it has.
    pub changed: Rc<Notify>,
    /// Figures at its end; absent while it is alive.
    pub ended: Option<RunSummary>,
    /// Tasks that hold something of it: output pumps, launches under way. It is not over before they are.
    pub busy: u32,
    /// Bytes of output kept so far.
    pub output_kept: u64,
}

impl Process {
    /// A process just started.
    pub fn new(name: &str, launched: Launched) -> Self {
        Self {
            name: name.to_owned(),
            pid: launched.pid,
            pidfd: Rc::new(launched.pidfd),
            walls: launched.walls,
        }
    }

    /// Kills it and everything it started: with its process namespace, or with its group, which it cannot leave.
    pub fn kill(&self) {
        // Gone already is as good as killed.
        let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
        if !self.walls.has(Wall::PidNs)
            && let Some(group) = Pid::from_raw(self.pid).filter(|pid| pid.as_raw_nonzero().get() > 1)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// For `inspect`.
    pub fn detail(&self) -> ProcessDetail {
        ProcessDetail { name: self.name.clone(), pid: self.pid, walls: words(self.walls) }
    }
}

impl LiveRun {
    /// Kills everything of it.
    pub fn kill(&self) {
        self.processes().for_each(Process::kill);
        self.changed.notify_waiters();
    }

    /// Every process alive.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.process.iter().chain(self.tools.values()).chain(self.programs.values())
    }

    /// Whether nothing of it is left but its books.
    pub fn is_empty(&self) -> bool {
        self.processes().next().is_none() && self.busy == 0
    }

    /// A line of `ps`.
    pub fn summary(
        &self,
        id: RunId,
        figures: &RunFigures,
        now_us: u64,
        outcome: Option<Outcome>,
    ) -> RunSummary {
        let (gas_granted, gas_spent, gas_reserved) = figures.gas;
        let (calls, denied) = figures.calls;
        RunSummary {
            run: id,
            name: self.name.clone(),
            contract: figures.contract,
            issuer: self.issuer.clone(),
            parent: figures.parent,
            gas_granted,
            gas_spent,
            gas_reserved,
            calls,
            denied,
            started_ms: figures.started_unix_ms,
            took_ms: now_us.saturating_sub(figures.started_us) / 1_000,
            not_after: self.not_after,
            outcome,
            exit: self.exit,
        }
    }
}

/// Walls in words.
pub fn words(walls: Walls) -> Vec<String> {
    walls.iter().map(|wall| wall.to_string()).collect()
}
