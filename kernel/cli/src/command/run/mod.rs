//! `pawang run`: hands a contract and a program to the daemon, and stays with the run until nothing of it is left.
//!
//! The program's output is our output, byte for byte where it is piped. Ctrl-C stops the run and its whole tree, and
//! waits until it is gone; a second Ctrl-C leaves at once, and the daemon ends what was not told to be detached.

mod input;
pub mod output;
pub mod show;
mod signals;

use crate::args::KeyOption;
use crate::client::Client;
use crate::command::contract::prepare::{self, Prepared};
use crate::command::{Context, info};
use crate::exit::Exit;
use crate::paint::Paint;
use crate::trouble::{Result, Trouble};
use clap::Args;
use input::Input;
use output::Output;
use pawang_core::control::{Info, RunEvent, RunRequest, RunSummary, VaultState};
use pawang_core::run::RunId;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Run a program under a contract.
///
/// The contract is a signed one (see `pawang contract sign`), or its source, which is then signed on the spot with your
/// own key. The program is looked up on PATH; what is executed is the very file that was hashed into the contract.
///
///   pawang run weather.toml -- python3 report.py --city Berlin
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The contract: a signed envelope (.json), or its source (.toml).
    contract: PathBuf,
    /// Let the run go on by itself; prints its id.
    #[arg(long, short)]
    detach: bool,
    /// Everything that happens as JSON lines on stdout, the program's output too.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    key: KeyOption,
    /// The program and its arguments. May be left out where the contract names its program.
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

/// Most notices shown while a run goes on; a program that does nothing but ask must not drown its own output.
const NOTICES_MAX: u32 = 100;

/// Runs it. The code is the program's own status where it ended by itself.
///
/// # Errors
/// A contract that is refused, a program that is not there, or a lost connection.
pub fn run(context: &Context, args: &RunArgs) -> Result<u8> {
    let mut client = context.connect()?;
    let daemon = info(&mut client)?;
    let prepared =
        prepare::prepare(context, &daemon, &args.contract, &args.program, args.key.key.as_deref())?;
    warn_of_locked_vault(context, &daemon, &prepared);
    let request = RunRequest {
        envelope: prepared.envelope,
        executable: prepared.executable,
        script: prepared.script,
        files: prepared.files,
        args: prepared.args,
        detach: args.detach,
    };
    Follower::new(context, args, daemon.now).follow(&mut client, &request)
}

fn warn_of_locked_vault(context: &Context, daemon: &Info, prepared: &Prepared) {
    if daemon.vault != VaultState::Open && !prepared.secrets.is_empty() {
        let names = prepared.secrets.join(", ");
        context.ui.warn(&format!(
            "the vault is not open: requests that need {names} will be denied (pawang secret unlock)"
        ));
    }
}

/// Stays with one run.
struct Follower<'a> {
    context: &'a Context,
    is_json: bool,
    is_detached: bool,
    /// The daemon's time when it was asked, unix seconds.
    now_s: u64,
    /// Known as soon as the run has begun; the signal thread reads it.
    run: Arc<OnceLock<RunId>>,
    output: Output,
    notices: u32,
    paint: Paint,
}

impl<'a> Follower<'a> {
    fn new(context: &'a Context, args: &RunArgs, now_s: u64) -> Self {
        Self {
            context,
            is_json: args.json,
            is_detached: args.detach,
            now_s,
            run: Arc::new(OnceLock::new()),
            output: Output::new(),
            notices: 0,
            paint: context.ui.err,
        }
    }

    fn follow(mut self, client: &mut Client, request: &RunRequest) -> Result<u8> {
        signals::watch(client.voice(), Arc::clone(&self.run))?;
        let call = client.voice().call("ctl.run", request, &[])?;
        let mut input = Input::default();
        loop {
            let reply = client.read()?;
            if reply.id != call {
                input.answered(reply.id);
                continue;
            }
            let reply = reply.ok("the run was not started")?;
            let event: RunEvent = reply.decode()?;
            if self.is_json {
                self.tell_json(&event, &reply.data)?;
            }
            match event {
                RunEvent::Started { run, walls } => {
                    let _ = self.run.set(run.run);
                    if self.is_detached {
                        return self.leave(&run);
                    }
                    if !self.is_json {
                        self.context.ui.talk(&show::started(&run, &walls, self.now_s, self.paint));
                    }
                    input = Input::start(client.voice(), run.run);
                }
                RunEvent::Ended { run, detail } => return self.end(&run, &detail),
                RunEvent::Output { fd } if !self.is_json => self.output.write(fd, &reply.data)?,
                RunEvent::Notice { record } if !self.is_json => self.tell_notice(&record),
                RunEvent::Output { .. } | RunEvent::Notice { .. } => {}
            }
            if !reply.more {
                return Err(Trouble::new(Exit::Failed, "the daemon stopped telling about the run")
                    .hint("pawang ps --all"));
            }
        }
    }

    fn tell_json(&self, event: &RunEvent, data: &[u8]) -> Result<()> {
        match event {
            RunEvent::Output { fd } => self.context.ui.json(&output::as_json(*fd, data)),
            _ => self.context.ui.json(event),
        }
    }

    fn tell_notice(&mut self, record: &pawang_core::record::Record) {
        let Some(run) = self.run.get() else { return };
        let Some(line) = show::notice(*run, record, self.paint) else { return };
        self.notices = self.notices.saturating_add(1);
        if self.notices > NOTICES_MAX {
            return;
        }
        self.output.break_line();
        self.context.ui.talk(&line);
        if self.notices == NOTICES_MAX {
            self.context
                .ui
                .talk(&format!("  further notices are in the timeline only: pawang timeline {run}"));
        }
    }

    /// The run goes on without us.
    fn leave(&self, run: &RunSummary) -> Result<u8> {
        if !self.is_json {
            self.context.ui.line(&run.run.to_string())?;
            self.context
                .ui
                .talk(&format!("  running by itself: pawang logs --follow {0}, pawang stop {0}", run.run));
        }
        Ok(Exit::Ok.code())
    }

    fn end(&mut self, run: &RunSummary, detail: &str) -> Result<u8> {
        self.output.finish()?;
        if !self.is_json {
            self.output.break_line();
            self.context.ui.talk(&show::ended_line(run, detail, self.paint));
        }
        let outcome = run.outcome.unwrap_or(pawang_core::run::Outcome::Failed);
        Ok(Exit::of_run(outcome, run.exit))
    }
}
