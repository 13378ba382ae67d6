//! Sorts what arrives: calls into the queue, replies to the call they answer, cancellations to where they matter.
//!
//! Pure: no I/O. It bounds what it keeps: at most [`WAITING_MAX`] calls wait, and a reply stream that nobody reads
//! is cut at [`UNREAD_MAX`] bytes, the rest of it dropped and the call failed.

use crate::call::Call;
use crate::detached::Flag;
use crate::error::Lost;
use pawang_protocol::limits::IN_FLIGHT_MAX;
use pawang_protocol::{Failure, Gas, Message, Role, Status};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Most bytes kept of one call's replies that were not asked for yet. Reading several streams at once needs the
/// others to wait somewhere; 64 MiB is 256 full chunks.
const UNREAD_MAX: usize = 64 << 20;
/// Most calls that wait to be served: sixteen runs that share the tool, each at its own limit.
const WAITING_MAX: usize = 16 * IN_FLIGHT_MAX;

/// One reply to a call this process made.
#[derive(Debug)]
pub struct Part {
    /// JSON by convention; empty where there is none.
    pub args: Vec<u8>,
    /// Raw content.
    pub data: Vec<u8>,
    /// Gas charged for the whole call, on the last part.
    pub gas: Gas,
    /// Whether another part follows.
    pub more: bool,
    pub(crate) status: Status,
}

/// Calls waiting, replies waiting, cancellations.
pub(crate) struct Book {
    role: Role,
    queue: VecDeque<(Call, bool)>,
    current: Option<(u64, bool)>,
    detached: HashMap<u64, Arc<Flag>>,
    inboxes: HashMap<u64, Inbox>,
    next_id: u64,
}

#[derive(Default)]
struct Inbox {
    parts: VecDeque<Part>,
    bytes: usize,
    overrun: bool,
}

