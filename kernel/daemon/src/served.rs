//! The calls the kernel serves itself: `run.info`, `run.spawn` (a helper under a smaller contract) and `kernel.spawn` (the
//! program that the exec tool was asked for).

use crate::control::Watcher;
use crate::finish;
use crate::jails::{self, ProgramRequest};
use crate::kernel::{Content, Shared};
use crate::life::{self, Beginning};
use crate::run::Process;
use crate::shell::settle;
use pawang_core::attenuate::{HelperRequest, Mint, mint};
use pawang_core::contract::Serial;
use pawang_core::method::MethodId;
use pawang_core::relay::{Answer, moved};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::{Failure, Gas, Status};
use pawang_sandbox::Stdio;
use serde_json::json;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// Most helpers alive below one contract, at all depths together: each has limits of its own, so this is what bounds
/// what they take of the machine together.
const HELPERS_MAX: usize = 16;
/// Bytes of a program's output passed on at once.
const CHUNK: usize = 32 << 10;

/// A call the kernel serves: its arguments, and how to end it.
pub struct Served {
    args: Vec<u8>,
    data: Vec<u8>,
    cancelled: Rc<Notify>,
}

impl Served {
    /// Keeps the content of the call's frame.
    pub fn new(content: Content) -> Self {
        Self { args: content.args.to_vec(), data: content.data.to_vec(), cancelled: Rc::new(Notify::new()) }
    }
}

/// Begins to serve a call.
pub fn serve(shared: &Shared, run: RunId, id: u64, method: MethodId, resource: String) {
    let name =
        shared.borrow().methods.get(method).map(|row| row.name.as_str().to_owned()).unwrap_or_default();
    let shared = Rc::clone(shared);
    match name.as_str() {
        "run.info" => last(&shared, id, Ok(info(&shared, run))),
        "run.spawn" => drop(spawn_local(helper(shared, run, id))),
        "kernel.spawn" => drop(spawn_local(program(shared, run, id, resource))),
        _ => last(&shared, id, Err(Failure::new("not_served", format!("nothing serves {name}")))),
    }
}

/// Ends a call that is no longer wanted.
pub fn cancel(shared: &Shared, id: u64) {
    if let Some(served) = shared.borrow().served.get(&id) {
        // A permit is kept for a task that is not yet waiting.
        served.cancelled.notify_one();
    }
}

/// One chunk of an answer. What no longer has a caller is dropped by the relay.
pub fn chunk(shared: &Shared, id: u64, args: &[u8], data: &[u8]) {
    let answer = Answer {
        id,
        status: Status::Ok,
        more: true,
        gas: Gas::ZERO,
        received: moved(args.len(), data.len()),
    };
    shared.borrow_mut().answer(answer, Content { args, data });
    settle(shared);
}

/// The last answer.
pub fn last(shared: &Shared, id: u64, outcome: Result<serde_json::Value, Failure>) {
    let (status, args) = match outcome {
        Ok(value) => (Status::Ok, serde_json::to_vec(&value)),
        Err(failure) => (Status::Failed, serde_json::to_vec(&failure)),
    };
    let args = args.unwrap_or_default();
    let answer = Answer { id, status, more: false, gas: Gas::ZERO, received: moved(args.len(), 0) };
    {
        let mut kernel = shared.borrow_mut();
        kernel.served.remove(&id);
        kernel.answer(answer, Content { args: &args, data: &[] });
    }
    settle(shared);
}

fn info(shared: &Shared, run: RunId) -> serde_json::Value {
    let kernel = shared.borrow();
    let contract = kernel.relay.contract(run).map(|verified| (&verified.contract, verified.digest));
    let account = contract.and_then(|(_, digest)| kernel.relay.account(&digest));
    json!({
        "run": run,
        "name": contract.map(|(contract, _)| contract.name.as_str()),
        "contract": contract.map(|(_, digest)| digest),
        "not_after": contract.map(|(contract, _)| contract.not_after),
        "gas": account.map(|account| json!({
            "granted": account.granted(),
            "free": account.free(),
            "reserved": account.reserved(),
            "spent": account.spent(),
        })),
    })
}

/// What a run sends with `run.spawn`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SpawnRequest {
    contract: HelperRequest,
    #[serde(default)]
    args: Vec<String>,
}

