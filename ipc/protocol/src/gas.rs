//! Gas: the integer unit in which every call is paid.
//!
//! A newtype over `u64` whose arithmetic is checked: there is no `+` that can wrap, no negative, no fraction and
//! no value that means "unlimited".

use core::fmt;
use serde::{Deserialize, Serialize};

/// An amount of gas, 0 ..= 2^64 - 1. Zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gas(pub u64);

impl Gas {
    /// No gas.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` where it exceeds 2^64 - 1.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` where it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum, held at 2^64 - 1. Only for prices, where holding at the top is the dearer and so the safer answer.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, held at zero. Only for "how much more": never for what has been spent.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Gas {
    /// Groups digits by thousands: `1,234,567`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        f.pad(&grouped)
    }
}

#[cfg(test)]
mod tests {
    use super::Gas;

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Gas(u64::MAX).checked_add(Gas(1)), None);
        assert_eq!(Gas(0).checked_sub(Gas(1)), None);
        assert_eq!(Gas(u64::MAX).saturating_add(Gas(1)), Gas(u64::MAX));
        assert_eq!(Gas(1).saturating_sub(Gas(2)), Gas::ZERO);
    }

    #[test]
    fn display_groups_thousands() {
        for (gas, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Gas(gas).to_string(), text);
        }
    }
}
