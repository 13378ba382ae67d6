//! What all programs of the benchmarks share: how times become figures, and how figures travel as one line of text.
//!
//! Promises: nothing is left out. Every sample counts, warm-up apart, which the caller makes and throws away.
#![forbid(unsafe_code)]
#![allow(clippy::as_conversions, reason = "figures are rounded anyway")]

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bytes a call carries each way.
pub const PAYLOAD: usize = 256;
/// Bytes of a message of the bare relay: the payload, and the length of a call's header as the kernel sends it.
pub const MESSAGE: usize = PAYLOAD + 64;
/// Calls made before anything is counted.
pub const WARM_UP: usize = 200;

/// The distribution of one round. Times in ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The smallest.
    pub min: f64,
    /// Half are below it.
    pub p50: f64,
    /// 99 of 100 are below it.
    pub p99: f64,
    /// How many were done in a second, all together.
    pub per_s: f64,
}

impl Figures {
    /// Of samples taken one after the other; `took` is the whole time.
    #[must_use]
    pub fn of(mut samples: Vec<u64>, took: Duration) -> Self {
        samples.sort_unstable();
        let at = |part: f64| {
            let index = (samples.len().saturating_sub(1) as f64 * part).round() as usize;
            samples.get(index).copied().unwrap_or(0) as f64
        };
        let per_s = samples.len() as f64 / took.as_secs_f64();
        Self { min: at(0.0), p50: at(0.5), p99: at(0.99), per_s }
    }

    /// Of several rounds: each figure is the median of the rounds' figures, but `min`, which is the smallest.
    #[must_use]
    pub fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            min: rounds.iter().map(|round| round.min).fold(f64::INFINITY, f64::min),
            p50: of(|round| round.p50),
            p99: of(|round| round.p99),
            per_s: of(|round| round.per_s),
        }
    }
}

/// The one in the middle; 0 of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.min, self.p50, self.p99, self.per_s)
    }
}

impl FromStr for Figures {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [min, p50, p99, per_s] => Ok(Self { min, p50, p99, per_s }),
            _ => Err(format!("not a line of figures: {line:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, median};
    use std::time::Duration;

    #[test]
    fn figures_come_back_from_their_line() {
        let figures = Figures::of((1..=100).collect(), Duration::from_secs(2));
        assert_eq!((figures.min, figures.p50, figures.p99, figures.per_s), (1.0, 51.0, 99.0, 50.0));
        assert_eq!(figures.to_string().parse(), Ok(figures));
    }

    #[test]
    fn median_of_rounds_is_not_moved_by_one_bad_round() {
        assert!((median(vec![9.0, 900.0, 10.0]) - 10.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}
