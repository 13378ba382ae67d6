//! From records to the rows of a timeline: pure, one record at a time, so that `--follow` and the whole table agree.
//!
//! A call is one row, from its `call` record to its `settle`; CPU time is summed into one row; a nested call's gas is
//! part of its parent's and stands in brackets.

use pawang_core::record::{Entry, Record};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::Gas;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a row ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not ended yet, or not before the run did.
    Open,
    /// Done.
    Ok,
    /// Refused, with the code.
    Denied(String),
    /// Allowed, and went wrong; with the reason.
    Failed(String),
    /// Ended before it was done; with the reason.
    Cancelled(String),
    /// Not a call: something worth telling.
    Told,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Unix ms.
    pub at_ms: u64,
    /// Number of the call; what `explain RUN:N` takes.
    pub call: Option<u64>,
    /// The call it is nested in.
    pub parent: Option<u64>,
    /// Method, or what is told.
    pub method: String,
    /// Canonical resource.
    pub resource: String,
    /// Bytes moved, both ways.
    pub bytes: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// Gas spent.
    pub gas: Option<Gas>,
    /// Gas left in the run's account afterwards.
    pub left: Option<Gas>,
    /// How long it took, in µs.
    pub took_us: Option<u64>,
    /// Names of secrets put in.
    pub secrets: Vec<String>,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// Exit status of the program.
    pub exit: Option<i32>,
    /// Gas of the contract spent.
    pub spent: Gas,
    /// How long it ran, in ms.
    pub took_ms: u64,
    /// One sentence more.
    pub detail: String,
}

/// The timeline of one run, as far as its records were seen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Timeline {
    /// The run.
    pub run: Option<RunId>,
    /// Name of its contract.
    pub name: String,
    /// When it began, unix ms.
    pub start_ms: u64,
    /// Rows in the order their calls began.
    pub rows: Vec<Row>,
    /// CPU time charged, in ms.
    pub cpu_ms: u64,
    /// Gas charged for it.
    pub cpu_gas: Gas,
    /// Records seen.
    pub records: u64,
    /// How it ended; absent while it is alive.
    pub ending: Option<Ending>,
    /// Rows not ended, by call number.
    #[serde(skip)]
    open: BTreeMap<u64, usize>,
}

impl Timeline {
    /// Takes the next record. Returns the row it completed, if it completed one.
    pub fn push(&mut self, record: Record) -> Option<&Row> {
        self.records = self.records.saturating_add(1);
        if self.start_ms == 0 {
            self.start_ms = record.t;
        }
        match record.entry {
            Entry::Start { run, name, .. } => {
                self.run = Some(run);
                self.name = name;
                self.start_ms = record.t;
                None
            }
            Entry::Call { call, parent, method, resource, sent, secrets, .. } => {
                self.open.insert(call, self.rows.len());
                self.rows.push(Row {
                    call: Some(call),
                    parent,
                    bytes: sent,
                    secrets,
                    verdict: Verdict::Open,
                    ..told(record.t, &method, resource)
                });
                None
            }
            Entry::Settle { call, status, spent, received, took_us, left, .. } => {
                let row = self.open.remove(&call).and_then(|index| self.rows.get_mut(index))?;
                row.verdict = verdict(&status);
                row.bytes = row.bytes.saturating_add(received);
                (row.gas, row.left, row.took_us) = (Some(spent), Some(left), Some(took_us));
                Some(row)
            }
            Entry::Deny { call, spent, denial, .. } => self.add(Row {
                call: Some(call),
                verdict: Verdict::Denied(denial.code.to_string()),
                gas: Some(spent),
                left: Some(denial.gas_left),
                ..told(record.t, &denial.call, denial.resource)
            }),
            Entry::Cpu { ms, spent, .. } => {
                self.cpu_ms = self.cpu_ms.saturating_add(ms);
                self.cpu_gas = self.cpu_gas.saturating_add(spent);
                None
            }
            Entry::Warn { spent, granted, .. } => {
                self.add(told(record.t, "⚠ gas 80 %", format!("{spent} of {granted} spent")))
            }
            Entry::Fault { who, what, .. } => self.add(told(record.t, "✗ fault", format!("{who}: {what}"))),
            Entry::Tool { tool, crashes, .. } if crashes > 0 => {
                self.add(told(record.t, "! restart", format!("{tool}, crashed {crashes} times so far")))
            }
            Entry::End { outcome, exit, spent, took_ms, detail, .. } => {
                self.ending = Some(Ending { outcome, exit, spent, took_ms, detail });
                None
            }
            // Movements of gas that the rows above already show, and what is not of a run.
            _ => None,
        }
    }

    /// Gas charged by method, dearest first; the calls of each, and the refused ones of all under `denied`.
    #[must_use]
    pub fn gas_by_method(&self) -> Vec<(String, u64, Gas)> {
        let mut sums: BTreeMap<&str, (u64, Gas)> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.call.is_some() && row.parent.is_none()) {
            let key = if matches!(row.verdict, Verdict::Denied(_)) { "denied" } else { &row.method };
            let (calls, gas) = sums.entry(key).or_default();
            *calls = calls.saturating_add(1);
            *gas = gas.saturating_add(row.gas.unwrap_or(Gas::ZERO));
        }
        let mut rows: Vec<_> = sums.into_iter().map(|(m, (calls, gas))| (m.to_owned(), calls, gas)).collect();
        rows.sort_by_key(|(_, _, gas)| std::cmp::Reverse(*gas));
        rows
    }

    fn add(&mut self, row: Row) -> Option<&Row> {
        self.rows.push(row);
        self.rows.last()
    }
}

