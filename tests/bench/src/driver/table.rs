//! What is printed: one Markdown row for each path, as it stands in BENCHMARKS.md.

/// How a goal is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The ratio, or the value where there is no rival, is at most this.
    AtMost(f64),
    /// It is at least this.
    AtLeast(f64),
    /// Only told.
    Told,
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// What was measured.
    pub path: &'static str,
    /// What was reached, as text with its unit.
    pub reached: String,
    /// The floor or rival of the same run, as text; empty for none.
    pub rival: String,
    /// Reached ÷ rival, or the value itself where there is no rival.
    pub figure: f64,
    /// What it should be.
    pub goal: Goal,
}

/// Above the rows.
pub const HEAD: &str = "| path | reached | floor or rival, same run | ratio or value | goal | |\n\
                        | --- | --- | --- | --- | --- | --- |";

impl Row {
    /// One line of the table.
    pub fn line(&self) -> String {
        let (goal, verdict) = match self.goal {
            Goal::AtMost(most) => (format!("≤ {most}"), self.figure <= most),
            Goal::AtLeast(least) => (format!("≥ {least}"), self.figure >= least),
            Goal::Told => {
                return format!(
                    "| {} | {} | {} | {:.2} | – | |",
                    self.path, self.reached, self.rival, self.figure
                );
            }
        };
        let verdict = if verdict { "reached" } else { "**missed**" };
        format!(
            "| {} | {} | {} | {:.2} | {goal} | {verdict} |",
            self.path, self.reached, self.rival, self.figure
        )
    }
}

/// A time in ns, in the unit that reads best.
pub fn time(ns: f64) -> String {
    match ns {
        _ if ns < 1e3 => format!("{ns:.0} ns"),
        _ if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

/// How many in a second.
pub fn rate(per_s: f64) -> String {
    if per_s < 1e4 { format!("{per_s:.0}/s") } else { format!("{:.0} k/s", per_s / 1e3) }
}