/// Mints a smaller contract and starts a helper under it; its output is the answer.
async fn helper(shared: Shared, parent: RunId, id: u64) {
    let prepared = prepare_helper(&shared, parent, id);
    let started = match prepared {
        Ok((beginning, cancelled)) => life::start(&shared, beginning).await.map(|run| (run, cancelled)),
        Err(failure) => Err(failure),
    };
    match started {
        Ok((run, cancelled)) => {
            cancelled.notified().await;
            shared.borrow_mut().event(|relay, out| relay.end(run, Outcome::Stopped, out));
            settle(&shared);
        }
        Err(failure) => last(&shared, id, Err(failure)),
    }
}

fn prepare_helper(shared: &Shared, parent: RunId, id: u64) -> Result<(Beginning, Rc<Notify>), Failure> {
    let mut kernel = shared.borrow_mut();
    let kernel = &mut *kernel;
    let gone = || Failure::new("gone", "the run has ended");
    let served = kernel.served.get_mut(&id).ok_or_else(gone)?;
    // What a helper was started with is not kept for its life.
    let args = std::mem::take(&mut served.args);
    served.data = Vec::new();
    let request: SpawnRequest = serde_json::from_slice(&args)
        .map_err(|error| Failure::new("bad_request", format!("run.spawn: {error}")))?;
    let cancelled = Rc::clone(&served.cancelled);
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| Failure::new("no_randomness", error.to_string()))?;
    let state = kernel.settings.state.to_string_lossy().into_owned();
    let now = kernel.clock.now().unix_s;
    let with = Mint { now, serial: Serial(serial), methods: &kernel.methods, protected: &[&state] };
    let own = kernel.relay.contract(parent).ok_or_else(gone)?;
    let outermost = own.chain.last().copied().unwrap_or(own.digest);
    let family = kernel.relay.runs().filter_map(|run| kernel.relay.contract(run));
    if family.filter(|other| other.chain.contains(&outermost)).count() >= HELPERS_MAX {
        let what = format!("{HELPERS_MAX} helpers are alive under this contract");
        return Err(Failure::new("too_many_helpers", what).hint("wait for one to end").retryable());
    }
    let verified = mint(own, request.contract, &with).map_err(|error| life::refused(&error))?;
    let dir = kernel.settings.runs.join(parent.to_string()).join("program");
    let copied = |path: &str| {
        let name = std::path::Path::new(path).file_name().unwrap_or_default();
        dir.join(name).to_string_lossy().into_owned()
    };
    let program = &verified.contract.program;
    let script = program.script.as_ref().map(|script| copied(&script.path));
    let files = program.files.iter().map(|file| copied(&file.path)).collect();
    let watcher = Some(Watcher::Call { shared: Rc::downgrade(shared), id });
    let beginning = Beginning { verified, args: request.args, files, script, parent: Some(parent), watcher };
    Ok((beginning, cancelled))
}

/// Starts the program that `exec.run` names, in a jail of its own; its output is the answer.
async fn program(shared: Shared, run: RunId, id: u64, resource: String) {
    if !finish::hold(&shared, run) {
        return;
    }
    let started = start_program(&shared, run, id, &resource).await;
    finish::release(&shared, run);
    match started {
        Ok(running) => attend(shared, run, id, running).await,
        Err(failure) => {
            last(&shared, id, Err(failure));
            finish::conclude(&shared, run);
        }
    }
}

struct Running {
    pidfd: Rc<OwnedFd>,
    pid: i32,
    stdin: (OwnedFd, Vec<u8>),
    outputs: [(u8, OwnedFd); 2],
    cancelled: Rc<Notify>,
}

