//! Waiting for what another process does: looked at again and again, with an end. Never a sleep that hopes.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: a slow machine under load, many times over.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `look` finds something, and returns it.
///
/// # Panics
/// After [`PATIENCE`], with `what` was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}
