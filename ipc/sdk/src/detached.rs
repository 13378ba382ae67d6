//! A reply that is finished on another thread, for tools that serve several calls at once.
//!
//! Whatever happens to it, the call is answered exactly once: dropping it unfinished answers with a failure. It
//! works with any runtime or none: waiting for cancellation is a plain `poll` function.

use crate::call::{Done, Outcome, Unfinished};
use crate::error::Lost;
use crate::outbox::Outbox;
use crate::replies::{chunks, send_last, send_part};
use pawang_protocol::Failure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The open end of one call. Cheap to move to another thread or task.
pub struct Detached {
    out: Outbox,
    id: u64,
    flag: Arc<Flag>,
}

/// What the serving loop and the detached reply share.
#[derive(Default)]
pub(crate) struct Flag {
    cancelled: AtomicBool,
    ended: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Flag {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl Detached {
    pub(crate) fn new(out: Outbox, id: u64, flag: Arc<Flag>) -> Self {
        Self { out, id, flag }
    }

    /// Streams content of any length. Blocks while the kernel takes no more.
    ///
    /// # Errors
    /// [`Unfinished::Cancelled`] once the caller no longer wants it; [`Unfinished::Lost`] with the channel.
    pub fn data(&mut self, data: &[u8]) -> Result<(), Unfinished> {
        chunks(data).try_for_each(|chunk| self.part(b"", chunk))
    }

    /// Streams one part with arguments of its own.
    ///
    /// # Errors
    /// As [`Self::data`], and `too_large` where it does not fit into one message.
    pub fn part(&mut self, args: &[u8], data: &[u8]) -> Result<(), Unfinished> {
        if self.flag.is_cancelled() {
            return Err(Unfinished::Cancelled);
        }
        send_part(&self.out, self.id, args, data)
    }

    /// Streams one part that was put together as a result; gas declared in it is not sent before the end.
    ///
    /// # Errors
    /// As [`Self::part`].
    pub fn done_part(&mut self, done: Done) -> Result<(), Unfinished> {
        self.part(&done.args, &done.data)
    }

    /// Ready once the call is cancelled. Wakes the task that polled last.
    pub fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waker = self.flag.waker.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock that `cancel` takes after setting the flag: no wake-up can fall between the two.
        if self.flag.is_cancelled() {
            return Poll::Ready(());
        }
        *waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the call.
    ///
    /// # Errors
    /// [`Lost`] where the channel is gone.
    pub fn finish(self, outcome: Outcome) -> Result<(), Lost> {
        self.end(outcome)
    }

    fn end(&self, outcome: Outcome) -> Result<(), Lost> {
        if self.flag.ended.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        send_last(&self.out, self.id, outcome, self.flag.is_cancelled())?;
        self.out.flush()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let dropped = Err(Failure::new("internal", "the tool gave the call up without an answer").into());
        // A lost channel ends the serving loop; there is nobody left to tell.
        let _ = self.end(dropped);
    }
}
