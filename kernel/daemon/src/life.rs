//! The life of a run: admitted, recorded, started, watched, ended, its books closed.
//!
//! Order matters more than speed here: the use is taken and the start is in the log before a process exists (INV-2), and the
//! end is in the log only when nothing of the run is left (INV-6).

use crate::conn::Conn;
use crate::control::Watcher;
use crate::jails;
use crate::kernel::{Kernel, Shared};
use crate::output;
use crate::program::{self, Program};
use crate::run::{LiveRun, Process, words};
use crate::shell::{self, settle};
use crate::{cpu, plugin::Plugin};
use pawang_core::contract::{Admission, ContractError, Verified, verify};
use pawang_core::control::{RunEvent, RunRequest};
use pawang_core::digest::Digest;
use pawang_core::permit::Policy;
use pawang_core::record::Entry;
use pawang_core::relay::{Finish, Launch};
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_protocol::{Failure, KernelHello, MethodEntry, Role};
use pawang_sandbox::{Stdio, Wall};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// Runs that have ended are listed by `ps` until this many others have.
const ENDED_MAX: usize = 64;
/// Most runs alive.
pub const RUNS_MAX: usize = 4_096;

/// What a run is started from, once its contract is verified.
pub struct Beginning {
    /// The contract.
    pub verified: Verified,
    /// Arguments after program and script.
    pub args: Vec<String>,
    /// Paths of program files, in the contract's order.
    pub files: Vec<String>,
    /// Path of the script, where it is not where the contract says.
    pub script: Option<String>,
    /// The run that starts it as a helper.
    pub parent: Option<RunId>,
    /// Who looks on.
    pub watcher: Option<Watcher>,
}

/// Verifies the contract of a request.
pub fn verified(kernel: &mut Kernel, request: &RunRequest) -> Result<Verified, Failure> {
    let state = kernel.settings.state.to_string_lossy().into_owned();
    let now = kernel.clock.now().unix_s;
    let admission = Admission {
        now,
        audience: &kernel.signer.id(),
        prices: &Digest(kernel.methods.digest),
        program: None,
        protected: &[&state],
        trust: &kernel.trust,
        methods: &kernel.methods,
    };
    verify(request.envelope.as_bytes(), &admission).map_err(|error| refused(&error))
}

/// A refused contract, in the words of the command line.
pub fn refused(error: &ContractError) -> Failure {
    Failure::new(&format!("contract_{}", error.code()), error.to_string())
}

/// Starts a run. When this returns the automation is running, or the run is over and in the log.
pub async fn start(shared: &Shared, beginning: Beginning) -> Result<RunId, Failure> {
    let run = shared.borrow().free_run_id()?;
    let dir = shared.borrow().settings.runs.join(run.to_string());
    let program = {
        let images = shared.borrow().images.clone();
        let contract = Arc::clone(&beginning.verified.contract);
        let (script, files, dir) = (beginning.script.clone(), beginning.files.clone(), dir.join("program"));
        let prepare = move || program::prepare(&images, &contract, script.as_deref(), &files, &dir);
        let prepared = tokio::task::spawn_blocking(prepare).await;
        prepared.map_err(|error| Failure::new("program_unreadable", error.to_string()))?
    };
    let started = match program {
        Ok(program) => start_prepared(shared, run, beginning, program).await,
        Err(failure) => Err(failure),
    };
    if started.is_err() && !shared.borrow().runs.contains_key(&run) {
        // Whatever was laid out is of no more use; a folder that was never made is as good as removed.
        let _ = std::fs::remove_dir_all(&dir);
    }
    started.map(|()| run)
}

