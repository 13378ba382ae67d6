//! The life of a run: admitted, recorded, started, watched, ended, its books closed.
//!
//! Order matters more than speed here: the use is taken and the start is in the log before a process exists (INV-2), and the
//! end is in the log only when nothing of the run is left (INV-6).

use crate::conn::Conn;
use crate::control::Watcher;
use crate::finish::{conclude, wall_clock, watch_automation};
use crate::jails;
use crate::kernel::{Kernel, Shared};
use crate::output;
use crate::program::{self, Program};
use crate::run::{LiveRun, Process, words};
use crate::shell::{self, settle};
use pawang_core::contract::{Admission, ContractError, Verified, verify};
use pawang_core::control::{RunEvent, RunRequest};
use pawang_core::digest::Digest;
use pawang_core::permit::Policy;
use pawang_core::relay::Launch;
use pawang_core::run::{Outcome, PeerId, RunId};
use pawang_protocol::{Failure, KernelHello, MethodEntry, Role};
use pawang_sandbox::Stdio;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_local;

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
    Failure::from(error)
}

/// Starts a run. When this returns the automation is running, or the run is over and in the log.
pub async fn start(shared: &Shared, beginning: Beginning) -> Result<RunId, Failure> {
    // Asked first: a full disk would otherwise be told as a program that cannot be copied.
    if shared.borrow().log_trouble.is_some() {
        return Err(log_unwritable());
    }
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
            let limit = time_limit(&mut shared.borrow_mut(), &verified);
            spawn_local(wall_clock(Rc::clone(shared), run, limit));
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

/// How long a run may go on, and what it means to reach that: its wall-clock limit, or the end of its contract.
fn time_limit(kernel: &mut Kernel, verified: &Verified) -> (Duration, Outcome) {
    let wall_s = u64::from(verified.contract.limits.wall_s);
    let valid_s = verified.contract.not_after.saturating_sub(kernel.clock.now().unix_s);
    match valid_s < wall_s {
        true => (Duration::from_secs(valid_s), Outcome::Revoked),
        false => (Duration::from_secs(wall_s), Outcome::TimedOut),
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
    let state = kernel.settings.state.to_string_lossy().into_owned();
    let policy = Policy::compile(&verified.contract, &kernel.methods).map_err(|error| refused(&error))?;
    let policy = policy.protecting(&[&state]);
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
    let own_name = verified.contract.name.as_str();
    // A helper's name was chosen by whoever started it: it is never shown without that.
    let name = match beginning.parent.and_then(|parent| kernel.runs.get(&parent)) {
        Some(parent) => format!("{}/{own_name}", parent.name),
        None => own_name.to_owned(),
    };
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
}