impl Book {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            queue: VecDeque::new(),
            current: None,
            detached: HashMap::new(),
            inboxes: HashMap::new(),
            next_id: 1,
        }
    }

    /// Files one message.
    ///
    /// # Errors
    /// [`Lost::Protocol`] where it may not come now.
    pub(crate) fn take(&mut self, message: Message<'_>) -> Result<(), Lost> {
        match message {
            Message::Call { id, method, deadline_ms, gas_max, resource, secrets, args, data, .. } => self
                .take_call(Call {
                    id,
                    method,
                    deadline_ms,
                    gas_max: Gas(gas_max),
                    resource: resource.to_owned(),
                    secrets: secrets.to_owned(),
                    args: args.to_owned(),
                    data: data.to_owned(),
                }),
            Message::Reply { id, status, more, gas, args, data } => {
                let status = Status::try_from(status)?;
                let part = Part { args: args.to_owned(), data: data.to_owned(), gas: Gas(gas), more, status };
                self.take_reply(id, part)
            }
            Message::Cancel { id, .. } => {
                self.take_cancel(id);
                Ok(())
            }
            Message::Hello { .. } => Err(unexpected("a second Hello")),
            Message::Launch { .. } => Err(unexpected("a Launch")),
        }
    }

    /// The next call to serve, and whether it was cancelled while it waited. It is the current one from now on.
    pub(crate) fn next_call(&mut self) -> Option<(Call, bool)> {
        let (call, cancelled) = self.queue.pop_front()?;
        self.current = Some((call.id, cancelled));
        Some((call, cancelled))
    }

    /// Whether so many calls wait that taking in more should be left for later.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= IN_FLIGHT_MAX
    }

    pub(crate) fn end_current(&mut self) {
        self.current = None;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.current, Some((_, true)))
    }

    /// Lets the current call go on elsewhere.
    pub(crate) fn detach(&mut self, id: u64) -> Arc<Flag> {
        self.current = None;
        self.detached.retain(|_, flag| !flag.has_ended());
        let flag = Arc::new(Flag::default());
        self.detached.insert(id, Arc::clone(&flag));
        flag
    }

    /// An id for a call of our own; its replies are kept from now on.
    ///
    /// # Errors
    /// `too_many_in_flight`, at [`IN_FLIGHT_MAX`].
    pub(crate) fn open(&mut self) -> Result<u64, Failure> {
        if self.inboxes.len() >= IN_FLIGHT_MAX {
            return Err(Failure::new(
                "too_many_in_flight",
                format!("{IN_FLIGHT_MAX} calls of this process are unanswered or unread"),
            )
            .hint("wait for some of them first"));
        }
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        self.inboxes.insert(id, Inbox::default());
        Ok(id)
    }

    /// Forgets a call of our own; late replies to it are dropped. False where it was not open.
    pub(crate) fn close(&mut self, id: u64) -> bool {
        self.inboxes.remove(&id).is_some()
    }

    /// The next reply to a call of our own: `Ok(None)` where none is here yet.
    ///
    /// # Errors
    /// `not_in_flight` where the call has ended, `overrun` where its replies were not read for too long.
    pub(crate) fn next_part(&mut self, id: u64) -> Result<Option<Part>, Failure> {
        let Some(inbox) = self.inboxes.get_mut(&id) else {
            return Err(Failure::new("not_in_flight", "this call has ended already"));
        };
        match inbox.parts.pop_front() {
            Some(part) => {
                inbox.bytes = inbox.bytes.saturating_sub(part.data.len());
                if !part.more {
                    self.inboxes.remove(&id);
                }
                Ok(Some(part))
            }
            None if inbox.overrun => {
                Err(Failure::new("overrun", format!("more than {UNREAD_MAX} bytes of replies lay unread"))
                    .hint("read the replies of a call as they come"))
            }
            None => Ok(None),
        }
    }

    fn take_call(&mut self, call: Call) -> Result<(), Lost> {
        if self.role != Role::Tool {
            return Err(unexpected("a Call to an automation"));
        }
        if self.queue.len() >= WAITING_MAX {
            return Err(unexpected("a Call beyond the limit of calls that wait"));
        }
        self.queue.push_back((call, false));
        Ok(())
    }

    fn take_reply(&mut self, id: u64, part: Part) -> Result<(), Lost> {
        if id == 0 || id >= self.next_id {
            return Err(unexpected("a Reply to a call that was never made"));
        }
        // A call that was given up: its last replies are still under way.
        let Some(inbox) = self.inboxes.get_mut(&id) else { return Ok(()) };
        inbox.bytes = inbox.bytes.saturating_add(part.data.len());
        inbox.overrun |= inbox.bytes > UNREAD_MAX;
        if !inbox.overrun {
            inbox.parts.push_back(part);
        }
        Ok(())
    }

    fn take_cancel(&mut self, id: u64) {
        if let Some((current, cancelled)) = &mut self.current
            && *current == id
        {
            *cancelled = true;
        }
        for (call, cancelled) in &mut self.queue {
            *cancelled |= call.id == id;
        }
        if let Some(flag) = self.detached.remove(&id) {
            flag.cancel();
        }
    }
}

fn unexpected(what: &str) -> Lost {
    Lost::Protocol(format!("{what} arrived"))
}

#[cfg(test)]
mod tests {
    use super::{Book, IN_FLIGHT_MAX, UNREAD_MAX, WAITING_MAX};
    use crate::error::Lost;
    use pawang_protocol::{Message, Role};

