//! The open end of the call being served: streaming, noticing cancellation, nested calls.

use crate::book::Part;
use crate::call::{Call, Outcome, Unfinished};
use crate::error::{Error, Lost, too_large};
use crate::link::{Link, Request};
use crate::outbox::{Outbox, SendError};
use pawang_protocol::limits::DATA_MAX;
use pawang_protocol::{Failure, Gas, Message, Status};

/// Sends parts of the answer while the call is being served. The method's return value is the last part.
pub struct Replies<'a> {
    link: &'a mut Link,
    id: u64,
    nested: Vec<u64>,
}

/// A call made on behalf of the one being served. Given up by itself if that one ends first.
#[derive(Debug)]
pub struct Nested(u64);

impl<'a> Replies<'a> {
    pub(crate) fn new(link: &'a mut Link, call: &Call) -> Self {
        Self { link, id: call.id, nested: Vec::new() }
    }

    /// Streams content of any length. Blocks while the kernel takes no more.
    ///
    /// # Errors
    /// [`Unfinished::Cancelled`] once the caller no longer wants it; [`Unfinished::Lost`] with the channel.
    pub fn data(&mut self, data: &[u8]) -> Result<(), Unfinished> {
        chunks(data).try_for_each(|chunk| self.part(b"", chunk))
    }

    /// Streams one part with arguments of its own; content up to 256 KiB.
    ///
    /// # Errors
    /// As [`Self::data`], and `too_large` where it does not fit into one message.
    pub fn part(&mut self, args: &[u8], data: &[u8]) -> Result<(), Unfinished> {
        self.check_cancelled()?;
        send_part(&self.link.out, self.id, args, data)
    }

    /// To be asked now and then by work that is long and sends nothing. Never waits.
    ///
    /// # Errors
    /// [`Unfinished::Cancelled`] once the caller no longer wants it; [`Unfinished::Lost`] with the channel.
    pub fn check_cancelled(&mut self) -> Result<(), Unfinished> {
        self.link.look()?;
        if self.link.book.is_cancelled() { Err(Unfinished::Cancelled) } else { Ok(()) }
    }

    /// Makes a call for the one being served: permitted by the tool's own contract, paid by the caller.
    ///
    /// # Errors
    /// `unknown_method` where the kernel did not offer it to this tool, `too_large`, or the loss of the channel.
    pub fn call(
        &mut self,
        method: &str,
        resource: &str,
        args: &[u8],
        data: &[u8],
    ) -> Result<Nested, Unfinished> {
        self.call_within(0, method, resource, args, data)
    }

    /// As [`Self::call`], waiting at most `deadline_ms`; 0 for the method's own deadline.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn call_within(
        &mut self,
        deadline_ms: u32,
        method: &str,
        resource: &str,
        args: &[u8],
        data: &[u8],
    ) -> Result<Nested, Unfinished> {
        let parent = self.id;
        let request = Request { parent, method, resource, args, data, deadline_ms, gas_max: Gas::ZERO };
        let id = self.link.start(&request)?;
        self.nested.push(id);
        Ok(Nested(id))
    }

    /// Waits for the next part of a nested call; the last one says so in [`Part::more`].
    ///
    /// # Errors
    /// [`Unfinished::Cancelled`] once the outer call is cancelled; otherwise how the nested call ended.
    pub fn next(&mut self, nested: &Nested) -> Result<Part, Unfinished> {
        loop {
            if self.link.book.is_cancelled() {
                return Err(Unfinished::Cancelled);
            }
            match self.link.part(nested.0) {
                Ok(Some(part)) => return Ok(part),
                Ok(None) => self.link.wait()?,
                Err(Error::Cancelled) => {
                    return Err(Failure::new("cancelled", "a call the tool needs was cancelled").into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends the last part.
    pub(crate) fn end(self, outcome: Outcome) -> Result<(), Lost> {
        for id in self.nested {
            self.link.cancel(id)?;
        }
        let cancelled = self.link.book.is_cancelled();
        self.link.book.end_current();
        send_last(&self.link.out, self.id, outcome, cancelled)
    }
}

/// Cuts content into pieces that fit into one message.
pub(crate) fn chunks(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.chunks(DATA_MAX)
}

pub(crate) fn send_part(out: &Outbox, id: u64, args: &[u8], data: &[u8]) -> Result<(), Unfinished> {
    let message = Message::Reply { id, status: Status::Ok.into(), more: true, gas: 0, args, data };
    out.send(&message).map_err(|e| match e {
        SendError::Lost(lost) => Unfinished::Lost(lost),
        SendError::TooLarge(e) => Unfinished::Failed(too_large(&e)),
    })
}

/// Queues the last part of a call. What does not fit becomes a failure that says so: a call is always answered.
pub(crate) fn send_last(out: &Outbox, id: u64, outcome: Outcome, cancelled: bool) -> Result<(), Lost> {
    let sent = match outcome {
        Ok(done) => queue_last(out, id, Status::Ok, done.gas.0, &done.args, &done.data),
        Err(Unfinished::Lost(lost)) => return Err(lost),
        // The kernel is owed a "cancelled" only where it asked for one.
        Err(Unfinished::Cancelled) if cancelled => queue_last(out, id, Status::Cancelled, 0, b"", b""),
        Err(Unfinished::Cancelled) => {
            queue_failure(out, id, &Failure::new("cancelled", "the tool gave up before it was done"))
        }
        Err(Unfinished::Failed(failure)) => queue_failure(out, id, &failure),
    };
    match sent {
        Err(SendError::TooLarge(e)) => queue_failure(out, id, &too_large(&e)).map_err(lost),
        other => other.map_err(lost),
    }
}

fn queue_failure(out: &Outbox, id: u64, failure: &Failure) -> Result<(), SendError> {
    // A failure is four plain fields: there is no value of it without a JSON form.
    let args = serde_json::to_vec(failure).unwrap_or_default();
    queue_last(out, id, Status::Failed, 0, &args, b"")
}

fn queue_last(
    out: &Outbox,
    id: u64,
    status: Status,
    gas: u64,
    args: &[u8],
    data: &[u8],
) -> Result<(), SendError> {
    out.queue(&Message::Reply { id, status: status.into(), more: false, gas, args, data })
}

fn lost(e: SendError) -> Lost {
    match e {
        SendError::Lost(lost) => lost,
        SendError::TooLarge(e) => Lost::from(e),
    }
}
