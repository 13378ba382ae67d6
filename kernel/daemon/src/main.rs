//! `pawangd`: the kernel daemon.
//!
//! Verify → permit → charge → record → relay, and the processes this is for. One tokio `current_thread` runtime on the
//! main thread carries every channel; one thread starts processes, one syncs the log. Decisions are in `pawang_core`.
//!
//! Reading order: `kernel` (a frame's way), `shell` (the tasks), `life` (a run), `control` (the command line), `boot`.
//!
//! Deliberately absent: HTTP, TLS, WASM, any policy, unsafe code.
#![forbid(unsafe_code)]

mod boot;
mod clock;
mod conn;
mod control;
mod cpu;
mod end;
mod finish;
mod jails;
mod kernel;
mod life;
mod log;
mod output;
mod plugin;
mod program;
mod records;
mod run;
mod secrets;
mod served;
mod settings;
mod shell;
mod spawn;
mod tool;

use crate::kernel::Shared;
use crate::settings::{Options, Settings};
use interprocess::local_socket::{GenericFilePath, Listener, ListenerOptions, ToFsName};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pawang_protocol::Failure;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Signal, getpid, pidfd_getfd, pidfd_open};
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;

const USAGE: &str =
    "usage: pawangd [--state DIR] [--libexec DIR] [--vault-key FILE] [--sync each|group] [--version]

The Pawang kernel daemon. It is started by `pawang` when it is needed, or by a service manager.
  --state DIR        where it keeps its log, keys and vault (default: $PAWANG_STATE, $XDG_STATE_HOME/pawang)
  --libexec DIR      where launcher and plugins are (default: ../libexec/pawang beside this program)
  --vault-key FILE   opens the vault with this key: 32 bytes or 64 hex digits
  --sync each|group  sync every record before what it allows is done, or in groups of a few ms (default)";

fn main() -> ExitCode {
    abort_on_panic();
    let options = match parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("pawangd: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pawangd: {}", failure.message);
            if !failure.hint.is_empty() {
                eprintln!("  try: {}", failure.hint);
            }
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = std::ffi::OsString>) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let arg = arg.to_string_lossy().into_owned();
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--state" => options.state = Some(PathBuf::from(value()?)),
            "--libexec" => options.libexec = Some(PathBuf::from(value()?)),
            "--vault-key" => options.vault_key = Some(PathBuf::from(value()?)),
            "--sync" => match value()?.to_str() {
                Some("each") => options.sync_each = true,
                Some("group") => options.sync_each = false,
                _ => return Err("--sync is each or group".to_owned()),
            },
            "--version" => {
                println!("pawangd {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(format!("{other} is not an option")),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<(), Failure> {
    harden()?;
    let settings = Settings::resolve(options).map_err(|error| Failure::new("state", error.to_string()))?;
    let _lock = boot::lock(&settings)?;
    let socket = settings.socket.clone();
    let mut kernel = boot::kernel(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("runtime", error.to_string()))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let (listener, is_inherited) = listener(&socket)?;
        kernel.owns_socket = !is_inherited;
        serve(Rc::new(RefCell::new(kernel)), listener, is_inherited).await;
        Ok(())
    })
}

/// A bug of ours ends the daemon, and with it everything it started: a task that vanished in the middle of its work would
/// leave the rest going on half-checked. What was written down is replayed at the next start.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("pawangd: level=error what=\"a bug; the daemon ends\" where=\"{panic}\"");
        std::process::abort();
    }));
}

/// No core file, nobody attaches, and room for descriptors: five for each run, and more for each tool.
fn harden() -> Result<(), Failure> {
    let failed = |error: nix::Error| Failure::new("hardening", error.to_string());
    nix::sys::prctl::set_dumpable(false).map_err(failed)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(failed)
}

/// The control socket: the service manager's, or our own in the state directory, mode 0600.
fn listener(path: &std::path::Path) -> Result<(UnixListener, bool), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new("control_socket", format!("{}: {error}", path.display()))
    };
    let inherited = inherited().map_err(|error| failed(&error))?;
    let is_inherited = inherited.is_some();
    let fd: OwnedFd = match inherited {
        Some(fd) => fd,
        None => {
            // The lock says that no other daemon lives: a socket that is there is a dead one's.
            let _ = std::fs::remove_file(path);
            let name = path.to_fs_name::<GenericFilePath>().map_err(|error| failed(&error))?;
            let made = ListenerOptions::new().name(name).mode(0o600).reclaim_name(false).create_sync();
            match made.map_err(|error| failed(&error))? {
                Listener::UdSocket(listener) => listener.into(),
            }
        }
    };
    let listener = std::os::unix::net::UnixListener::from(fd);
    listener.set_nonblocking(true).map_err(|error| failed(&error))?;
    Ok((UnixListener::from_std(listener).map_err(|error| failed(&error))?, is_inherited))
}

/// The first socket that a service manager passed, if one did.
fn inherited() -> std::io::Result<Option<OwnedFd>> {
    let Some(number) = sd_notify::listen_fds()?.next() else { return Ok(None) };
    // A number is not a descriptor; asking the system for a copy of our own is the safe way to one.
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(Some(pidfd_getfd(own, number, PidfdGetfdFlags::empty())?))
}

async fn serve(shared: Shared, listener: UnixListener, is_inherited: bool) {
    spawn_local(control::listen(Rc::clone(&shared), listener, is_inherited));
    spawn_local(shell::deadlines(Rc::clone(&shared)));
    shell::settle(&shared);
    // The service manager may not be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status("running")]);
    // A file that may not grow is a full disk, for which the log waits: with a handler the write fails, without one it kills.
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        eprintln!("pawangd: level=warn what=\"a limit on file sizes would end the daemon\" error={error:?}");
    }
    let ending = Rc::clone(&shared.borrow().ending);
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("pawangd: level=error what=\"signals cannot be handled\"");
        return;
    };
    tokio::select! {
        () = ending.notified() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shared.borrow_mut().is_ending = true;
    end::run(&shared).await;
}
