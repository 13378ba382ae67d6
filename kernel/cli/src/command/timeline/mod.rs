//! `pawang timeline RUN`: everything a run did, as a table; and `pawang gas RUN`: where its gas went.

pub mod rows;
pub mod show;

use crate::client::Client;
use crate::command::Context;
use crate::paint::Tone;
use crate::table::{Cell, Column, Table};
use crate::trouble::Result;
use crate::units;
use clap::Args;
use pawang_core::control::{RunDetail, RunRef, RunSummary, TimelineRequest};
use pawang_core::record::Record;
use pawang_protocol::Gas;
use rows::Timeline;
use serde_json::json;

/// Show everything a run did: each call, the verdict, the gas, the time.
///
/// One row per call, in the order they were asked. Gas of a call made inside another call stands in brackets: it is
/// part of the outer one's. The last line tells the head of the audit log and whether the log is whole.
#[derive(Debug, Args)]
pub struct TimelineArgs {
    /// The run: its id, or a beginning that only one run has.
    run: String,
    /// Go on showing rows as calls end, until the run does.
    #[arg(long, short)]
    follow: bool,
    /// The records themselves, one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Show where a run's gas went.
#[derive(Debug, Args)]
pub struct GasArgs {
    /// The run: its id, or a beginning that only one run has.
    run: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs `pawang timeline`.
///
/// # Errors
/// No such run, or a lost connection.
pub fn timeline(context: &Context, args: &TimelineArgs) -> Result<()> {
    let mut client = context.connect()?;
    let request = TimelineRequest { run: args.run.clone(), follow: args.follow };
    if args.json {
        return each(&mut client, &request, |record| context.ui.json(&record));
    }
    let width = crate::paint::width();
    let mut timeline = Timeline::default();
    if args.follow {
        context.ui.print(&show::heading(context.ui.out, width))?;
    }
    each(&mut client, &request, |record| {
        let start = timeline.start_ms;
        match timeline.push(record) {
            Some(row) if args.follow => context.ui.print(&show::line(row, start, context.ui.out, width)),
            _ => Ok(()),
        }
    })?;
    if !args.follow {
        context.ui.print(&show::table(&timeline, context.ui.out, width))?;
    }
    context.ui.print(&show::footer(&timeline, context.ui.out))?;
    context.ui.print(&show::chain(context, &mut client, timeline.records))
}

/// Runs `pawang gas`.
///
/// # Errors
/// No such run, or a lost connection.
pub fn gas(context: &Context, args: &GasArgs) -> Result<()> {
    let mut client = context.connect()?;
    let mut timeline = Timeline::default();
    each(&mut client, &TimelineRequest { run: args.run.clone(), follow: false }, |record| {
        timeline.push(record);
        Ok(())
    })?;
    // A run that ended long ago is only in the log; its account is then told without what is set aside.
    let what = RunRef { run: args.run.clone() };
    let run = client
        .ask::<RunDetail>("cannot show the run", "ctl.inspect", &what)
        .ok()
        .map(|detail| detail.summary);
    let spent = timeline.gas_by_method();
    if args.json {
        let by = spent.iter().map(|(method, calls, gas)| json!({"for": method, "calls": calls, "gas": gas}));
        return context.ui.json(&json!({
            "run": timeline.run, "granted": run.as_ref().map(|run| run.gas_granted),
            "spent": run.as_ref().map(|run| run.gas_spent), "reserved": run.as_ref().map(|run| run.gas_reserved),
            "cpu_ms": timeline.cpu_ms, "cpu_gas": timeline.cpu_gas, "by": by.collect::<Vec<_>>(),
        }));
    }
    context.ui.table(&gas_table(&timeline, &spent, run.as_ref()), "")
}

fn gas_table(timeline: &Timeline, spent: &[(String, u64, Gas)], run: Option<&RunSummary>) -> Table {
    let mut table = Table::new(&[("for", Column::Left), ("", Column::Left), ("gas", Column::Right)]);
    for (method, calls, gas) in spent {
        table.row([method.clone().into(), units::count(*calls, "call").into(), gas.to_string().into()]);
    }
    table.row([
        "cpu".into(),
        format!("{} ms", Gas(timeline.cpu_ms)).into(),
        timeline.cpu_gas.to_string().into(),
    ]);
    let Some(run) = run else { return table };
    let free = run.gas_granted.saturating_sub(run.gas_spent).saturating_sub(run.gas_reserved);
    let strong = Cell::toned(Tone::Strong, run.gas_spent.to_string());
    table.row(["spent".into(), "all runs of the contract".into(), strong]);
    table.row([
        "set aside".into(),
        "calls in flight, cpu to come".into(),
        run.gas_reserved.to_string().into(),
    ]);
    table.row(["free".into(), "".into(), free.to_string().into()]);
    table.row(["granted".into(), "".into(), run.gas_granted.to_string().into()]);
    table
}

/// Every record of a run, oldest first.
///
/// # Errors
/// No such run, a lost connection, or what `take` returns.
pub fn each(
    client: &mut Client,
    request: &TimelineRequest,
    mut take: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    client.stream("cannot show the timeline", "ctl.timeline", request, |reply| {
        // The last reply may be the bare end of the list.
        if reply.args.is_empty() || reply.args == b"null" { Ok(()) } else { take(reply.decode()?) }
    })
}
