//! `pawang audit`: checks the log's files themselves, without trusting the daemon that wrote them, and exports them.
//!
//! The check is `pawang_core::audit::Verifier`; here are only files, and what to say. It needs no daemon: give it a
//! directory of segments and the kernel's public key.

use crate::client::Client;
use crate::command::{Context, info, read_file};
use crate::exit::Exit;
use crate::paint::Tone;
use crate::places::Place;
use crate::trouble::{Result, Trouble};
use crate::units;
use clap::{Args, Subcommand};
use pawang_core::audit::{Break, Broken, LINE_MAX, SignedHead, Tip, Verifier};
use pawang_core::key::KeyId;
use pawang_core::record::Record;
use pawang_core::run::RunId;
use pawang_protocol::Gas;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that the log is whole: nothing changed, put in, taken out or cut off.
    ///
    /// Reads the files themselves. Give --key where you have the kernel's public key from elsewhere: a log checked
    /// against a key that came with it only proves that it is of one piece.
    Verify(VerifyArgs),
    /// Print the log, or the records of one run, as JSON lines exactly as they stand.
    Export(ExportArgs),
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Directory of the segments, `head.json` beside them [else: audit/ in the state directory]
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// The kernel's public key, ed25519:… [else: asked of the daemon, if it runs; else as the log has it]
    #[arg(long)]
    key: Option<KeyId>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only the records of this run; its whole id.
    #[arg(long)]
    run: Option<RunId>,
    /// As for verify.
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

/// What a whole log is.
#[derive(Debug, Serialize)]
struct Whole {
    records: u64,
    segments: usize,
    heads: u64,
    last: Tip,
    key: KeyId,
    /// Where the key came from: `given`, `daemon`, `log`.
    key_from: &'static str,
    /// Whether a head kept beside the log vouches for its tail.
    tail_signed_to: Option<u64>,
}

/// Where and why it is not whole.
struct Fault {
    file: PathBuf,
    line: u64,
    fault: Break,
}

/// Largest log that is checked by the way, in bytes.
const QUICK_MAX: u64 = 64 << 20;
/// How often, and how long apart, the rest of a line that is being written is waited for.
const LINE_TRIES: u32 = 100;
const LINE_RETRY_MS: u64 = 1;

/// Runs it.
///
/// # Errors
/// A log that is not whole, or cannot be read.
pub fn run(context: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Verify(args) => verify(context, args),
        Command::Export(args) => export(context, args),
    }
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<()> {
    let daemon = match &args.log {
        Some(_) => None,
        None => Client::connect_running(&context.place)?.map(|mut client| info(&mut client)).transpose()?,
    };
    let dir = match &args.log {
        Some(dir) => dir.clone(),
        None => log_dir(&context.place, daemon.as_ref().map(|info| info.state.as_str()))?,
    };
    let head = read_head(&dir)?;
    let from_daemon = daemon.as_ref().and_then(|info| info.key.parse().ok());
    let (key, key_from) = match (args.key, from_daemon, &head) {
        (Some(key), ..) => (key, "given"),
        (None, Some(key), _) => (key, "daemon"),
        (None, None, Some(head)) => (head.key, "log"),
        (None, None, None) => return Err(no_key(&dir)),
    };
    let segments = segments(&dir)?;
    let tail_signed_to = head.as_ref().map(|head| head.n);
    let checked = check(&segments, Verifier::new(key, head), |_, _| Ok(()))?;
    let (last, heads, records) = checked.map_err(|fault| broken(&fault))?;
    let whole = Whole { records, segments: segments.len(), heads, last, key, key_from, tail_signed_to };
    if args.json {
        return context.ui.json(&whole);
    }
    tell(context, &whole)
}

fn tell(context: &Context, whole: &Whole) -> Result<()> {
    let ui = &context.ui;
    ui.line(&format!(
        "{} the log is whole: {} in {}, {}",
        ui.out.tone(Tone::Good, "✓"),
        units::count(whole.records, "record"),
        units::count(u64::try_from(whole.segments).unwrap_or(u64::MAX), "segment"),
        units::count(whole.heads, "signed head"),
    ))?;
    ui.line(&format!("  last    record {} at {}", Gas(whole.last.n), units::utc(whole.last.t / 1_000)))?;
    ui.line(&format!("  digest  {}", whole.last.digest))?;
    ui.line(&format!("  key     {}", whole.key))?;
    if whole.key_from == "log" {
        ui.warn("the key came with the log: this proves that it is of one piece, not whose it is (--key KEY does)");
    }
    if whole.tail_signed_to.is_none() {
        ui.warn("no head.json beside the log: records cut off its end would not show");
    }
    Ok(())
}

fn export(context: &Context, args: &ExportArgs) -> Result<()> {
    let dir = match &args.log {
        Some(dir) => dir.clone(),
        None => log_dir(&context.place, None)?,
    };
    for path in segments(&dir)? {
        let mut lines = Lines::open(&path)?;
        while let Some((line, _)) = lines.next()? {
            let is_wanted = match args.run {
                None => true,
                Some(run) => serde_json::from_slice::<Record>(line).is_ok_and(|r| r.entry.run() == Some(run)),
            };
            if is_wanted {
                let mut line = line.to_vec();
                line.push(b'\n');
                crate::ui::write_out(&line)?;
            }
        }
    }
    Ok(())
}

