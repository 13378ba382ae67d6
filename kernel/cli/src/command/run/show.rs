//! The lines that `pawang run` puts around a program's own output: how it began, what was refused, how it ended.

use crate::clean::{clean, clean_short};
use crate::command::timeline::show::tone_of;
use crate::paint::{Paint, Tone};
use crate::units;
use pawang_core::control::RunSummary;
use pawang_core::record::{Entry, Record};
use pawang_core::run::RunId;
use pawang_protocol::Denial;
use std::fmt::Write as _;

/// Longest resource and reason in a notice, in characters; `explain` shows all of them.
const SHOWN_MAX: usize = 80;

/// How it began, and the walls around it.
#[must_use]
pub fn started(run: &RunSummary, walls: &[String], now_s: u64, paint: Paint) -> String {
    let walls: Vec<String> = walls.iter().map(|wall| clean(wall)).collect();
    format!(
        "{} run {}  {}   contract {}…   signed by {}   gas {}   expires in {}\n  {}",
        paint.tone(Tone::Strong, "●"),
        run.run,
        paint.tone(Tone::Strong, &clean(&run.name)),
        run.contract.short(),
        clean(&run.issuer),
        run.gas_granted,
        units::span(run.not_after.saturating_sub(now_s)),
        paint.tone(Tone::Dim, &format!("walls: {}", walls.join(" · "))),
    )
}

/// A record worth telling while the program runs; `None` for others.
#[must_use]
pub fn notice(run: RunId, record: &Record, paint: Paint) -> Option<String> {
    match &record.entry {
        Entry::Deny { call, spent, denial, .. } => {
            Some(format!("{}   (−{spent} gas)   pawang explain {run}:{call}", denied(denial, paint)))
        }
        Entry::Warn { spent, granted, .. } => Some(format!(
            "{} {spent} of {granted} spent   pawang gas {run}",
            paint.tone(Tone::Warn, "⚠ gas 80 %:")
        )),
        Entry::Fault { who, what, .. } => {
            Some(format!("{} {}: {}", paint.tone(Tone::Bad, "✗ fault"), clean(who), clean(what)))
        }
        Entry::Tool { tool, crashes, .. } if *crashes > 0 => Some(format!(
            "{} tool {} crashed and was started again",
            paint.tone(Tone::Warn, "!"),
            clean(tool)
        )),
        _ => None,
    }
}

/// What was refused, and why, on one line.
fn denied(denial: &Denial, paint: Paint) -> String {
    format!(
        "{}  {} {}   {}",
        paint.tone(Tone::Bad, "✗ denied"),
        clean(&denial.call),
        clean_short(&denial.resource.replace('\0', " "), SHOWN_MAX),
        clean_short(&denial.reason, SHOWN_MAX),
    )
}

/// How it ended.
#[must_use]
pub fn ended_line(run: &RunSummary, detail: &str, paint: Paint) -> String {
    let outcome = run.outcome.map_or_else(|| "alive".to_owned(), |outcome| outcome.to_string());
    let tone = run.outcome.map_or(Tone::Plain, tone_of);
    let tone = if run.exit.unwrap_or(0) != 0 && tone == Tone::Good { Tone::Warn } else { tone };
    let mut line = format!(
        "{} run {}  {} in {}",
        paint.tone(tone, "●"),
        run.run,
        paint.tone(tone, &outcome),
        units::took_ms(run.took_ms)
    );
    if let Some(exit) = run.exit {
        let _ = match exit {
            129..=192 => write!(line, "   killed by signal {}", exit.saturating_sub(128)),
            _ => write!(line, "   exit {exit}"),
        };
    }
    let _ = write!(line, "   gas {} of {}", run.gas_spent, run.gas_granted);
    let _ = write!(line, "   {}, {} denied", units::count(run.calls, "call"), run.denied);
    if !detail.is_empty() {
        let _ = write!(line, "   {}", clean(detail));
    }
    let _ = write!(line, "   pawang timeline {}", run.run);
    line
}

#[cfg(test)]
mod tests {
    use super::{ended_line, notice, started};
    use crate::paint::Paint;
    use pawang_core::control::RunSummary;
    use pawang_core::digest::Digest;
    use pawang_core::record::{Entry, Record};
    use pawang_core::run::{Outcome, RunId};
    use pawang_protocol::{Denial, DenialCode, Gas};

    fn run() -> RunSummary {
        RunSummary {
            run: RunId(0x7f3a_91c2),
            name: "weather-report".into(),
            contract: Digest([0x91; 32]),
            issuer: "ann".into(),
            parent: None,
            gas_granted: Gas(1_000),
            gas_spent: Gas(214),
            gas_reserved: Gas::ZERO,
            calls: 41,
            denied: 2,
            started_ms: 1_000_000,
            took_ms: 1_830,
            not_after: 8_200,
            outcome: Some(Outcome::Done),
            exit: Some(0),
        }
    }

    #[test]
    fn a_run_begins_and_ends_with_one_screen_line_each() {
        assert_eq!(
            started(&run(), &["landlock 7".into(), "no network".into()], 1_000, Paint::NONE),
            "● run 7f3a91c2  weather-report   contract 91919191…   signed by ann   gas 1,000   expires in 2 h\n  \
             walls: landlock 7 · no network"
        );
        assert_eq!(
            ended_line(&run(), "", Paint::NONE),
            "● run 7f3a91c2  done in 1.8 s   exit 0   gas 214 of 1,000   41 calls, 2 denied   pawang timeline 7f3a91c2"
        );
        let killed = RunSummary { exit: Some(137), outcome: Some(Outcome::OutOfGas), ..run() };
        assert!(
            ended_line(&killed, "", Paint::NONE).contains("out of gas in 1.8 s   killed by signal 9   gas")
        );
    }

    #[test]
    fn f81_a_denial_is_one_clean_line_with_the_command_that_explains_it() {
        let denial = Denial {
            code: DenialCode::ResourceNotGranted,
            call: "fs.read".into(),
            resource: "/home/ann/\x1b[2J\u{202e}".into(),
            reason: "no grant covers it".into(),
            rule: None,
            contract: String::new(),
            gas_left: Gas(980),
            retryable: false,
            allow: String::new(),
        };
        let entry = Entry::Deny { run: run().run, call: 12, spent: Gas(1), denial };
        let record = Record { n: 1, t: 1, prev: Digest([0; 32]), entry };
        assert_eq!(
            notice(run().run, &record, Paint::NONE).unwrap(),
            "✗ denied  fs.read /home/ann/\\x1b[2J\\u{202e}   no grant covers it   (−1 gas)   pawang explain 7f3a91c2:12"
        );
    }
}