async fn start_program(shared: &Shared, run: RunId, id: u64, resource: &str) -> Result<Running, Failure> {
    let argv: Vec<String> = resource.split('\0').map(str::to_owned).collect();
    let failed =
        |error: &dyn std::fmt::Display| Failure::new("no_descriptors", error.to_string()).retryable();
    let (jail, data, cancelled) = {
        let kernel = shared.borrow();
        let served = kernel.served.get(&id).ok_or_else(|| Failure::new("gone", "the call has ended"))?;
        let request: ProgramRequest = match served.args.as_slice() {
            [] => ProgramRequest::default(),
            args => serde_json::from_slice(args)
                .map_err(|error| Failure::new("bad_request", format!("kernel.spawn: {error}")))?,
        };
        let verified = kernel.relay.contract(run).ok_or_else(|| Failure::new("gone", "the run has ended"))?;
        let jail = jails::program(&kernel, verified, &argv, &request)?;
        (jail, served.data.clone(), Rc::clone(&served.cancelled))
    };
    if !jails::is_elf(&jail.image) {
        let what = format!(
            "{} is a script; exec starts programs, and no shell",
            argv.first().map_or("", String::as_str)
        );
        return Err(Failure::new("not_a_program", what)
            .hint("grant and name its interpreter, with the script as an argument"));
    }
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| failed(&error));
    let ((stdin, to_stdin), (out, stdout), (err, stderr)) = (pipe()?, pipe()?, pipe()?);
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| failed(&error))?;
    let stdio = Stdio { stdin, stdout, stderr, channel: null.into() };
    let spawner = shared.borrow().spawner.clone();
    let launched = spawner.launch(jail, stdio).await?;
    let process = Process::new(argv.first().map_or("", String::as_str), launched);
    let (pid, pidfd) = (process.pid, Rc::clone(&process.pidfd));
    let mut kernel = shared.borrow_mut();
    match kernel.runs.get_mut(&run).filter(|live| live.ended.is_none()) {
        Some(live) => drop(live.programs.insert(id, process)),
        None => process.kill(),
    }
    if kernel.relay.figures(run).is_none_or(|figures| figures.ending.is_some())
        || !kernel.relay.is_in_flight(id)
    {
        cancelled.notify_one();
    }
    Ok(Running { pidfd, pid, stdin: (to_stdin, data), outputs: [(1, out), (2, err)], cancelled })
}

async fn attend(shared: Shared, run: RunId, id: u64, running: Running) {
    let Running { pidfd, pid, stdin: (to_stdin, data), outputs, cancelled } = running;
    spawn_local(async move {
        if let Ok(mut pipe) = Sender::from_owned_fd(to_stdin) {
            // A program that does not read its input is free not to.
            let _ = pipe.write_all(&data).await;
        }
    });
    let pumps: Vec<_> = outputs.map(|(fd, pipe)| spawn_local(pump(Rc::clone(&shared), id, fd, pipe))).into();
    let has_ended = {
        let pidfd = Rc::clone(&pidfd);
        async move { finish::exited(&pidfd).await }
    };
    tokio::pin!(has_ended);
    tokio::select! {
        () = &mut has_ended => {}
        () = cancelled.notified() => {
            if let Some(process) = shared.borrow().runs.get(&run).and_then(|live| live.programs.get(&id)) {
                process.kill();
            }
            has_ended.await;
        }
    }
    for pump in pumps {
        let _ = pump.await;
    }
    let cpu_ms = crate::cpu::ended_ms(pid);
    let exit = finish::reap(&pidfd);
    {
        let mut kernel = shared.borrow_mut();
        if let Some(live) = kernel.runs.get_mut(&run) {
            live.cpu_done_ms = live.cpu_done_ms.saturating_add(cpu_ms);
            if let Some(process) = live.programs.remove(&id) {
                process.kill();
            }
        }
    }
    let signal = exit.filter(|exit| *exit > 128).map(|exit| exit.saturating_sub(128));
    let exit = exit.filter(|_| signal.is_none());
    last(&shared, id, Ok(json!({ "exit": exit, "signal": signal, "cpu_ms": cpu_ms })));
    finish::conclude(&shared, run);
}

async fn pump(shared: Shared, id: u64, fd: u8, pipe: OwnedFd) {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else { return };
    let args = format!("{{\"fd\":{fd}}}");
    let mut buffer = vec![0; CHUNK];
    while let Ok(count) = pipe.read(&mut buffer).await
        && count > 0
    {
        chunk(&shared, id, args.as_bytes(), buffer.get(..count).unwrap_or_default());
        wait_for_room(&shared, id).await;
    }
}

/// Waits while whoever asked for a served call does not read.
pub async fn wait_for_room(shared: &Shared, id: u64) {
    loop {
        let room = shared.borrow_mut().room_of_caller(id);
        match room {
            Some(room) => room.notified().await,
            None => return,
        }
    }
}
