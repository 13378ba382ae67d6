//! From nothing to a kernel: lock, key, log replayed, tools loaded, launcher started.

use crate::clock::Clock;
use crate::kernel::{Kernel, Parts};
use crate::log::{Log, head_path, segments};
use crate::plugin::Plugins;
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::spawn::Spawner;
use nix::fcntl::{Flock, FlockArg};
use pawang_core::audit::{SignedHead, Tip, Verifier};
use pawang_core::key::Signer;
use pawang_core::method::Methods;
use pawang_core::record::Entry;
use pawang_core::relay::Relay;
use pawang_core::replay::{Replay, Restored};
use pawang_core::trust::TrustStore;
use pawang_protocol::Failure;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// Held for as long as the daemon lives: two daemons on one state directory would both spend its gas.
pub type Lock = Flock<File>;

/// Takes the state directory for this process.
pub fn lock(settings: &Settings) -> Result<Lock, Failure> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&settings.lock);
    let file =
        open.map_err(|error| Failure::new("state", format!("{}: {error}", settings.lock.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
        Failure::new(
            "already_running",
            format!("another pawangd uses {} ({error})", settings.state.display()),
        )
        .hint("pawang ps talks to it; pawangd --state DIR starts another")
    })
}

/// Builds the kernel and writes that it began.
pub fn kernel(settings: Settings) -> Result<Kernel, Failure> {
    let methods = Arc::new(Methods::builtin().map_err(|error| Failure::new("prices", error))?);
    let signer = Arc::new(own_key(&settings.key)?);
    let (restored, tip) = replayed(&settings, &signer)?;
    let trust = match &restored.trust {
        serde_json::Value::Null => TrustStore::empty(),
        json => {
            TrustStore::parse(&json.to_string(), &methods).map_err(|error| broken_log(&error.to_string()))?
        }
    };
    let plugins = Plugins::load(&settings.libexec.join("plugins"), &methods)?;
    let spawner = Spawner::start(&settings.libexec.join("pawang-launcher"))?;
    let secrets = Secrets::new(&settings.vault, settings.vault_key.as_deref())?;
    clear_runs(&settings.runs);
    let mut clock = Clock::new(tip.t);
    let now_s = clock.now().unix_s;
    let Restored { mut accounts, revoked, lost, next_call, .. } = restored;
    // An expired contract is refused whatever its account says, and the clock does not run back (f60).
    accounts.retain(|_, account| account.not_after() > now_s);
    let mut relay = Relay::new(Arc::clone(&methods), accounts, revoked, next_call);
    relay.set_secrets(secrets.names());
    let unopened = |error: std::io::Error| Failure::new("log_unwritable", error.to_string());
    let log = Log::open(&settings.audit, tip, Arc::clone(&signer)).map_err(unopened)?;
    let mut kernel =
        Kernel::new(Parts { relay, log, clock, methods, trust, signer, secrets, settings, spawner, plugins });
    let snapshot = kernel.snapshot();
    kernel.record(snapshot);
    for run in &lost {
        eprintln!("pawangd: level=warn what=\"a run was lost with the last daemon\" run={run}");
    }
    kernel.record(Entry::Boot { version: env!("CARGO_PKG_VERSION").to_owned(), lost });
    kernel.log.write().map_err(unopened)?;
    Ok(kernel)
}

fn broken_log(what: &str) -> Failure {
    Failure::new("log_broken", format!("the log cannot be trusted: {what}"))
        .hint("pawang audit verify names the record; move the state directory away to start anew, and ask who changed it")
}

/// Reads the last segment. A torn last line (the machine lost power in the middle of a write) is cut off; anything else that
/// does not verify stops the start: going on would make what was spent free.
fn replayed(settings: &Settings, signer: &Signer) -> Result<(Restored, Tip), Failure> {
    let unreadable = |error: std::io::Error| Failure::new("log_unreadable", error.to_string());
    let segments = segments(&settings.audit).map_err(unreadable)?;
    let head = std::fs::read(head_path(&settings.audit)).ok();
    let head: Option<SignedHead> = head
        .map(|text| serde_json::from_slice(&text))
        .transpose()
        .map_err(|error| broken_log(&format!("head.json is damaged ({error})")))?;
    let mut replay = Replay::default();
    let mut verifier = Verifier::new(signer.id(), head);
    // A segment without one whole record was being opened when power went: the one before it holds everything.
    let mut last = None;
    for path in segments.iter().rev() {
        if cut_torn_line(path).map_err(unreadable)? {
            last = Some(path);
            break;
        }
        std::fs::remove_file(path).map_err(unreadable)?;
    }
    let Some(path) = last else {
        verifier.finish().map_err(|broken| broken_log(&broken.to_string()))?;
        return Ok((replay.finish(), Tip::START));
    };
    for line in BufReader::new(File::open(path).map_err(unreadable)?).split(b'\n') {
        let record =
            verifier.line(&line.map_err(unreadable)?).map_err(|broken| broken_log(&broken.to_string()))?;
        replay.apply(&record).map_err(|impossible| broken_log(&impossible.to_string()))?;
    }
    let (tip, _) = verifier.finish().map_err(|broken| broken_log(&broken.to_string()))?;
    Ok((replay.finish(), tip))
}

/// Cuts what follows the last line end. Whether anything whole is left.
fn cut_torn_line(path: &Path) -> std::io::Result<bool> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut whole, mut line) = (0u64, Vec::new());
    loop {
        line.clear();
        let count = u64::try_from(file.read_until(b'\n', &mut line)?).unwrap_or(0);
        if count == 0 {
            return Ok(whole > 0);
        }
        if !line.ends_with(b"\n") {
            eprintln!("pawangd: level=warn what=\"a torn last line was cut off the log\" bytes={count}");
            OpenOptions::new().write(true).open(path)?.set_len(whole)?;
            return Ok(whole > 0);
        }
        whole = whole.saturating_add(count);
    }
}

/// The daemon's own key, made at the first start.
fn own_key(path: &Path) -> Result<Signer, Failure> {
    let wrong = |what: String| Failure::new("daemon_key", format!("{}: {what}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) => Signer::from_text(&text).map_err(|error| wrong(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|error| wrong(error.to_string()))?;
            let signer = Signer::from_seed(seed);
            let mut options = OpenOptions::new();
            let write = || -> std::io::Result<()> {
                let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(signer.to_text().as_bytes())?;
                file.sync_all()
            };
            let mut write = write;
            write().map_err(|error| wrong(error.to_string()))?;
            Ok(signer)
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Folders of runs that the last daemon left behind.
fn clear_runs(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            eprintln!(
                "pawangd: level=warn what=\"a folder of an old run is left\" path={:?} error={error:?}",
                entry.path()
            );
        }
    }
}
