//! Ctrl-C and the other ways of being told to end, turned into a flag, so that the demo can clean up.
//!
//! A terminal sends Ctrl-C to the command that is running as well; that one ends by itself. Where only this process is
//! told, the running command is told on.

use crate::trouble::Trouble;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Whether the demo was told to end.
#[derive(Clone, Default)]
pub struct Interrupt {
    told: Arc<AtomicBool>,
    /// The running command; 0 for none.
    running: Arc<AtomicI32>,
}

impl Interrupt {
    /// Begins to watch. Signals are handled, not blocked: what is blocked, programs that are started inherit.
    ///
    /// # Errors
    /// [`Trouble::System`] where the signals cannot be handled.
    pub fn watch() -> Result<Self, Trouble> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| Trouble::System {
            what: "cannot watch for Ctrl-C".to_owned(),
            why: error.to_string(),
        })?;
        let interrupt = Self::default();
        let watching = interrupt.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                watching.told.store(true, Ordering::SeqCst);
                let running = watching.running.load(Ordering::SeqCst);
                if running != 0 && signal != SIGINT {
                    let _ = kill(Pid::from_raw(running), Signal::SIGTERM);
                }
            }
        });
        Ok(interrupt)
    }

    /// Says which command is running, so that it can be told on.
    pub fn running(&self, pid: u32) {
        self.running.store(i32::try_from(pid).unwrap_or(0), Ordering::SeqCst);
    }

    /// # Errors
    /// [`Trouble::Interrupted`] once the demo was told to end.
    pub fn check(&self) -> Result<(), Trouble> {
        if self.told.load(Ordering::SeqCst) { Err(Trouble::Interrupted) } else { Ok(()) }
    }
}