/// A row that is no call.
fn told(at_ms: u64, method: &str, resource: String) -> Row {
    Row {
        at_ms,
        call: None,
        parent: None,
        method: method.to_owned(),
        resource,
        bytes: 0,
        verdict: Verdict::Told,
        gas: None,
        left: None,
        took_us: None,
        secrets: Vec::new(),
    }
}

/// The status of a `settle` record: `ok`, `failed: code`, `cancelled: reason`.
fn verdict(status: &str) -> Verdict {
    match status.split_once(": ").map_or((status, ""), |(word, rest)| (word, rest)) {
        ("ok", _) => Verdict::Ok,
        ("cancelled", reason) => Verdict::Cancelled(reason.to_owned()),
        (_, reason) => Verdict::Failed(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::show;
    use super::{Timeline, Verdict};
    use crate::paint::Paint;
    use pawang_core::record::Record;
    use pawang_protocol::Gas;
    use serde_json::{Value, json};

    const RUN: &str = "7f3a91c2";

    /// A record as it stands in the log, `ms` after the start.
    fn record(ms: u64, entry: Value) -> Record {
        let mut line = json!({"n": 1, "t": 1_000_000 + ms, "prev": "00".repeat(32), "run": RUN});
        line.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
        serde_json::from_value(line).unwrap()
    }

    fn call(ms: u64, call: u64, method: &str, resource: &str, more: Value) -> Record {
        let mut entry = json!({"kind": "call", "call": call, "method": method, "resource": resource, "reserved": 9, "sent": 0});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record(ms, entry)
    }

    fn settle(
        ms: u64,
        call: u64,
        status: &str,
        spent: u64,
        received: u64,
        took_us: u64,
        left: u64,
    ) -> Record {
        let entry = json!({"kind": "settle", "call": call, "status": status, "spent": spent, "received": received,
                           "took_us": took_us, "left": left});
        record(ms, entry)
    }

    fn sample() -> Timeline {
        let denial = json!({"code": "D203", "call": "fs.read", "resource": "/home/ann/.ssh/id\u{1b}", "reason": "no",
                            "contract": "", "gas_left": 980, "retryable": false});
        let records = [
            record(
                0,
                json!({"kind": "start", "contract": "00".repeat(32), "name": "w", "program": [], "walls": ""}),
            ),
            call(4, 1, "fs.list", "/input", json!({})),
            settle(5, 1, "ok", 1, 0, 240, 999),
            call(31, 2, "http.fetch", "GET https://a.example/v1", json!({"secrets": ["KEY"]})),
            call(32, 3, "fs.read", "/input/a.csv", json!({"parent": 2})),
            settle(33, 3, "failed: not_found", 2, 1_300, 300, 999),
            settle(115, 2, "ok", 18, 0, 84_000, 981),
            record(118, json!({"kind": "deny", "call": 4, "spent": 1, "denial": denial})),
            record(120, json!({"kind": "cpu", "ms": 300, "spent": 300, "left": 680})),
            record(130, json!({"kind": "cpu", "ms": 12, "spent": 12, "left": 668})),
            record(140, json!({"kind": "end", "outcome": "done", "exit": 0, "spent": 332, "took_ms": 140})),
        ];
        let mut timeline = Timeline::default();
        for record in records {
            timeline.push(record);
        }
        timeline
    }

    #[test]
    fn a_timeline_is_one_row_a_call_and_one_for_cpu() {
        let text = show::table(&sample(), Paint::NONE, None) + &show::footer(&sample(), Paint::NONE);
        let expected = [
            "    time  #  call                                           verdict  gas  left    took",
            "  +0.004  1  fs.list     /input                             ok         1   999  0.2 ms",
            "  +0.031  2  http.fetch  GET https://a.example/v1           ok        18   981   84 ms  key KEY put in",
            "  +0.032  3    fs.read   /input/a.csv              1.2 KiB  failed   (2)   999  0.3 ms  not_found",
            "  +0.118  4  fs.read     /home/ann/.ssh/id\\x1b              denied     1   980          D203",
            "             cpu         312 ms                                      312",
            "  done in 140 ms   exit 0   gas 332",
            "",
        ];
        assert_eq!(text, expected.join("\n"));
    }

    #[test]
    fn gas_is_summed_by_method_and_nested_calls_are_not_counted_twice() {
        let by = sample().gas_by_method();
        let expected = [("http.fetch", 1, 18), ("denied", 1, 1), ("fs.list", 1, 1)];
        let expected: Vec<_> = expected.into_iter().map(|(m, n, g)| (m.to_owned(), n, Gas(g))).collect();
        assert_eq!(by, expected);
    }

    #[test]
    fn a_call_that_never_settled_stays_open() {
        let mut timeline = Timeline::default();
        timeline.push(call(0, 1, "fs.list", "/input", json!({})));
        assert_eq!(timeline.rows[0].verdict, Verdict::Open);
        assert!(
            timeline.push(settle(1, 99, "ok", 1, 0, 1, 1)).is_none(),
            "of another run's call nothing is shown"
        );
    }
}
