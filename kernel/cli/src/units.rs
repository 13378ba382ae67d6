//! Numbers as people read them: bytes, durations, points in time. Always with their unit; integers only.

/// Bytes, to one decimal from a KiB up: `812 B`, `1.2 KiB`, `3.0 GiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut tenths = u128::from(n).saturating_mul(10) / 1024;
    for unit in UNITS {
        if tenths < 10_240 || *unit == "TiB" {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{n} B")
}

/// A duration in µs: `0.2 ms`, `84 ms`, `1.8 s`, `2 min 5 s`, `3 h 20 min`.
#[must_use]
pub fn took_us(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => took_ms(us / 1_000),
    }
}

/// A duration in ms, as [`took_us`].
#[must_use]
pub fn took_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => span(ms / 1_000),
    }
}

/// A span in seconds, in its two largest units: `45 s`, `2 min 5 s`, `1 h 59 min`, `3 days 4 h`.
#[must_use]
pub fn span(seconds: u64) -> String {
    let pair = |large: u64, large_name: &str, small: u64, small_name: &str| match small {
        0 => format!("{large} {large_name}"),
        _ => format!("{large} {large_name} {small} {small_name}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..172_800 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "days", seconds % 86_400 / 3_600, "h"),
    }
}

/// Seconds and thousandths since `start_ms`: `+0.004`.
#[must_use]
pub fn since(start_ms: u64, now_ms: u64) -> String {
    let ms = now_ms.saturating_sub(start_ms);
    format!("+{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Unix seconds as a UTC date and time: `2026-11-22 14:05:09 UTC`. Years to 9999.
#[must_use]
pub fn utc(seconds: u64) -> String {
    /// Last second of the year 9999.
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return "after the year 9999".to_owned();
    }
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3_600, rest % 3_600 / 60, rest % 60)
}

/// The Gregorian date of a day since 1970-01-01. Counts years from March, so that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// `1 call`, `2 calls`.
#[must_use]
pub fn count(n: u64, one: &str) -> String {
    format!("{} {one}{}", pawang_protocol::Gas(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, since, span, took_us, utc};

    #[test]
    fn numbers_have_units_and_few_digits() {
        for (n, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_300, "1.2 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (us, text) in [
            (0, "0.0 ms"),
            (240, "0.2 ms"),
            (84_000, "84 ms"),
            (1_850_000, "1.8 s"),
            (125_000_000, "2 min 5 s"),
        ] {
            assert_eq!(took_us(us), text);
        }
        for (s, text) in [(7_140, "1 h 59 min"), (7_200, "2 h"), (273_600, "3 days 4 h")] {
            assert_eq!(span(s), text);
        }
        assert_eq!(since(1_000, 1_004), "+0.004");
        assert_eq!((count(1, "call"), count(1_200, "call")), ("1 call".into(), "1,200 calls".into()));
    }

    #[test]
    fn dates_are_gregorian() {
        for (s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_356_309, "2026-11-22 14:05:09 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (u64::MAX, "after the year 9999"),
        ] {
            assert_eq!(utc(s), text);
        }
    }
}