async fn start_prepared(
    shared: &Shared,
    run: RunId,
    beginning: Beginning,
    program: Program,
) -> Result<(), Failure> {
    let verified = beginning.verified.clone();
    verified.check_program(&program.digests).map_err(|error| refused(&error))?;
    let Wires { conn, stream, stdin, stdio, outputs } = wires()?;
    let (jail, peer) = {
        let mut kernel = shared.borrow_mut();
        let jail = jails::automation(&kernel, &verified, &program, &beginning.args)?;
        let peer = admit(&mut kernel, run, &verified, &beginning, &jail)?;
        enter(&mut kernel, run, peer, &program, beginning, conn, stdin);
        (jail, peer)
    };
    settle(shared);
    if shared.borrow().log_trouble.is_some() {
        return Err(abort(shared, run, log_unwritable()));
    }
    let spawner = shared.borrow().spawner.clone();
    match spawner.launch(jail, stdio).await {
        Ok(launched) => {
            let walls = launched.walls;
            watch_automation(shared, run, Process::new("automation", launched));
            spawn_local(shell::read_peer(Rc::clone(shared), peer, stream));
            spawn_local(shell::meter(Rc::clone(shared), run));
            spawn_local(wall_clock(
                Rc::clone(shared),
                run,
                Duration::from_secs(u64::from(verified.contract.limits.wall_s)),
            ));
            for (fd, pipe) in outputs {
                spawn_local(output::pump(Rc::clone(shared), run, fd, pipe));
            }
            announce(shared, run, &words(walls));
            warm(shared, run, &verified);
            Ok(())
        }
        Err(failure) => Err(abort(shared, run, failure)),
    }
}

fn log_unwritable() -> Failure {
    Failure::new("log_unwritable", "the log cannot be written, and nothing is done that is not written down")
        .hint("free space on the disk of the state directory; the daemon goes on by itself")
        .retryable()
}

/// Closes the books of a run that could not be started. Whoever asked for it gets the failure itself.
fn abort(shared: &Shared, run: RunId, failure: Failure) -> Failure {
    if let Some(live) = shared.borrow_mut().runs.get_mut(&run) {
        live.busy = 0;
        live.watcher = None;
        live.detail.clone_from(&failure.message);
    }
    shared.borrow_mut().event(|relay, out| relay.end(run, Outcome::Failed, out));
    settle(shared);
    conclude(shared, run);
    failure
}

/// Account, use and record.
fn admit(
    kernel: &mut Kernel,
    run: RunId,
    verified: &Verified,
    beginning: &Beginning,
    jail: &pawang_sandbox::Jail,
) -> Result<PeerId, Failure> {
    if kernel.log_trouble.is_some() {
        return Err(log_unwritable());
    }
    if kernel.is_ending {
        return Err(Failure::new("ending", "the daemon is ending").retryable());
    }
    if kernel.relay.runs().count() >= RUNS_MAX {
        return Err(Failure::new("too_many_runs", format!("{RUNS_MAX} runs are alive")).retryable());
    }
    let policy = Policy::compile(&verified.contract, &kernel.methods).map_err(|error| refused(&error))?;
    let unix_ms = kernel.clock.unix_ms();
    let now = kernel.clock.now();
    let launch = Launch {
        run,
        parent: beginning.parent,
        program: jail.argv.clone(),
        walls: kernel.spawner.planned(jail).to_string(),
        unix_ms,
    };
    let started = kernel.with_effects(|relay, out| {
        relay.admit(verified, out)?;
        relay.start(now, verified.clone(), Arc::new(policy), launch, out)
    });
    kernel.act(crate::kernel::Content::default());
    started
}

/// What a new process is connected by: our ends and its own.
struct Wires {
    conn: Conn,
    stream: Rc<tokio::net::UnixStream>,
    stdin: tokio::net::unix::pipe::Sender,
    stdio: Stdio,
    outputs: [(u8, OwnedFd); 2],
}

/// Made before anything is booked: a machine out of descriptors costs nobody a use.
fn wires() -> Result<Wires, Failure> {
    let made = || -> std::io::Result<Wires> {
        let (conn, stream, channel) = shell::channel()?;
        let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC);
        let ((stdin, to_stdin), (out, stdout), (err, stderr)) = (pipe()?, pipe()?, pipe()?);
        let stdio = Stdio { stdin, stdout, stderr, channel };
        let stdin = tokio::net::unix::pipe::Sender::from_owned_fd(to_stdin)?;
        Ok(Wires { conn, stream, stdin, stdio, outputs: [(1, out), (2, err)] })
    };
    made().map_err(|error| Failure::new("no_descriptors", error.to_string()).retryable())
}