    fn call(id: u64) -> Message<'static> {
        Message::Call {
            id,
            parent: 0,
            method: 1,
            deadline_ms: 0,
            gas_max: 0,
            resource: "/a",
            secrets: b"",
            args: b"",
            data: b"",
        }
    }

    fn reply(id: u64, more: bool, data: &[u8]) -> Message<'_> {
        Message::Reply { id, status: 0, more, gas: 0, args: b"", data }
    }

    fn refused(book: &mut Book, message: Message<'_>) -> String {
        match book.take(message) {
            Err(Lost::Protocol(what)) => what,
            other => panic!("expected a protocol error, got {other:?}"),
        }
    }

    #[test]
    fn messages_that_may_not_come_are_refused() {
        let mut tool = Book::new(Role::Tool);
        let hello = Message::Hello { version: 1, features: 0, body: b"" };
        assert_eq!(refused(&mut tool, hello), "a second Hello arrived");
        assert_eq!(refused(&mut tool, Message::Launch { id: 1, plan: b"" }), "a Launch arrived");
        let never = "a Reply to a call that was never made arrived";
        assert_eq!(refused(&mut tool, reply(1, false, b"")), never);
        assert_eq!(refused(&mut tool, reply(0, false, b"")), never);
        let mut automation = Book::new(Role::Automation);
        assert_eq!(refused(&mut automation, call(1)), "a Call to an automation arrived");
    }

    #[test]
    fn calls_wait_in_order_up_to_the_limit() {
        let mut book = Book::new(Role::Tool);
        for id in 1..=u64::try_from(WAITING_MAX).unwrap() {
            book.take(call(id)).unwrap();
        }
        assert!(refused(&mut book, call(9_999)).contains("beyond the limit"));
        assert_eq!(book.next_call().map(|(call, _)| call.id), Some(1));
        assert_eq!(book.next_call().map(|(call, _)| call.id), Some(2));
    }

    #[test]
    fn cancel_reaches_the_current_the_waiting_and_the_detached_call() {
        let mut book = Book::new(Role::Tool);
        for id in [1, 2, 3] {
            book.take(call(id)).unwrap();
        }
        book.next_call();
        let flag = book.detach(1);
        book.next_call();
        for id in [1, 2, 3, 77] {
            book.take(Message::Cancel { id, reason: 0 }).unwrap();
        }
        assert!(book.is_cancelled(), "current");
        assert!(book.next_call().unwrap().1, "waiting");
        assert!(flag.is_cancelled(), "detached");
    }

    #[test]
    fn f53_late_reply_to_a_call_given_up_is_dropped() {
        let mut book = Book::new(Role::Automation);
        let id = book.open().unwrap();
        assert!(book.close(id));
        book.take(reply(id, false, b"late")).unwrap();
        assert_eq!(book.next_part(id).unwrap_err().code, "not_in_flight");
        assert_eq!(book.open().unwrap(), id + 1, "ids are never used twice");
    }

    #[test]
    fn replies_go_to_the_call_they_answer() {
        let mut book = Book::new(Role::Automation);
        let (a, b) = (book.open().unwrap(), book.open().unwrap());
        book.take(reply(b, false, b"b")).unwrap();
        assert!(book.next_part(a).unwrap().is_none());
        assert_eq!(book.next_part(b).unwrap().unwrap().data, b"b");
        assert_eq!(book.next_part(b).unwrap_err().code, "not_in_flight");
    }

    #[test]
    fn unread_replies_are_bounded_and_the_call_says_so() {
        let mut book = Book::new(Role::Automation);
        let id = book.open().unwrap();
        let chunk = vec![0; 1 << 18];
        for _ in 0..UNREAD_MAX / chunk.len() {
            book.take(reply(id, true, &chunk)).unwrap();
        }
        assert!(book.next_part(id).unwrap().is_some(), "at the limit nothing is lost");
        for _ in 0..2 {
            book.take(reply(id, true, &chunk)).unwrap();
        }
        while let Ok(Some(_)) = book.next_part(id) {}
        assert_eq!(book.next_part(id).unwrap_err().code, "overrun");
    }

    #[test]
    fn own_calls_in_flight_are_bounded() {
        let mut book = Book::new(Role::Automation);
        for _ in 0..IN_FLIGHT_MAX {
            book.open().unwrap();
        }
        assert_eq!(book.open().unwrap_err().code, "too_many_in_flight");
    }
}
