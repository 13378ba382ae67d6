//! The kernel's clocks: monotonic time for deadlines, and a wall clock that never runs behind the log (f60).

use pawang_core::relay::Now;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How often a warning about a clock set back is repeated at most, in ms.
const WARN_MS: u64 = 60_000;

/// Time as the kernel sees it.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// The latest wall time seen, or read from the log, unix ms. Expiry is judged by this.
    latest_ms: u64,
    warned_us: Option<u64>,
}

impl Clock {
    /// A clock that is at least at `log_ms`, the time of the log's last record.
    pub fn new(log_ms: u64) -> Self {
        Self { start: Instant::now(), latest_ms: log_ms, warned_us: None }
    }

    /// Monotonic µs since the start.
    pub fn us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Wall time in unix ms; held where the system's clock was set back.
    pub fn unix_ms(&mut self) -> u64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let system = u64::try_from(system).unwrap_or(u64::MAX);
        if system.saturating_add(1_000) < self.latest_ms {
            self.warn(system);
        }
        self.latest_ms = self.latest_ms.max(system);
        self.latest_ms
    }

    /// The moment, as the relay takes it.
    pub fn now(&mut self) -> Now {
        Now { us: self.us(), unix_s: self.unix_ms() / 1_000 }
    }

    fn warn(&mut self, system: u64) {
        let us = self.us();
        if self.warned_us.is_none_or(|at| us.saturating_sub(at) > WARN_MS.saturating_mul(1_000)) {
            self.warned_us = Some(us);
            let behind = self.latest_ms.saturating_sub(system);
            eprintln!("pawangd: level=warn what=\"the system clock runs behind the log\" behind_ms={behind}");
        }
    }
}
