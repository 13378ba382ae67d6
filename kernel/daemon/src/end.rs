//! The end in order: no new work, every run stopped and booked, the log headed and synced.

use crate::kernel::Shared;
use crate::shell::settle;
use pawang_core::record::Entry;
use pawang_core::run::{Outcome, RunId};
use std::rc::Rc;
use std::time::Duration;

/// How long stopping everything may take; what is left then dies with the daemon.
const WITHIN: Duration = Duration::from_secs(10);

/// Begins the end; `main` waits for it.
pub fn begin(shared: &Shared) {
    let ending = {
        let mut kernel = shared.borrow_mut();
        kernel.is_ending = true;
        Rc::clone(&kernel.ending)
    };
    ending.notify_one();
}

/// Stops every run and closes the log.
pub async fn run(shared: &Shared) {
    // The service manager may not be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let runs: Vec<RunId> = shared.borrow().relay.runs().collect();
    for run in runs {
        shared.borrow_mut().event(|relay, out| relay.end(run, Outcome::Stopped, out));
    }
    settle(shared);
    let began = tokio::time::Instant::now();
    while shared.borrow().relay.runs().next().is_some() && began.elapsed() < WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut kernel = shared.borrow_mut();
    kernel.record(Entry::Halt {});
    let now_ms = kernel.clock.unix_ms();
    let closed = kernel.log.push_head(now_ms).and_then(|_| kernel.log.flush());
    if let Err(error) = closed {
        eprintln!("pawangd: level=error what=\"the log was not closed in order\" error={error:?}");
    }
    // A socket of the service manager is not ours to remove; nor is a name that is not there an error.
    if kernel.owns_socket {
        let _ = std::fs::remove_file(&kernel.settings.socket);
    }
}
