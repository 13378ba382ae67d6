//! How `pawang` ends: the one table of exit codes. `pawang help exit-codes` and the README print it.
//!
//! Where a run is done, the program's own exit status passes through unchanged. Everything that is the command line's
//! own word is 64 or above, at the place sysexits.h gives the same thing where it has one, with two exceptions that
//! custom fixes: 2 for usage, and 4 for out of gas.

use pawang_core::run::Outcome;
use std::fmt::Write as _;

/// How the command ended, when it is not the program's own exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// The command line was not understood.
    Usage,
    /// The run used up its gas.
    OutOfGas,
    /// A contract, key or file was not accepted as it is.
    Refused,
    /// No such run, contract, secret, program or file.
    NotFound,
    /// The daemon could not be reached or started.
    Unreachable,
    /// Something of the system or of Pawang went wrong.
    Failed,
    /// The audit log is not whole.
    LogBroken,
    /// The rules refuse the call that was asked about.
    Denied,
    /// This machine lacks what no run may do without.
    BelowFloor,
    /// The run took longer than its contract allows.
    TimedOut,
    /// The run was stopped by its operator.
    Stopped,
    /// The contract was revoked, or expired while the run went on.
    Revoked,
    /// The automation broke the protocol.
    Fault,
    /// The daemon died while the run was alive.
    Lost,
}

/// Every code, in order, with what it means.
const TABLE: &[(Exit, u8, &str)] = &[
    (Exit::Ok, 0, "done"),
    (Exit::Usage, 2, "usage: the command line was not understood"),
    (Exit::OutOfGas, 4, "out of gas: the run used up what its contract grants"),
    (
        Exit::Refused,
        65,
        "refused: a contract, key or file is not accepted as it is (tampered, expired, too open …)",
    ),
    (Exit::NotFound, 66, "not found: no such run, contract, secret, program or file"),
    (Exit::Unreachable, 69, "unreachable: the daemon does not answer and could not be started"),
    (Exit::Failed, 70, "failed: something of the system, or of Pawang itself, went wrong"),
    (Exit::LogBroken, 74, "log broken: the audit log is altered, cut or cannot be read"),
    (Exit::Denied, 77, "denied: the rules refuse the call that was asked about"),
    (Exit::BelowFloor, 78, "below the floor: this machine lacks a wall that no run may do without"),
    (Exit::TimedOut, 80, "timed out: the run took longer than its contract allows"),
    (Exit::Stopped, 81, "stopped: an operator ended the run"),
    (Exit::Revoked, 82, "revoked: the contract was revoked, or expired while the run went on"),
    (Exit::Fault, 83, "fault: the automation broke the protocol and was killed"),
    (Exit::Lost, 84, "lost: the daemon died while the run was alive"),
];

impl Exit {
    /// The number given to the shell.
    #[must_use]
    pub fn code(self) -> u8 {
        TABLE.iter().find(|(exit, ..)| *exit == self).map_or(70, |(_, code, _)| *code)
    }

    /// How `pawang run` ends when the run ended this way. `exit` is the program's own status (128 + n: killed by
    /// signal n), which counts only where the program ended by itself; a status out of range, or none, is a failure.
    #[must_use]
    pub fn of_run(outcome: Outcome, exit: Option<i32>) -> u8 {
        let own = match outcome {
            Outcome::Done => return exit.and_then(|e| u8::try_from(e).ok()).unwrap_or(Self::Failed.code()),
            Outcome::OutOfGas => Self::OutOfGas,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Stopped => Self::Stopped,
            Outcome::Revoked => Self::Revoked,
            Outcome::Fault => Self::Fault,
            Outcome::Failed => Self::Failed,
            Outcome::Lost => Self::Lost,
        };
        own.code()
    }
}

/// The table as text, one code a line.
#[must_use]
pub fn table() -> String {
    let mut text = String::from(
        "How pawang ends. Where a run is done by itself, `pawang run` ends with the program's own exit status\n\
         (128 + n when signal n killed it). All else:\n\n",
    );
    for (_, code, meaning) in TABLE {
        let _ = writeln!(text, "  {code:>3}  {meaning}");
    }
    text.push_str(
        "\nA program may choose any of these numbers for itself; the last line of the run on stderr, and `pawang ps \
         --all --json`,\nsay which of the two it was.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{Exit, TABLE};
    use pawang_core::run::Outcome;

    #[test]
    fn codes_are_distinct_and_all_our_own_but_the_fixed_ones_are_at_least_64() {
        for (index, (exit, code, _)) in TABLE.iter().enumerate() {
            assert_eq!(exit.code(), *code);
            assert!(TABLE[index + 1..].iter().all(|(_, other, _)| other > code), "{code} is in order, once");
            assert!(*code >= 64 || matches!(code, 0 | 2 | 4), "{code}");
        }
    }

    #[test]
    fn the_readme_holds_the_same_table() {
        let readme = include_str!("../README.md");
        for (_, code, meaning) in TABLE {
            assert!(readme.contains(&format!("\n| {code} | {meaning} |\n")), "{code} {meaning}");
        }
    }

    #[test]
    fn a_finished_program_keeps_its_own_status_and_nothing_else_does() {
        for (outcome, exit, code) in [
            (Outcome::Done, Some(0), 0),
            (Outcome::Done, Some(3), 3),
            (Outcome::Done, Some(137), 137),
            (Outcome::Done, Some(256), 70),
            (Outcome::Done, None, 70),
            (Outcome::OutOfGas, Some(0), 4),
            (Outcome::TimedOut, None, 80),
            (Outcome::Stopped, Some(0), 81),
            (Outcome::Failed, Some(0), 70),
        ] {
            assert_eq!(Exit::of_run(outcome, exit), code, "{outcome} {exit:?}");
        }
    }
}