/// Whether the log of the user's own daemon is whole; `None` where it is not ours to read, or too long to check by the way.
#[must_use]
pub fn quick_check(context: &Context) -> Option<std::result::Result<(), String>> {
    let dir = log_dir(&context.place, None).ok()?;
    let head = read_head(&dir).ok()??;
    let segments = segments(&dir).ok()?;
    let bytes: u64 = segments.iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.len()).sum();
    if bytes > QUICK_MAX {
        return None;
    }
    match check(&segments, Verifier::new(head.key, Some(head)), |_, _| Ok(())).ok()? {
        Ok(_) => Some(Ok(())),
        Err(fault) => Some(Err(fault.fault.to_string())),
    }
}

type Checked = std::result::Result<(Tip, u64, u64), Fault>;

/// Every line of every segment, in order; `take` sees each good record.
fn check(
    segments: &[PathBuf],
    mut verifier: Verifier,
    mut take: impl FnMut(&Record, &[u8]) -> Result<()>,
) -> Result<Checked> {
    let mut records: u64 = 0;
    let mut at = (PathBuf::new(), 0);
    let mut n = 0;
    for path in segments {
        let mut lines = Lines::open(path)?;
        at = (path.clone(), 0);
        while let Some((line, is_whole)) = lines.next()? {
            at.1 = u64::saturating_add(at.1, 1);
            let fault = |fault| Fault { file: at.0.clone(), line: at.1, fault };
            if !is_whole {
                return Ok(Err(fault(Break { n: u64::saturating_add(n, 1), what: Broken::Torn })));
            }
            match verifier.line(line) {
                Ok(record) => {
                    n = record.n;
                    take(&record, line)?;
                }
                Err(e) => return Ok(Err(fault(e))),
            }
            records = records.saturating_add(1);
        }
    }
    Ok(match verifier.finish() {
        Ok((tip, heads)) => Ok((tip, heads, records)),
        Err(fault) => Err(Fault { file: at.0, line: at.1, fault }),
    })
}

/// The lines of a segment that may be growing.
struct Lines {
    path: PathBuf,
    source: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Trouble::file("read", path, &e))?;
        Ok(Self {
            path: path.to_path_buf(),
            source: BufReader::with_capacity(1 << 18, file),
            line: Vec::new(),
        })
    }

    /// The next line without its end, and whether it had one. A line that is being written is waited for, briefly.
    fn next(&mut self) -> Result<Option<(&[u8], bool)>> {
        self.line.clear();
        let max = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        for attempt in 0..LINE_TRIES {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(LINE_RETRY_MS));
            }
            let read = self.source.by_ref().take(max).read_until(b'\n', &mut self.line);
            read.map_err(|e| Trouble::file("read", &self.path, &e))?;
            match self.line.last() {
                None => return Ok(None),
                Some(b'\n') => {
                    self.line.pop();
                    return Ok(Some((&self.line, true)));
                }
                Some(_) if self.line.len() >= LINE_MAX => break,
                Some(_) => {}
            }
        }
        Ok(Some((&self.line, false)))
    }
}

/// The segments, oldest first: their names are in the order they were written.
fn segments(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|e| Trouble::file("read the log in", dir, &e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Trouble::file("read the log in", dir, &e))?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Trouble::new(Exit::NotFound, format!("no log in {}", dir.display()))
            .why("there is no segment (*.jsonl)")
            .hint("name the directory: --log DIR"));
    }
    Ok(paths)
}

fn read_head(dir: &Path) -> Result<Option<SignedHead>> {
    let path = dir.join("head.json");
    match fs::exists(&path) {
        Ok(false) => return Ok(None),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Trouble::file("read", &path, &e)),
        _ => {}
    }
    let bytes = read_file(&path, 1 << 16)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        Trouble::new(Exit::LogBroken, format!("{} is not a signed head", path.display()))
            .why(e)
            .hint("it was changed, or damaged; without it the log can be checked, but not for a cut tail")
    })
}

fn log_dir(place: &Place, daemon_state: Option<&str>) -> Result<PathBuf> {
    match (place, daemon_state) {
        (Place::Own { state, .. }, _) => Ok(state.join("audit")),
        (Place::System, Some(state)) => Ok(Path::new(state).join("audit")),
        (Place::System, None) => {
            Err(Trouble::new(Exit::NotFound, "where the service keeps its log is not known")
                .hint("name it: --log DIR"))
        }
    }
}

fn no_key(dir: &Path) -> Trouble {
    Trouble::new(Exit::NotFound, "no key to check the log against")
        .why(format!("no daemon runs, and {} holds no head.json", dir.display()))
        .hint("give the kernel's public key: --key ed25519:…")
}

fn broken(fault: &Fault) -> Trouble {
    let hint = match fault.fault.what {
        Broken::Torn => {
            "start the daemon: it sets an interrupted line aside and says so in the log".to_owned()
        }
        _ => format!(
            "records before {} are whole. Keep these files as they are, and compare with a copy",
            fault.fault.n
        ),
    };
    Trouble::new(
        Exit::LogBroken,
        format!("the log is broken at {} line {}", fault.file.display(), fault.line),
    )
    .why(&fault.fault)
    .hint(hint)
}