/// Enters a run into the kernel's table and greets its automation.
fn enter(
    kernel: &mut Kernel,
    run: RunId,
    peer: PeerId,
    program: &Program,
    beginning: Beginning,
    conn: Conn,
    stdin: tokio::net::unix::pipe::Sender,
) {
    let verified = &beginning.verified;
    let hello = KernelHello {
        version_min: pawang_protocol::limits::VERSION_MIN,
        role: Role::Automation,
        run: run.to_string(),
        methods: kernel.method_entries(|_| true),
        setup: serde_json::Value::Null,
    };
    kernel.connect(peer, conn, &serde_json::to_vec(&hello).unwrap_or_default());
    let name = verified.contract.name.as_str().to_owned();
    let entry = kernel.trust.entries().iter().find(|entry| entry.key == verified.issuer);
    let issuer = entry.map_or_else(|| verified.issuer.to_string(), |entry| entry.name.clone());
    kernel.runs.insert(
        run,
        LiveRun {
            automation: peer,
            tools: HashMap::new(),
            process: None,
            programs: HashMap::new(),
            name,
            issuer,
            not_after: verified.contract.not_after,
            dir: program.dir.parent().map(std::path::Path::to_owned).unwrap_or_default(),
            // Without someone who may write to it, standard input is at its end.
            stdin: beginning.watcher.as_ref().filter(|watcher| watcher.is_control()).map(|_| Rc::new(stdin)),
            watcher: beginning.watcher,
            cpu_done_ms: 0,
            exit: None,
            detail: String::new(),
            changed: Rc::new(Notify::new()),
            ended: None,
            busy: 2,
            output_kept: 0,
        },
    );
}

fn announce(shared: &Shared, run: RunId, walls: &[String]) {
    let kernel = shared.borrow();
    let Some(live) = kernel.runs.get(&run) else { return };
    if let (Some(watcher), Some(summary)) = (&live.watcher, kernel.summary(run)) {
        watcher.tell(&RunEvent::Started { run: summary, walls: walls.to_vec() }, &[]);
    }
}

/// Tools that hold folders are started with the run, so that what a path names is settled from the beginning.
fn warm(shared: &Shared, run: RunId, verified: &Verified) {
    let uses_files = verified.contract.allow.iter().any(|rule| rule.call.to_string().starts_with("fs."));
    if uses_files {
        shared.borrow_mut().event(|relay, out| relay.warm(run, "fs", out));
        settle(shared);
    }
}

/// Starts a tool for a run and serves it until its channel ends.
pub async fn start_tool(
    shared: Shared,
    run: RunId,
    peer: PeerId,
    name: &'static str,
    delay_ms: u64,
    crashes: u32,
) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    let Some(channel) = shared.borrow_mut().starting.remove(&peer) else { return };
    if !hold(&shared, run) {
        return;
    }
    let launched = launch_tool(&shared, run, name, channel.child).await;
    let started = match launched {
        Ok((process, errors)) => {
            spawn_local(output::talk(run, name, errors));
            enter_tool(&shared, run, peer, crashes, process);
            true
        }
        Err(failure) => {
            let mut kernel = shared.borrow_mut();
            let now = kernel.clock.now();
            kernel.event(|relay, out| relay.tool_failed(now, peer, &failure, out));
            kernel.disconnect(peer);
            false
        }
    };
    release(&shared, run);
    settle(&shared);
    conclude(&shared, run);
    if started {
        shell::read_peer(shared, peer, channel.stream).await;
    }
}

async fn launch_tool(
    shared: &Shared,
    run: RunId,
    name: &'static str,
    channel: OwnedFd,
) -> Result<(Process, OwnedFd), Failure> {
    let (jail, spawner) = {
        let kernel = shared.borrow();
        let gone = || Failure::new("gone", "the run has ended");
        let verified = kernel.relay.contract(run).ok_or_else(gone)?;
        let plugin = kernel.plugins.get(name)?;
        plugin_store(&kernel, plugin, verified);
        (plugin.jail(&kernel.settings, verified), kernel.spawner.clone())
    };
    let failed = |error: std::io::Error| Failure::new("no_descriptors", error.to_string()).retryable();
    let (stdio, errors) = tool_stdio(channel).map_err(failed)?;
    let launched = spawner.launch(jail, stdio).await?;
    Ok((Process::new(name, launched), errors))
}

