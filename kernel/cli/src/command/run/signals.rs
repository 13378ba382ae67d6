//! Ctrl-C, and the other ways of being told to end, turned into an orderly stop of the run.
//!
//! The signals are blocked and waited for on a thread of their own, so that no code runs inside a signal handler.

use crate::client::Voice;
use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use nix::sys::signal::{SigSet, Signal};
use pawang_core::control::RunRef;
use pawang_core::run::RunId;
use std::sync::{Arc, OnceLock};
use std::thread;

/// From now on the first signal stops the run, the second leaves at once. Before the run has begun, the first leaves:
/// the daemon ends a run whose connection is gone.
pub(super) fn watch(voice: Voice, run: Arc<OnceLock<RunId>>) -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Threads inherit the mask, so this comes before the first of them.
    signals.thread_block().map_err(|e| Trouble::new(Exit::Failed, "cannot watch for signals").why(e))?;
    thread::spawn(move || {
        let _ = signals.wait();
        let asked = run.get().map(|run| voice.call("ctl.stop", &RunRef { run: run.to_string() }, &[]));
        if let Some(Ok(_)) = asked {
            eprintln!("  stopping the run; again to leave without waiting");
            let _ = signals.wait();
        }
        std::process::exit(i32::from(Exit::Stopped.code()));
    });
    Ok(())
}
