//! Starts the user's own daemon when it is asked for and does not run.
//!
//! Commands that try at once take turns, and whoever comes second finds a daemon. (That there is never more than one
//! is the daemon's own lock, not this one.) Ready means connected; nothing is read from the daemon's output but, when it did not come up, the end
//! of its log. The system's service is never started from here.

use super::{is_absent, open, unreachable};
use crate::clean::clean;
use crate::exit::Exit;
use crate::places::Place;
use crate::trouble::{Result, Trouble};
use interprocess::local_socket::Stream;
use nix::fcntl::{Flock, FlockArg};
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to come up: it reads its log, whose live part is bounded.
const READY_S: u64 = 20;
/// Between two tries to connect.
const RETRY_MS: u64 = 10;
/// What the command calls itself again as, to leave the terminal's session.
pub const DETACH: &str = "__start-daemon";
/// Lines of the log shown when it did not come up.
const TAIL_LINES: usize = 5;

/// A connection to the daemon at `place`, started where that is allowed.
pub(super) fn stream(place: &Place) -> Result<Stream> {
    let socket = place.socket();
    match (open(&socket), place) {
        (Ok(stream), _) => Ok(stream),
        (Err(e), Place::Own { state, .. }) if is_absent(&e) => start(state, &socket),
        (Err(e), _) => Err(unreachable(place, &e)),
    }
}

/// Becomes the daemon: own session, no terminal, nothing open but its log. Returns only where that fails.
///
/// # Errors
/// Always one: why the daemon could not be executed.
pub fn become_daemon(daemon: &Path, state: &Path) -> Trouble {
    if let Err(e) = nix::unistd::setsid() {
        return Trouble::new(Exit::Failed, "cannot start a session of its own for the daemon").why(e);
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let error = Command::new(daemon).arg("--state").arg(state).current_dir("/").exec();
    Trouble::file("execute", daemon, &error)
}

/// Makes the state directory, for this user alone; an existing one must be.
///
/// # Errors
/// Where it cannot be made, or others may enter it.
pub fn make_state_dir(state: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(|e| Trouble::file("create", state, &e))?;
    let meta = fs::symlink_metadata(state).map_err(|e| Trouble::file("look at", state, &e))?;
    let me = nix::unistd::geteuid().as_raw();
    if meta.is_dir() && meta.uid() == me && meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Trouble::new(Exit::Refused, format!("{} is not a state directory of yours alone", state.display()))
        .why("the kernel's log, vault and socket lie there; others must not enter it, nor may it be a link")
        .hint(format!("chmod 700 {}", state.display())))
}

fn start(state: &Path, socket: &Path) -> Result<Stream> {
    make_state_dir(state)?;
    let _turn = take_turn(&state.join("start.lock"))?;
    if let Ok(stream) = open(socket) {
        return Ok(stream);
    }
    let daemon = find_daemon()?;
    let log = state.join("pawangd.log");
    let mut child = spawn(&daemon, state, &log)?;
    let deadline = Instant::now() + Duration::from_secs(READY_S);
    loop {
        let error = match open(socket) {
            Ok(stream) => return Ok(stream),
            Err(e) if is_absent(&e) => e,
            Err(e) => return Err(not_up(&log, &e)),
        };
        if has_ended(&mut child) || Instant::now() >= deadline {
            // It may have found another that was started by other means.
            return open(socket).map_err(|_| not_up(&log, &error));
        }
        std::thread::sleep(Duration::from_millis(RETRY_MS));
    }
}

/// Waits for whoever starts a daemon here already; they have [`READY_S`].
fn take_turn(path: &Path) -> Result<Flock<File>> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let lock = lock.map_err(|e| Trouble::file("write", path, &e))?;
    Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| Trouble::file("lock", path, &e.into()))
}

/// By way of this very program, because leaving the session must happen between fork and exec.
fn spawn(daemon: &Path, state: &Path, log: &Path) -> Result<Child> {
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(|e| Trouble::file("write", log, &e))?;
    let err = out.try_clone().map_err(|e| Trouble::file("write", log, &e))?;
    let me = env::current_exe().map_err(|e| Trouble::new(Exit::Failed, "cannot find this program").why(e))?;
    Command::new(me)
        .arg(DETACH)
        .arg(daemon)
        .arg(state)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|e| Trouble::new(Exit::Unreachable, "cannot start the daemon").why(e))
}

/// `pawangd` beside this program, else on PATH.
///
/// # Errors
/// Where it is in neither place.
pub fn find_daemon() -> Result<PathBuf> {
    let me = env::current_exe().and_then(fs::canonicalize);
    let beside = me.ok().and_then(|me| me.parent().map(|dir| dir.join("pawangd")));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).map(|dir| dir.join("pawangd")).collect();
    beside.into_iter().chain(on_path).find(|path| path.is_absolute() && path.is_file()).ok_or_else(|| {
        Trouble::new(Exit::Unreachable, "cannot start the daemon")
            .why("pawangd is neither beside pawang nor on PATH")
            .hint("install both from the same release, side by side")
    })
}

fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

fn not_up(log: &Path, error: &io::Error) -> Trouble {
    let tail = tail(log);
    let why = if tail.is_empty() { error.to_string() } else { format!("its log ends:\n{tail}") };
    Trouble::new(Exit::Unreachable, "the daemon did not come up")
        .why(why)
        .hint(format!("read {}, and see `pawang doctor`", log.display()))
}

/// The last lines of the log, cleaned.
fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(clean).collect();
    lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
}
