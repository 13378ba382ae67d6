//! What was met in all lives together: a law that nothing ever tries proves nothing.

use pawang_core::record::Entry;
use pawang_protocol::Gas;
use std::collections::BTreeMap;

/// How often each kind of thing stood in a log.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<String, u64>);

/// What every full simulation must have met.
const MUST: &[&str] = &[
    "carve",
    "carve with share",
    "cpu",
    "end done",
    "end fault",
    "end out of gas",
    "end revoked",
    "end stopped",
    "extend",
    "fault automation",
    "fault exec",
    "fault fs",
    "fault http",
    "helper",
    "lost run",
    "nested",
    "return",
    "revoke",
    "secret put in",
    "snapshot with calls",
    "snapshot with helpers",
    "start",
    "warn",
    "deny D101",
    "deny D102",
    "deny D103",
    "deny D201",
    "deny D202",
    "deny D203",
    "deny D204",
    "deny D206",
    "deny D207",
    "deny D208",
    "deny D301",
    "deny D302",
    "deny D304",
    "settle ok",
    "settle failed",
    "settle failed: timed_out",
    "settle failed: gas_max_reached",
    "settle failed: ceiling_reached",
    "settle failed: out_of_gas",
    "settle failed: tool_crashed",
    "settle failed: tool_broken",
    "settle failed: tool_refused",
    "settle failed: no_walls",
    "settle cancelled",
    "settle cancelled: caller",
    "settle cancelled: stopped",
    "settle ended with its run",
];

impl Tally {
    fn add(&mut self, what: String, n: u64) {
        *self.0.entry(what).or_default() += n;
    }

    /// Adds another life's.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(what, n)| self.add(what, n));
    }

    /// Counts a record.
    pub fn count(&mut self, entry: &Entry) {
        let what = match entry {
            Entry::Settle { status, .. } => format!("settle {status}"),
            Entry::Deny { denial, .. } => format!("deny {}", denial.code),
            Entry::Fault { who, .. } => format!("fault {who}"),
            Entry::End { outcome, .. } => format!("end {outcome}"),
            Entry::Call { parent: Some(_), .. } => "nested".to_owned(),
            Entry::Call { secrets, .. } if !secrets.is_empty() => "secret put in".to_owned(),
            Entry::Start { parent: Some(_), .. } => "helper".to_owned(),
            Entry::Boot { lost, .. } if !lost.is_empty() => "lost run".to_owned(),
            Entry::Carve { share, .. } if !share.is_empty() => "carve with share".to_owned(),
            Entry::Snapshot { live, .. } if !live.carved.is_empty() => "snapshot with helpers".to_owned(),
            Entry::Snapshot { live, .. } if !live.calls.is_empty() => "snapshot with calls".to_owned(),
            Entry::Start { .. } => "start".to_owned(),
            Entry::Carve { .. } => "carve".to_owned(),
            Entry::Return { .. } => "return".to_owned(),
            Entry::Extend { .. } => "extend".to_owned(),
            Entry::Warn { .. } => "warn".to_owned(),
            Entry::Revoke { .. } => "revoke".to_owned(),
            Entry::Cpu { spent, .. } if *spent > Gas::ZERO => "cpu".to_owned(),
            _ => return,
        };
        self.add(what, 1);
    }

    /// Holds the tally against what must have been met.
    pub fn is_complete(&self) {
        let missing: Vec<_> = MUST.iter().filter(|what| !self.0.contains_key(**what)).collect();
        assert!(missing.is_empty(), "never met: {missing:?}\n{self:#?}");
    }
}
