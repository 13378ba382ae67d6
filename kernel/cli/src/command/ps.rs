//! `pawang ps` and `pawang inspect RUN`: the runs there are, and everything about one.

use crate::clean::clean;
use crate::command::Context;
use crate::command::contract::show;
use crate::command::timeline::show::tone_of;
use crate::exit::Exit;
use crate::paint::Tone;
use crate::table::{Cell, Column, Table};
use crate::trouble::{Result, Trouble};
use crate::units;
use clap::Args;
use pawang_core::contract::Contract;
use pawang_core::control::{RunDetail, RunRef, RunSummary};
use pawang_protocol::Gas;

/// List the runs that are alive.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Ended ones too.
    #[arg(long, short)]
    all: bool,
    /// As a JSON list.
    #[arg(long)]
    json: bool,
}

/// Show what a run may do, what holds it in, and what it has used.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The run: its id, or a beginning that only one run has.
    run: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs `pawang ps`.
///
/// # Errors
/// A lost connection.
pub fn ps(context: &Context, args: &PsArgs) -> Result<()> {
    let mut client = context.connect()?;
    let mut runs: Vec<RunSummary> = client.ask("cannot list the runs", "ctl.ps", &())?;
    runs.retain(|run| args.all || run.outcome.is_none());
    if args.json {
        return context.ui.json(&runs);
    }
    context.ui.table(
        &table(&runs),
        if args.all { "no runs yet" } else { "no run is alive; ended ones: pawang ps --all" },
    )
}

fn table(runs: &[RunSummary]) -> Table {
    let mut table = Table::new(&[
        ("run", Column::Left),
        ("name", Column::Elastic),
        ("signed by", Column::Left),
        ("state", Column::Left),
        ("exit", Column::Right),
        ("for", Column::Right),
        ("calls", Column::Right),
        ("denied", Column::Right),
        ("gas", Column::Right),
        ("of", Column::Right),
    ]);
    for run in runs {
        let denied = Gas(run.denied).to_string();
        table.row([
            run.run.to_string().into(),
            run.name.clone().into(),
            run.issuer.clone().into(),
            state(run),
            run.exit.map(|exit| exit.to_string()).unwrap_or_default().into(),
            units::took_ms(run.took_ms).into(),
            Gas(run.calls).to_string().into(),
            if run.denied > 0 { Cell::toned(Tone::Bad, denied) } else { denied.into() },
            run.gas_spent.to_string().into(),
            run.gas_granted.to_string().into(),
        ]);
    }
    table
}

fn state(run: &RunSummary) -> Cell {
    match run.outcome {
        None => Cell::toned(Tone::Good, "alive"),
        Some(outcome) => Cell::toned(tone_of(outcome), outcome.to_string()),
    }
}

/// Runs `pawang inspect`.
///
/// # Errors
/// No such run, or a lost connection.
pub fn inspect(context: &Context, args: &InspectArgs) -> Result<()> {
    let mut client = context.connect()?;
    let detail: RunDetail =
        client.ask("cannot show the run", "ctl.inspect", &RunRef { run: args.run.clone() })?;
    if args.json {
        return context.ui.json(&detail);
    }
    let (ui, run) = (&context.ui, &detail.summary);
    let state = run.outcome.map_or_else(|| "alive".to_owned(), |outcome| outcome.to_string());
    ui.line(&format!(
        "{} {}  {}   {state}   contract {}…   signed by {}   for {}",
        ui.out.tone(Tone::Strong, "run"),
        run.run,
        clean(&run.name),
        run.contract.short(),
        clean(&run.issuer),
        units::took_ms(run.took_ms),
    ))?;
    ui.line(&format!(
        "gas {} spent, {} set aside, of {}   cpu {} ms   {}, {} denied   until {}",
        run.gas_spent,
        run.gas_reserved,
        run.gas_granted,
        Gas(detail.cpu_ms),
        units::count(run.calls, "call"),
        run.denied,
        units::utc(run.not_after),
    ))?;
    ui.line(&format!("\n{}", ui.out.tone(Tone::Strong, "rights")))?;
    let contract: Contract = serde_json::from_value(detail.contract.clone())
        .map_err(|e| Trouble::new(Exit::Failed, "the run's contract cannot be read").why(e))?;
    ui.print(&show::rights(&contract, ui.out))?;
    if detail.processes.is_empty() {
        return Ok(());
    }
    let walls: Vec<String> = detail.walls.iter().map(|wall| clean(wall)).collect();
    ui.line(&format!("\n{}\n  {}", ui.out.tone(Tone::Strong, "walls"), walls.join(" · ")))?;
    ui.line(&format!("\n{}", ui.out.tone(Tone::Strong, "processes")))?;
    let mut table = Table::new(&[("name", Column::Left), ("pid", Column::Right), ("walls", Column::Elastic)]);
    for process in &detail.processes {
        table.row([
            process.name.clone().into(),
            process.pid.to_string().into(),
            process.walls.join(" · ").into(),
        ]);
    }
    ui.table(&table, "")
}
