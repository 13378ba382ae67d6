//! One launcher process as the kernel's side sees it: a socket with frames and descriptors on it.
//!
//! Blocking, with a limit on how long an answer may take. Whatever is not exactly the answer expected means that the
//! launcher is lost: it is never guessed what it may have done.

use crate::launcher::LaunchError;
use crate::plan::{Facts, PLAN_FDS_MAX, Plan, Report, decode, encode};
use core::fmt;
use pawang_protocol::frame::FrameBuffer;
use pawang_protocol::message::Message;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long one answer of the launcher may take. It needs some milliseconds on a busy machine; beyond this it hangs.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The kernel's end of a launcher's socket.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    received: FrameBuffer,
    next: u64,
}

impl Link {
    /// A new link, and the end that becomes the launcher's descriptor 0.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), LaunchError> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let (socket, theirs) =
            rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None).map_err(lost)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_MAX)).map_err(lost)?;
        Ok((Self { socket, received: FrameBuffer::default(), next: 1 }, theirs))
    }

    /// What the launcher begins with.
    pub(crate) fn hello(&mut self) -> Result<Facts, LaunchError> {
        let (frame, _) = self.frame()?;
        match Message::decode(&frame).map_err(lost)? {
            Message::Hello { body, .. } => decode(body).map_err(lost),
            _ => Err(LaunchError::Lost("it did not begin with Hello".to_owned())),
        }
    }

    /// Sends a plan, waits for the report.
    pub(crate) fn exchange(
        &mut self,
        plan: &Plan,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Report, Option<OwnedFd>), LaunchError> {
        let (id, bytes) = (self.next, encode(plan).map_err(LaunchError::TooLong)?);
        self.next = id.saturating_add(1);
        let mut frame = Vec::new();
        let message = Message::Launch { id, plan: &bytes };
        message.encode_frame(&mut frame).map_err(|e| LaunchError::TooLong(e.to_string()))?;
        self.send(&frame, fds)?;
        self.answer(id)
    }

    /// Ends the launcher: it lives as long as its socket.
    pub(crate) fn close(&self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    fn answer(&mut self, wanted: u64) -> Result<(Report, Option<OwnedFd>), LaunchError> {
        let (frame, fd) = self.frame()?;
        match Message::decode(&frame).map_err(lost)? {
            Message::Reply { id, data, .. } if id == wanted => Ok((decode(data).map_err(lost)?, fd)),
            _ => Err(LaunchError::Lost("it answered something else".to_owned())),
        }
    }

    /// One whole frame, and the descriptor that came with it.
    fn frame(&mut self) -> Result<(Vec<u8>, Option<OwnedFd>), LaunchError> {
        let mut descriptor = None;
        loop {
            if let Some(frame) = self.received.next_frame().map_err(lost)? {
                return Ok((frame.to_vec(), descriptor));
            }
            let mut bytes = [0; 4096];
            let (count, fd) = self.receive(&mut bytes)?;
            descriptor = descriptor.or(fd);
            match bytes.get(..count).filter(|part| !part.is_empty()) {
                Some(part) => self.received.extend(part),
                None => return Err(LaunchError::Lost("it has ended".to_owned())),
            }
        }
    }

    /// Descriptors go with the first byte; the rest of a long frame follows.
    fn send(&self, frame: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), LaunchError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PLAN_FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(LaunchError::Lost("too many descriptors for one message".to_owned()));
        }
        let (socket, flags) = (&self.socket, SendFlags::NOSIGNAL);
        let mut sent = retry(|| rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, flags))?;
        while let Some(rest) = frame.get(sent..).filter(|rest| !rest.is_empty()) {
            sent = sent.saturating_add(retry(|| rustix::net::send(socket, rest, flags))?);
        }
        Ok(())
    }

    fn receive(&self, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), LaunchError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let (socket, flags) = (&self.socket, RecvFlags::CMSG_CLOEXEC);
        let received =
            retry(|| rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags))?;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        Ok((received.bytes, descriptors.pop()))
    }
}

pub(crate) fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, LaunchError> {
    rustix::io::retry_on_intr(call).map_err(lost)
}

pub(crate) fn lost(error: impl fmt::Display) -> LaunchError {
    LaunchError::Lost(error.to_string())
}