/// Enters a tool that has just been started into its run; one that nobody wants any more is killed at once.
fn enter_tool(shared: &Shared, run: RunId, peer: PeerId, crashes: u32, process: Process) {
    let pidfd = Rc::clone(&process.pidfd);
    {
        let mut kernel = shared.borrow_mut();
        let is_ending = kernel.relay.figures(run).is_none_or(|figures| figures.ending.is_some());
        if is_ending || kernel.relay.whose(peer).is_none() {
            process.kill();
        }
        let (tool, walls) = (process.name.clone(), process.walls.to_string());
        if let Some(live) = kernel.runs.get_mut(&run) {
            live.tools.insert(peer, process);
        }
        kernel.record(Entry::Tool { run, tool, crashes, walls });
    }
    spawn_local(reap_tool(Rc::clone(shared), run, peer, pidfd));
}

/// The folder of a store is made by the daemon: the tool may use it and nothing above it.
fn plugin_store(kernel: &Kernel, plugin: &Plugin, verified: &Verified) {
    if plugin.manifest.name.as_str() == "memory" {
        let dir = crate::plugin::store(&kernel.settings, verified);
        // Where it cannot be made the tool says so at its first call.
        let _ = std::fs::create_dir_all(dir);
    }
}

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

fn tool_stdio(channel: OwnedFd) -> std::io::Result<(Stdio, OwnedFd)> {
    let null = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let (errors, stderr) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((Stdio { stdin: null()?, stdout: null()?, stderr, channel }, errors))
}

/// Kills a tool that broke the protocol.
pub fn kill_tool(shared: &Shared, peer: PeerId) {
    let mut kernel = shared.borrow_mut();
    if let Some(process) = kernel.runs.values().find_map(|run| run.tools.get(&peer)) {
        process.kill();
    }
    kernel.disconnect(peer);
}

async fn reap_tool(shared: Shared, run: RunId, peer: PeerId, pidfd: Rc<OwnedFd>) {
    exited(&pidfd).await;
    reap(&pidfd);
    {
        let mut kernel = shared.borrow_mut();
        if let Some(live) = kernel.runs.get_mut(&run) {
            live.tools.remove(&peer);
        }
        let now = kernel.clock.now();
        kernel.event(|relay, out| relay.peer_gone(now, peer, out));
        kernel.disconnect(peer);
    }
    settle(&shared);
    conclude(&shared, run);
}

fn watch_automation(shared: &Shared, run: RunId, process: Process) {
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

/// Ends a run at its wall-clock limit.
async fn wall_clock(shared: Shared, run: RunId, limit: Duration) {
    let changed = shared.borrow().runs.get(&run).map(|run| Rc::clone(&run.changed));
    let Some(changed) = changed else { return };
    let at = tokio::time::Instant::now().checked_add(limit);
    loop {
        let Some(at) = at else { return };
        tokio::select! {
            () = tokio::time::sleep_until(at) => {
                shared.borrow_mut().event(|relay, out| relay.end(run, Outcome::TimedOut, out));
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
        kernel.act(crate::kernel::Content::default());
        kernel.forget_redactors();
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
        let figures = pawang_core::relay::RunFigures { gas: spent.unwrap_or(figures.gas), ..figures };
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
    /// Numbers and names of methods, for a `Hello`.
    pub fn method_entries(&self, wanted: impl Fn(&str) -> bool) -> Vec<MethodEntry> {
        let rows = self.methods.iter().filter(|(_, row)| wanted(row.name.as_str()));
        rows.map(|(id, row)| MethodEntry { id: id.0, name: row.name.clone() }).collect()
    }

    fn free_run_id(&self) -> Result<RunId, Failure> {
        loop {
            let mut bytes = [0; 4];
            getrandom::fill(&mut bytes).map_err(|error| Failure::new("no_randomness", error.to_string()))?;
            let run = RunId(u32::from_le_bytes(bytes));
            if !self.runs.contains_key(&run) {
                return Ok(run);
            }
        }
    }

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
