//! The channel with its opening handshake: reads frames, files them in the [`Book`], makes calls.
//!
//! One thread owns it. What is waiting to be sent is always written before it waits for something to arrive, so
//! neither side can wait for the other.

use crate::book::{Book, Part};
use crate::channel;
use crate::error::{Error, Lost, too_large};
use crate::outbox::{Outbox, SendError};
use pawang_protocol::limits::{VERSION, VERSION_MIN};
use pawang_protocol::{
    CancelReason, Denial, Failure, FrameBuffer, Gas, KernelHello, Message, MethodEntry, PeerHello,
    PluginName, Role, Status,
};
use serde::de::DeserializeOwned;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// An open channel.
pub(crate) struct Link {
    channel: Arc<OwnedFd>,
    incoming: FrameBuffer,
    pub(crate) out: Outbox,
    pub(crate) book: Book,
    pub(crate) methods: Vec<MethodEntry>,
}

/// A call to be made.
pub(crate) struct Request<'a> {
    pub(crate) parent: u64,
    pub(crate) method: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) args: &'a [u8],
    pub(crate) data: &'a [u8],
    pub(crate) deadline_ms: u32,
    pub(crate) gas_max: Gas,
}

impl Link {
    /// Reads the kernel's `Hello` and queues the answer, which leaves with the first flush: a tool is ready only once
    /// it has opened what it was told to.
    ///
    /// # Errors
    /// [`Lost`] where the channel is not there, or the kernel speaks another version or to another kind of process.
    pub(crate) fn open(role: Role, client: &str, plugin: Option<&str>) -> Result<(Self, KernelHello), Lost> {
        let is_wanted = if role == Role::Automation { channel::is_socket } else { |_: &OwnedFd| true };
        let channel = Arc::new(channel::take(is_wanted)?);
        let mut incoming = FrameBuffer::default();
        let (version, hello) = read_hello(&channel, &mut incoming)?;
        let version = choose_version(version, hello.version_min)?;
        if hello.role != role {
            return Err(Lost::Protocol(format!("this is a {role:?}, it was started as {:?}", hello.role)));
        }
        let out = Outbox::new(Arc::clone(&channel));
        let plugin = plugin.map(PluginName::new).transpose().map_err(|e| Lost::Protocol(e.to_string()))?;
        let answer = serde_json::to_vec(&PeerHello { client: client.to_owned(), plugin })
            .map_err(|e| Lost::Protocol(e.to_string()))?;
        out.queue(&Message::Hello { version, features: 0, body: &answer }).map_err(|e| match e {
            SendError::Lost(lost) => lost,
            SendError::TooLarge(e) => Lost::from(e),
        })?;
        let methods = hello.methods.clone();
        let mut link = Self { channel, incoming, out, book: Book::new(role), methods };
        // The first calls may have come with the Hello: a tool is started because of one.
        link.file()?;
        Ok((link, hello))
    }

    /// Waits until something arrives and files all that is there.
    ///
    /// # Errors
    /// [`Lost`] where the channel ends or what arrives is not the protocol.
    pub(crate) fn wait(&mut self) -> Result<(), Lost> {
        self.out.flush()?;
        channel::read(&self.channel, self.incoming.tail())?;
        self.file()
    }

    /// Files every whole frame that has been read.
    fn file(&mut self) -> Result<(), Lost> {
        while let Some(frame) = self.incoming.next_frame()? {
            self.book.take(Message::decode(frame)?)?;
        }
        Ok(())
    }

