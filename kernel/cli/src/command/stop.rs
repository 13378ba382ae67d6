//! `pawang stop RUN`, and `pawang stop --daemon`.

use crate::client::Client;
use crate::command::Context;
use crate::command::run::show::ended_line;
use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use clap::Args;
use pawang_core::control::{RunRef, RunSummary};

/// Stop a run and everything it started; what it wrote stays.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct StopArgs {
    /// The run: its id, or a beginning that only one run has.
    #[arg(group = "which")]
    run: Option<String>,
    /// Stop the daemon itself, in order: every run is stopped first, nothing of the log is lost.
    #[arg(long, group = "which")]
    daemon: bool,
    /// The run as one JSON object.
    #[arg(long, conflicts_with = "daemon")]
    json: bool,
}

/// Runs it. Returns when nothing of the run is left.
///
/// # Errors
/// No such run, or a lost connection.
pub fn run(context: &Context, args: &StopArgs) -> Result<()> {
    let Some(run) = &args.run else { return stop_daemon(context) };
    let mut client = running(context)?;
    let summary: RunSummary = client.ask("cannot stop the run", "ctl.stop", &RunRef { run: run.clone() })?;
    if args.json {
        return context.ui.json(&summary);
    }
    context.ui.line(&ended_line(&summary, "", context.ui.out))
}

fn stop_daemon(context: &Context) -> Result<()> {
    let Some(mut client) = Client::connect_running(&context.place)? else {
        context.ui.talk("no daemon is running");
        return Ok(());
    };
    let () = client.ask("cannot stop the daemon", "ctl.shutdown", &())?;
    // It closes the connection as the last thing it does.
    while client.read().is_ok() {}
    context.ui.done("the daemon has stopped; it starts again when it is needed");
    Ok(())
}

/// Nothing is started only to be told that it has nothing to stop.
fn running(context: &Context) -> Result<Client> {
    Client::connect_running(&context.place)?.ok_or_else(|| {
        Trouble::new(Exit::NotFound, "no such run")
            .why("no daemon is running here, so no run is")
            .hint("pawang ps --all")
    })
}
