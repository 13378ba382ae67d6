//! The control socket from the other side: a client that can do what `pawang` does, and what it never would.

use crate::wait::PATIENCE;
use pawang_protocol::hello::{KernelHello, PeerHello};
use pawang_protocol::{Failure, FrameBuffer, Message};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection.
pub struct Control {
    stream: UnixStream,
    received: FrameBuffer,
    methods: HashMap<String, u32>,
    last_id: u64,
}

/// One reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The call.
    pub id: u64,
    /// 0 for ok.
    pub status: u8,
    /// Whether another follows.
    pub more: bool,
    /// Its JSON.
    pub args: Value,
    /// Its data.
    pub data: Vec<u8>,
}

impl Control {
    /// Connects and says Hello.
    ///
    /// # Errors
    /// Where nobody listens, or the connection is closed at once.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut control =
            Self { stream, received: FrameBuffer::default(), methods: HashMap::new(), last_id: 0 };
        let frame = control.frame()?;
        let Message::Hello { body, .. } = Message::decode(&frame).unwrap() else { panic!("no Hello") };
        let hello: KernelHello = serde_json::from_slice(body).unwrap();
        control.methods = hello.methods.into_iter().map(|m| (m.name.as_str().to_owned(), m.id)).collect();
        let body = serde_json::to_vec(&PeerHello { client: "tests".to_owned(), plugin: None }).unwrap();
        control.send(&Message::Hello { version: 1, features: 0, body: &body })?;
        Ok(control)
    }

    /// Sends any message.
    ///
    /// # Errors
    /// Where the daemon is gone.
    pub fn send(&mut self, message: &Message) -> io::Result<()> {
        let mut frame = Vec::new();
        message.encode_frame(&mut frame).unwrap();
        self.stream.write_all(&frame)
    }

    /// Makes a call and returns its id.
    ///
    /// # Errors
    /// Where the daemon is gone.
    pub fn call(&mut self, method: &str, args: &Value, data: &[u8]) -> io::Result<u64> {
        self.last_id += 1;
        let args = if args.is_null() { Vec::new() } else { serde_json::to_vec(args).unwrap() };
        let message = Message::Call {
            id: self.last_id,
            parent: 0,
            method: self.methods[method],
            deadline_ms: 0,
            gas_max: 0,
            resource: "",
            secrets: &[],
            args: &args,
            data,
        };
        self.send(&message)?;
        Ok(self.last_id)
    }

    /// No longer wants an answer.
    ///
    /// # Errors
    /// Where the daemon is gone.
    pub fn cancel(&mut self, id: u64) -> io::Result<()> {
        self.send(&Message::Cancel { id, reason: 0 })
    }

    /// The next reply.
    ///
    /// # Errors
    /// Where the daemon is gone.
    pub fn read(&mut self) -> io::Result<Reply> {
        let frame = self.frame()?;
        let Message::Reply { id, status, more, args, data, .. } = Message::decode(&frame).unwrap() else {
            panic!("the daemon sent something else than a reply");
        };
        let args = if args.is_empty() { Value::Null } else { serde_json::from_slice(args).unwrap() };
        Ok(Reply { id, status, more, args, data: data.to_vec() })
    }

    /// A call and its one answer.
    ///
    /// # Errors
    /// The failure the daemon answers with.
    pub fn ask(&mut self, method: &str, args: &Value, data: &[u8]) -> Result<Value, Failure> {
        let id = self.call(method, args, data).unwrap();
        loop {
            let reply = self.read().unwrap();
            if reply.id == id && !reply.more {
                return reply.outcome();
            }
        }
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.received.next_frame().map_err(io::Error::other)? {
                return Ok(frame.to_vec());
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend(&chunk[..count]),
            }
        }
    }
}

impl Reply {
    /// Its value, or the failure.
    ///
    /// # Errors
    /// The failure the daemon answers with.
    pub fn outcome(self) -> Result<Value, Failure> {
        match self.status {
            0 => Ok(self.args),
            _ => Err(serde_json::from_value(self.args).unwrap()),
        }
    }
}
