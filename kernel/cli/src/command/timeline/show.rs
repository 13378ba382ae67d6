//! The timeline as text. Fixed columns where rows are shown as they come, fitted ones where all are known.

use super::rows::{Row, Timeline, Verdict};
use crate::clean::{clean, clean_short};
use crate::client::Client;
use crate::command::Context;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Column, Table};
use crate::units;
use pawang_core::control::Head;
use pawang_core::run::Outcome;
use std::fmt::Write as _;

const COLUMNS: &[(&str, Column)] = &[
    ("time", Column::Right),
    ("#", Column::Right),
    ("call", Column::Left),
    ("", Column::Elastic),
    ("", Column::Right),
    ("verdict", Column::Left),
    ("gas", Column::Right),
    ("left", Column::Right),
    ("took", Column::Right),
    ("", Column::Left),
];

/// Widths of the columns where rows are shown as they come; the resource takes what is left.
const FOLLOW: [usize; 10] = [8, 5, 13, 40, 9, 9, 7, 9, 8, 0];

/// All rows, the CPU row last.
pub(super) fn table(timeline: &Timeline, paint: Paint, width: Option<usize>) -> String {
    let mut table = Table::new(COLUMNS);
    for row in &timeline.rows {
        table.row(cells(row, timeline.start_ms));
    }
    if timeline.cpu_ms > 0 {
        let cpu = [
            "".into(),
            "".into(),
            "cpu".into(),
            format!("{} ms", pawang_protocol::Gas(timeline.cpu_ms)).into(),
            "".into(),
            "".into(),
            timeline.cpu_gas.to_string().into(),
        ];
        table.row(cpu);
    }
    table.render(paint, width)
}

/// The heading of [`line()`]s.
pub(super) fn heading(paint: Paint, width: Option<usize>) -> String {
    let cells = COLUMNS.iter().map(|(name, _)| Cell::toned(Tone::Dim, *name)).collect();
    fixed(cells, paint, width)
}

/// One row in fixed columns.
pub(super) fn line(row: &Row, start_ms: u64, paint: Paint, width: Option<usize>) -> String {
    fixed(cells(row, start_ms), paint, width)
}

/// How the run ended.
pub(super) fn footer(timeline: &Timeline, paint: Paint) -> String {
    let Some(end) = &timeline.ending else {
        return format!("  {}\n", paint.tone(Tone::Warn, "still running"));
    };
    let mut text = format!("  {}", paint.tone(tone_of(end.outcome), &end.outcome.to_string()));
    let _ = write!(text, " in {}", units::took_ms(end.took_ms));
    if let Some(exit) = end.exit {
        let _ = write!(text, "   exit {exit}");
    }
    let _ = write!(text, "   gas {}", end.spent);
    if !end.detail.is_empty() {
        let _ = write!(text, "   {}", clean(&end.detail));
    }
    text.push('\n');
    text
}

/// The head of the log, signed now, and whether the log on disk is whole, where it is ours to read.
pub(super) fn chain(context: &Context, client: &mut Client, records: u64) -> String {
    let paint = context.ui.out;
    let head: Head = match client.ask("cannot sign the head of the log", "ctl.head", &()) {
        Ok(head) => head,
        Err(e) => return format!("  ─ {}\n", paint.tone(Tone::Warn, &clean(&e.to_string()))),
    };
    let state = match crate::command::audit::quick_check(context) {
        Some(Ok(())) => paint.tone(Tone::Good, "chain whole · signed"),
        Some(Err(why)) => paint.tone(Tone::Bad, &format!("CHAIN BROKEN: {}", clean(&why))),
        None => "signed · chain not checked here: pawang audit verify".to_owned(),
    };
    let shown = paint
        .tone(Tone::Dim, &format!("head {}… · {}", head.digest.short(), units::count(records, "record")));
    format!("  ─ {shown} · {state}\n")
}

/// Green where it went well, red where the kernel ended it, yellow where a person did.
pub(crate) fn tone_of(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Done => Tone::Good,
        Outcome::Stopped | Outcome::Revoked => Tone::Warn,
        Outcome::OutOfGas | Outcome::TimedOut | Outcome::Fault | Outcome::Failed | Outcome::Lost => Tone::Bad,
    }
}

fn cells(row: &Row, start_ms: u64) -> Vec<Cell> {
    let (tone, verdict, note) = match &row.verdict {
        Verdict::Open => (Tone::Warn, "open", String::new()),
        Verdict::Ok => (Tone::Good, "ok", String::new()),
        Verdict::Denied(code) => (Tone::Bad, "denied", code.clone()),
        Verdict::Failed(why) => (Tone::Warn, "failed", why.clone()),
        Verdict::Cancelled(why) => (Tone::Warn, "cancelled", why.clone()),
        Verdict::Told => (Tone::Plain, "", String::new()),
    };
    let nested = row.parent.is_some();
    let gas = row.gas.map(|gas| if nested { format!("({gas})") } else { gas.to_string() });
    let secrets = row.secrets.iter().map(|name| format!("key {name} put in"));
    let notes: Vec<String> = Some(note).filter(|n| !n.is_empty()).into_iter().chain(secrets).collect();
    vec![
        units::since(start_ms, row.at_ms).into(),
        Cell::toned(Tone::Dim, row.call.map(|n| n.to_string()).unwrap_or_default()),
        format!("{}{}", if nested { "  " } else { "" }, row.method).into(),
        row.resource.replace('\0', " ").into(),
        if row.bytes > 0 { units::bytes(row.bytes).into() } else { "".into() },
        Cell::toned(tone, verdict),
        gas.unwrap_or_default().into(),
        row.left.map(|gas| gas.to_string()).unwrap_or_default().into(),
        row.took_us.map(units::took_us).unwrap_or_default().into(),
        notes.join("  ").into(),
    ]
}

fn fixed(cells: Vec<Cell>, paint: Paint, width: Option<usize>) -> String {
    let others: usize = FOLLOW.iter().enumerate().filter(|(i, _)| *i != 3).map(|(_, w)| w + 2).sum();
    let room =
        width.map_or(FOLLOW.get(3).copied().unwrap_or(40), |w| w.saturating_sub(others + 2).clamp(16, 60));
    let mut line = String::new();
    for ((cell, (_, column)), width) in cells.iter().zip(COLUMNS).zip(FOLLOW) {
        let width = if *column == Column::Elastic { room } else { width };
        let text =
            if *column == Column::Elastic { clean_short(cell.text(), room) } else { cell.text().to_owned() };
        let pad = " ".repeat(width.saturating_sub(text.chars().count()));
        let text = paint.tone(cell.tone(), &text);
        let _ = match column {
            Column::Right => write!(line, "  {pad}{text}"),
            Column::Left | Column::Elastic => write!(line, "  {text}{pad}"),
        };
    }
    format!("{}\n", line.trim_end())
}