    /// Files what is there without waiting, unless so many calls wait that no more should be taken in.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub(crate) fn look(&mut self) -> Result<(), Lost> {
        if !self.book.is_full() && channel::is_readable(&self.channel) { self.wait() } else { Ok(()) }
    }

    /// Sends a call and returns its id.
    ///
    /// # Errors
    /// [`Error::Failed`] where there is no such method, it does not fit or too many are open; [`Error::Lost`].
    pub(crate) fn start(&mut self, request: &Request<'_>) -> Result<u64, Error> {
        let method = self.method(request.method).map_err(Error::Failed)?;
        let id = self.book.open().map_err(Error::Failed)?;
        let sent = self.out.queue(&Message::Call {
            id,
            parent: request.parent,
            method,
            deadline_ms: request.deadline_ms,
            gas_max: request.gas_max.0,
            resource: request.resource,
            secrets: b"",
            args: request.args,
            data: request.data,
        });
        match sent {
            Ok(()) => Ok(id),
            Err(SendError::Lost(lost)) => Err(Error::Lost(lost)),
            Err(SendError::TooLarge(e)) => {
                self.book.close(id);
                Err(Error::Failed(too_large(&e)))
            }
        }
    }

    /// The next reply to a call of ours if it is here.
    ///
    /// # Errors
    /// The call's own end where it was not [`Status::Ok`], and what [`Book::next_part`] refuses.
    pub(crate) fn part(&mut self, id: u64) -> Result<Option<Part>, Error> {
        match self.book.next_part(id) {
            Ok(Some(part)) => self.judge(id, part).map(Some),
            Ok(None) => Ok(None),
            Err(failure) => {
                self.cancel(id)?;
                Err(Error::Failed(failure))
            }
        }
    }

    /// Gives a call of ours up. Its late replies are dropped.
    ///
    /// # Errors
    /// [`Lost`] where the channel is gone.
    pub(crate) fn cancel(&mut self, id: u64) -> Result<(), Lost> {
        if !self.book.close(id) {
            return Ok(());
        }
        match self.out.send(&Message::Cancel { id, reason: CancelReason::Caller.into() }) {
            Ok(()) => Ok(()),
            Err(SendError::Lost(lost)) => Err(lost),
            Err(SendError::TooLarge(e)) => Err(Lost::from(e)),
        }
    }

    fn judge(&mut self, id: u64, part: Part) -> Result<Part, Error> {
        let error = match part.status {
            Status::Ok => return Ok(part),
            Status::Denied => Error::Denied(Box::new(told::<Denial>(&part.args)?)),
            Status::Failed => Error::Failed(told::<Failure>(&part.args)?),
            Status::Cancelled => Error::Cancelled,
        };
        self.book.close(id);
        Err(error)
    }

    fn method(&self, name: &str) -> Result<u32, Failure> {
        let entry = self.methods.iter().find(|entry| entry.name.as_str() == name);
        entry.map(|entry| entry.id).ok_or_else(|| {
            Failure::new("unknown_method", format!("the kernel offers no method {name}"))
                .hint("check the spelling and that the plugin is installed")
        })
    }
}

/// The version both sides speak: the newest of ours that is not newer than theirs.
fn choose_version(newest: u16, oldest: u16) -> Result<u16, Lost> {
    let version = newest.min(VERSION);
    if version < oldest || version < VERSION_MIN {
        return Err(Lost::Protocol(format!(
            "it speaks versions {oldest} to {newest}, this program {VERSION_MIN} to {VERSION}"
        )));
    }
    Ok(version)
}

fn read_hello(channel: &OwnedFd, incoming: &mut FrameBuffer) -> Result<(u16, KernelHello), Lost> {
    loop {
        if let Some(frame) = incoming.next_frame()? {
            let Message::Hello { version, body, .. } = Message::decode(frame)? else {
                return Err(Lost::Protocol("the first message is not a Hello".to_owned()));
            };
            return Ok((version, told(body)?));
        }
        channel::read(channel, incoming.tail())?;
    }
}

fn told<T: DeserializeOwned>(json: &[u8]) -> Result<T, Lost> {
    serde_json::from_slice(json).map_err(|e| Lost::Protocol(format!("unreadable JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::choose_version;

    #[test]
    fn version_is_the_newest_both_speak() {
        for (newest, oldest, chosen) in [(1, 1, Some(1)), (9, 1, Some(1)), (9, 2, None), (0, 0, None)] {
            assert_eq!(choose_version(newest, oldest).ok(), chosen, "{oldest} to {newest}");
        }
    }
}
