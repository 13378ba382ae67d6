//! Plans in, reports out: frames over the kernel's socket, with descriptors beside them.
//!
//! The kernel is trusted, yet nothing is taken on trust: lengths, tags and the number of descriptors are checked, and a
//! frame that is not a plan ends the launcher.

use pawang_protocol::frame::FrameBuffer;
use pawang_protocol::limits::VERSION;
use pawang_protocol::message::{Message, Status};
use pawang_sandbox::plan::{Facts, PLAN_FDS_MAX, Plan, Report, decode, encode};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The kernel's socket.
pub struct Wire {
    received: FrameBuffer,
}

/// One plan with its descriptors.
pub struct Request {
    /// Echoed in the report.
    pub id: u64,
    /// What to do.
    pub plan: Plan,
    /// In the order that `plan` documents.
    pub fds: Vec<OwnedFd>,
}

impl Wire {
    /// The socket that the kernel has put on descriptor 0.
    pub fn kernel() -> Self {
        Self { received: FrameBuffer::default() }
    }

    /// Says what the machine gives.
    pub fn hello(&mut self, facts: &Facts) -> Result<(), String> {
        let body = encode(facts)?;
        self.send(&Message::Hello { version: VERSION, features: 0, body: &body }, None)
    }

    /// Answers a plan.
    pub fn report(&mut self, id: u64, report: &Report, pidfd: Option<OwnedFd>) -> Result<(), String> {
        let (data, status) = (encode(report)?, if report.stage == 0 { Status::Ok } else { Status::Failed });
        let message =
            Message::Reply { id, status: status.into(), more: false, gas: 0, args: &[], data: &data };
        self.send(&message, pidfd)
    }

    /// The next plan; `None` once the kernel is gone.
    pub fn request(&mut self) -> Result<Option<Request>, String> {
        let mut fds = Vec::new();
        loop {
            if let Some(frame) = self.received.next_frame().map_err(|e| e.to_string())? {
                return request(frame, fds).map(Some);
            }
            let mut bytes = [0; 16 << 10];
            let count = receive(&mut bytes, &mut fds)?;
            match bytes.get(..count) {
                Some(part) if count > 0 => self.received.extend(part),
                _ => return self.received.finish().map(|()| None).map_err(|e| e.to_string()),
            }
        }
    }

    fn send(&mut self, message: &Message<'_>, fd: Option<OwnedFd>) -> Result<(), String> {
        let mut frame = Vec::new();
        message.encode_frame(&mut frame).map_err(|e| e.to_string())?;
        let fds: Vec<BorrowedFd<'_>> = fd.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let socket = rustix::stdio::stdin();
        // A report is some hundred bytes: the socket takes it whole or fails.
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(socket, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(count) if count == frame.len() => Ok(()),
            Ok(_) => Err("the kernel's socket took half a report".to_owned()),
            Err(errno) => Err(errno.to_string()),
        }
    }
}

fn request(frame: &[u8], fds: Vec<OwnedFd>) -> Result<Request, String> {
    match Message::decode(frame).map_err(|e| e.to_string())? {
        Message::Launch { id, plan } => Ok(Request { id, plan: decode(plan)?, fds }),
        _ => Err("a message that is not Launch".to_owned()),
    }
}

fn receive(bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, String> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PLAN_FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let socket = rustix::stdio::stdin();
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(|e| e.to_string())?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    Ok(received.bytes)
}
