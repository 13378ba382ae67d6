//! How many tests passed and failed, read from what the test runners say of themselves.
//!
//! A runner that failed without naming a failed test (it did not build, it was killed) counts as one failure; a test
//! that was left out counts as failed, because nothing here may be skipped in silence.

use std::fmt;
use std::ops::AddAssign;

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that passed.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that did not run.
    pub skipped: u64,
}

impl Counts {
    /// Counts of a runner that ended with this verdict on itself: the two must agree.
    pub fn settled(mut self, name: &str, is_success: bool) -> Self {
        if self.skipped > 0 {
            eprintln!("{name}: {} left out; here each counts as failed", self.skipped);
            self.failed += std::mem::take(&mut self.skipped);
        }
        if !is_success && self.failed == 0 {
            eprintln!("{name}: failed as a whole; counted as one failure");
            self.failed = 1;
        }
        self
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// A line of libtest: `test result: ok. 34 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; …`.
pub fn of_libtest(line: &str) -> Option<Counts> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number =
        |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok());
    Some(Counts { passed: number(" passed")?, failed: number(" failed")?, skipped: number(" ignored")? })
}

/// The root element of a JUnit report, as nextest writes it: `<testsuites … tests="34" failures="0" errors="0">`.
pub fn of_junit(report: &str) -> Option<Counts> {
    let (_, rest) = report.split_once("<testsuites ")?;
    let (root, _) = rest.split_once('>')?;
    let number = |name: &str| {
        let (_, rest) = root.split_once(&format!("{name}=\""))?;
        rest.split_once('"')?.0.parse::<u64>().ok()
    };
    let failed = number("failures")? + number("errors")?;
    Some(Counts { passed: number("tests")?.checked_sub(failed)?, failed, skipped: 0 })
}

/// The last lines of Python's unittest: `Ran 20 tests in 0.1s`, then `OK`, `OK (skipped=1)` or
/// `FAILED (failures=1, errors=2)`.
pub fn of_unittest(text: &str) -> Option<Counts> {
    let ran = text.lines().rev().find_map(|line| line.strip_prefix("Ran "))?;
    let ran: u64 = ran.split(' ').next()?.parse().ok()?;
    let verdict = text.lines().rev().find(|line| line.starts_with("OK") || line.starts_with("FAILED"))?;
    let inner = verdict.split_once('(').map_or("", |(_, inner)| inner.trim_end_matches(')'));
    let number = |names: &[&str]| -> u64 {
        let pairs = inner.split(", ").filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(_, count)| count.parse::<u64>().ok())
            .sum()
    };
    let failed = number(&["failures", "errors", "unexpected successes"]);
    let skipped = number(&["skipped", "expected failures"]);
    Some(Counts { passed: ran.checked_sub(failed + skipped)?, failed, skipped })
}

#[cfg(test)]
mod tests {
    use super::{Counts, of_junit, of_libtest, of_unittest};

    const fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn libtest_lines_are_read() {
        for (line, expected) in [
            (
                "test result: ok. 34 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 3.55s",
                counts(34, 0, 0),
            ),
            (
                "test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0s",
                counts(1, 2, 3),
            ),
            ("test some::test ... ok", None),
            ("test result: nonsense", None),
        ] {
            assert_eq!(of_libtest(line), expected, "{line}");
        }
    }

    #[test]
    fn junit_reports_are_read() {
        let head = "<?xml version=\"1.0\"?>\n<testsuites name=\"n\" tests=\"9\" failures=\"2\" errors=\"1\" time=\"1\">\n<testsuite tests=\"1\">";
        assert_eq!(of_junit(head), counts(6, 3, 0));
        assert_eq!(of_junit("<testsuites tests=\"9\""), None);
        assert_eq!(of_junit(""), None);
    }

    #[test]
    fn unittest_endings_are_read() {
        for (text, expected) in [
            ("....\nRan 20 tests in 0.1s\n\nOK\n", counts(20, 0, 0)),
            ("Ran 20 tests in 0.1s\n\nOK (skipped=2)\n", counts(18, 0, 2)),
            ("Ran 20 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n", counts(17, 3, 0)),
            ("Traceback", None),
        ] {
            assert_eq!(of_unittest(text), expected, "{text}");
        }
    }

    #[test]
    fn a_runner_that_fails_as_a_whole_or_skips_is_never_a_success() {
        let passed = Counts { passed: 3, failed: 0, skipped: 0 };
        assert_eq!(passed.settled("x", true), passed);
        assert_eq!(passed.settled("x", false).failed, 1);
        let skipped = Counts { skipped: 2, ..passed };
        assert_eq!(skipped.settled("x", true), Counts { passed: 3, failed: 2, skipped: 0 });
    }
}
