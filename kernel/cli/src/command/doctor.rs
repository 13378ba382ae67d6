//! `pawang doctor`: what this machine and this installation give, and what is lost where something is missing.
//!
//! It starts nothing but the launcher, whose probes it asks for; a daemon is only looked for.

use crate::args::KeyOption;
use crate::client::Client;
use crate::client::start::find_daemon;
use crate::command::trust::{fetch, methods};
use crate::command::{Context, info};
use crate::exit::Exit;
use crate::keyfile;
use crate::paint::Tone;
use crate::table::{Cell, Column, Table};
use crate::trouble::{Result, Trouble};
use clap::Args;
use pawang_core::control::VaultState;
use pawang_sandbox::probe_machine;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Say what this machine and this installation give, and what is lost where something is missing.
///
/// Ends with 78 where a wall is missing that no run may do without.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    key: KeyOption,
}

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// Works, and something is lost.
    Weaker,
    /// Nothing runs without it.
    Missing,
}

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    part: &'static str,
    state: State,
    name: String,
    found: String,
    /// What is lost, or what to do.
    lost: String,
}

/// Runs it.
///
/// # Errors
/// Only where stdout cannot be written: what is wrong elsewhere is what it tells.
pub fn run(context: &Context, args: &DoctorArgs) -> Result<Exit> {
    let mut rows = machine();
    rows.extend(installation(context, args));
    let exit = match rows.iter().any(|row| row.state == State::Missing && row.part == "machine") {
        true => Exit::BelowFloor,
        false if rows.iter().any(|row| row.state == State::Missing) => Exit::Failed,
        false => Exit::Ok,
    };
    if args.json {
        context.ui.json(&serde_json::json!({"findings": rows, "exit": exit.code()}))?;
        return Ok(exit);
    }
    for part in ["machine", "installation"] {
        context.ui.line(&context.ui.out.tone(Tone::Strong, part))?;
        context.ui.table(&table(rows.iter().filter(|row| row.part == part)), "")?;
    }
    context.ui.line(&verdict(context, &rows))?;
    Ok(exit)
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> Table {
    let mut table =
        Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Left), ("", Column::Elastic)]);
    for row in rows {
        let (tone, sign) = match row.state {
            State::Good => (Tone::Good, "✓"),
            State::Weaker => (Tone::Warn, "!"),
            State::Missing => (Tone::Bad, "✗"),
        };
        let lost = if row.lost.is_empty() { String::new() } else { format!("→ {}", row.lost) };
        table.row([Cell::toned(tone, sign), row.name.clone().into(), row.found.clone().into(), lost.into()]);
    }
    table
}

fn verdict(context: &Context, rows: &[Row]) -> String {
    let worst = |state| rows.iter().filter(|row| row.state == state).count();
    let (tone, text) = match (worst(State::Missing), worst(State::Weaker)) {
        (0, 0) => (Tone::Good, "Full strength.".to_owned()),
        (0, n) => {
            (Tone::Good, format!("Nothing is weaker than the floor; {n} of the above could be stronger."))
        }
        (n, _) => (Tone::Bad, format!("Not ready: {n} of the above must be mended first.")),
    };
    context.ui.out.tone(tone, &text)
}

fn machine() -> Vec<Row> {
    let row = |state, name: &str, found: String, lost: String| Row {
        part: "machine",
        state,
        name: name.to_owned(),
        found,
        lost,
    };
    let launcher = launcher();
    if !launcher.is_file() {
        let found = format!("{} is not there", launcher.display());
        return vec![row(
            State::Missing,
            "launcher",
            found,
            "nothing can be confined; install the whole release".into(),
        )];
    }
    match probe_machine(&launcher) {
        Ok(machine) => machine
            .findings
            .into_iter()
            .map(|finding| {
                let state = match (finding.good, finding.required) {
                    (true, _) => State::Good,
                    (false, true) => State::Missing,
                    (false, false) => State::Weaker,
                };
                row(state, finding.name, finding.found, finding.lost)
            })
            .collect(),
        Err(e) => vec![row(State::Missing, "launcher", e.to_string(), "nothing can be confined".into())],
    }
}

