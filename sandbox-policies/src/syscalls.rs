//! System calls by name: the one place that knows x86-64 numbers.
//!
//! The table is data (`x86_64.txt`, one `number name` per line, from the kernel's `syscall_64.tbl`). A policy names
//! calls; a name that is not in the table is an error, never a rule that silently does nothing.
//!
//! Deliberately absent: other architectures. A filter kills every call that does not come from x86-64.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The number of a system call on x86-64, 0 ..= [`NUMBER_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u32);

/// Highest number a policy may speak of. Linux 6.18 ends at 469; the rest is room that falls to the default.
pub const NUMBER_MAX: u32 = 1023;

/// A call that Linux does not have. Every filter answers it with [`PROOF_ERRNO`], so that a confined process can
/// prove from the inside that *this* filter is the one in force.
pub const PROOF_NUMBER: Number = Number(1023);

/// The answer to [`PROOF_NUMBER`]: an errno that no kernel returns (Linux errnos end at 133, the ABI at 4095).
pub const PROOF_ERRNO: u16 = 4001;

const TABLE: &str = include_str!("x86_64.txt");

/// The number of the call with this name, or `None` where Linux on x86-64 has no such call.
#[must_use]
pub fn number(name: &str) -> Option<Number> {
    by_name().get(name).copied()
}

/// The name of a number, or `None` where no call has it.
#[must_use]
pub fn name(number: Number) -> Option<&'static str> {
    by_name().iter().find(|(_, n)| **n == number).map(|(name, _)| *name)
}

fn by_name() -> &'static BTreeMap<&'static str, Number> {
    static MAP: OnceLock<BTreeMap<&'static str, Number>> = OnceLock::new();
    MAP.get_or_init(|| TABLE.lines().filter_map(line).collect())
}

fn line(text: &'static str) -> Option<(&'static str, Number)> {
    let (number, name) = text.split_once(' ')?;
    Some((name, Number(number.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::{NUMBER_MAX, Number, PROOF_NUMBER, TABLE, by_name, name, number};

    #[test]
    fn every_line_of_the_table_is_a_call_and_none_stands_twice() {
        assert_eq!(by_name().len(), TABLE.lines().count());
        let mut numbers: Vec<_> = by_name().values().collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), by_name().len());
        assert!(numbers.iter().all(|n| n.0 < NUMBER_MAX));
    }

    #[test]
    fn numbers_are_those_of_libc() {
        for (call, expected) in [
            ("read", libc::SYS_read),
            ("execveat", libc::SYS_execveat),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
        ] {
            assert_eq!(number(call).map(|n| i64::from(n.0)), Some(expected), "{call}");
        }
    }

    #[test]
    fn unknown_calls_are_unknown() {
        assert_eq!(number("socketcall"), None);
        assert_eq!(number(""), None);
        assert_eq!(name(PROOF_NUMBER), None);
        assert_eq!(name(Number(0)), Some("read"));
    }
}