fn installation(context: &Context, args: &DoctorArgs) -> Vec<Row> {
    let mut rows = vec![key(context, args)];
    match Client::connect_running(&context.place) {
        Ok(Some(mut client)) => rows.extend(daemon(&mut client)),
        Ok(None) => rows.push(match find_daemon() {
            Ok(path) => row(
                State::Good,
                "daemon",
                format!("not running; {} is started when needed", path.display()),
                "",
            ),
            Err(trouble) => row(State::Missing, "daemon", trouble.why, &trouble.hint),
        }),
        Err(trouble) => rows.push(row(State::Missing, "daemon", trouble.what, &trouble.hint)),
    }
    rows
}

fn row(state: State, name: &str, found: String, lost: &str) -> Row {
    Row { part: "installation", state, name: name.to_owned(), found, lost: lost.to_owned() }
}

fn key(context: &Context, args: &DoctorArgs) -> Row {
    let loaded = context.place.key(args.key.key.as_deref()).and_then(|path| keyfile::load(&path));
    match loaded {
        Ok(signer) => row(State::Good, "your key", signer.id().to_string(), ""),
        Err(Trouble { exit: Exit::NotFound, hint, .. }) => {
            row(State::Weaker, "your key", "none yet".into(), &hint)
        }
        Err(trouble) => row(State::Missing, "your key", trouble.why, &trouble.hint),
    }
}

fn daemon(client: &mut Client) -> Vec<Row> {
    let daemon = match info(client) {
        Ok(daemon) => daemon,
        Err(trouble) => return vec![row(State::Missing, "daemon", trouble.what, &trouble.hint)],
    };
    let own = env!("CARGO_PKG_VERSION");
    let same = daemon.version == own;
    let version = if same { "" } else { "of another release than this command: pawang stop --daemon" };
    let found = format!(
        "{} (pid {}, {} alive)",
        daemon.version,
        daemon.pid,
        crate::units::count(u64::from(daemon.runs), "run")
    );
    let mut rows = vec![row(if same { State::Good } else { State::Weaker }, "daemon", found, version)];
    rows.push(match daemon.log.as_str() {
        "ok" => row(State::Good, "audit log", "written".into(), ""),
        why => {
            row(State::Missing, "audit log", why.to_owned(), "nothing new is started until it can be written")
        }
    });
    let (state, vault, lost) = match daemon.vault {
        VaultState::Open => (State::Good, "open", ""),
        VaultState::Locked => {
            (State::Weaker, "locked", "requests that need a secret are denied: pawang secret unlock")
        }
        VaultState::Absent => (State::Good, "empty", ""),
    };
    rows.push(row(state, "vault", vault.into(), lost));
    let trusted = methods().and_then(|methods| fetch(client, &methods)).map(|store| store.entries().len());
    rows.push(match trusted {
        Ok(0) => row(State::Weaker, "trust", "nobody".into(), "no contract is accepted: pawang key new"),
        Ok(n) => {
            row(State::Good, "trust", crate::units::count(u64::try_from(n).unwrap_or(u64::MAX), "key"), "")
        }
        Err(trouble) => row(State::Missing, "trust", trouble.what, &trouble.hint),
    });
    let has_sdk = Path::new(&daemon.python_sdk).join("pawang").is_dir();
    rows.push(match has_sdk {
        true => row(State::Good, "python sdk", daemon.python_sdk, ""),
        false => {
            row(State::Weaker, "python sdk", "not there".into(), "Python programs cannot `import pawang`")
        }
    });
    rows
}

/// Where the release puts it, seen from this program: `../libexec/pawang/`.
fn launcher() -> PathBuf {
    let me = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    let prefix = me.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    prefix.join("libexec/pawang/pawang-launcher")
}
