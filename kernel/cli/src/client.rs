//! The control client: one blocking connection to the daemon, over its Unix socket, role `control`.
//!
//! It promises that what it talks to runs as this user or as root, and that a daemon which breaks the protocol is left
//! at once. It asks one thing at a time, and reads its replies to the end; what may be said meanwhile (stop, input)
//! goes through a [`Voice`]. It does not decide, retry, or know what methods mean.

pub mod start;

use crate::exit::Exit;
use crate::places::Place;
use crate::trouble::{Result, Trouble};
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{GenericFilePath, Stream};
use pawang_protocol::limits::{VERSION, VERSION_MIN};
use pawang_protocol::{Failure, FrameBuffer, KernelHello, Message, PeerHello, Role, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the daemon may take to greet. It greets before it does anything else.
const GREETING_S: u64 = 10;
/// Bytes asked for by one read.
const READ_CHUNK: usize = 64 << 10;

/// A connection, greeted.
#[derive(Debug)]
pub struct Client {
    voice: Voice,
    buffer: FrameBuffer,
}

/// The speaking half of a connection. Clones speak on the same one.
#[derive(Debug, Clone)]
pub struct Voice {
    stream: Arc<Stream>,
    /// Held while a frame is written, so that frames do not mix.
    turn: Arc<Mutex<()>>,
    methods: Arc<BTreeMap<String, u32>>,
    last_id: Arc<AtomicU64>,
}

/// One reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The call it answers.
    pub id: u64,
    /// How that call ended, or goes on.
    pub status: Status,
    /// Whether more replies follow.
    pub more: bool,
    /// JSON.
    pub args: Vec<u8>,
    /// Raw content.
    pub data: Vec<u8>,
}

impl Client {
    /// Connects to the daemon, starting it first where it is the user's own and does not run.
    ///
    /// # Errors
    /// Where it cannot be reached or started, is another user's, or speaks another version.
    pub fn connect(place: &Place) -> Result<Self> {
        start::stream(place).and_then(Self::greet)
    }

    /// Connects to a daemon that runs; `None` where none does.
    ///
    /// # Errors
    /// As [`Client::connect`], but never for a daemon that is not there.
    pub fn connect_running(place: &Place) -> Result<Option<Self>> {
        match open(&place.socket()) {
            Ok(stream) => Self::greet(stream).map(Some),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(unreachable(place, &e)),
        }
    }

    /// Reads the daemon's `Hello` and answers it.
    fn greet(stream: Stream) -> Result<Self> {
        check_owner(&stream)?;
        let wait = Duration::from_secs(GREETING_S);
        let unready = |e: io::Error| broken("it did not greet").why(e);
        stream.set_recv_timeout(Some(wait)).map_err(unready)?;
        let stream = Arc::new(stream);
        let mut buffer = FrameBuffer::default();
        let methods = read_frame(&stream, &mut buffer, |message| match message {
            Message::Hello { version, body, .. } => Some(method_table(version, body)),
            _ => None,
        })??;
        stream.set_recv_timeout(None).map_err(unready)?;
        let voice = Voice {
            stream,
            turn: Arc::default(),
            methods: Arc::new(methods),
            last_id: Arc::new(AtomicU64::new(0)),
        };
        let body = encode(&PeerHello {
            client: concat!("pawang ", env!("CARGO_PKG_VERSION")).to_owned(),
            plugin: None,
        })?;
        voice.send(&Message::Hello { version: VERSION, features: 0, body: &body })?;
        Ok(Self { voice, buffer })
    }

    /// Something that can speak while replies are being read.
    #[must_use]
    pub fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Asks for one thing that is answered once. `what` completes "cannot …" where it is refused.
    ///
    /// # Errors
    /// The daemon's refusal, or a lost connection.
    pub fn ask<R: DeserializeOwned>(&mut self, what: &str, method: &str, args: &impl Serialize) -> Result<R> {
        self.ask_with(what, method, args, &[])
    }

    /// As [`Client::ask`], with raw content.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_with<R: DeserializeOwned>(
        &mut self,
        what: &str,
        method: &str,
        args: &impl Serialize,
        data: &[u8],
    ) -> Result<R> {
        let id = self.voice.call(method, args, data)?;
        loop {
            let reply = self.read()?;
            if reply.id == id && !reply.more {
                return reply.ok(what)?.decode();
            }
        }
    }

    /// Asks for something that is answered in pieces: each is handed to `take`, the last one too.
    ///
    /// # Errors
    /// The daemon's refusal, a lost connection, or what `take` returns.
    pub fn stream(
        &mut self,
        what: &str,
        method: &str,
        args: &impl Serialize,
        mut take: impl FnMut(Reply) -> Result<()>,
    ) -> Result<()> {
        let id = self.voice.call(method, args, &[])?;
        loop {
            let reply = self.read()?;
            if reply.id != id {
                continue;
            }
            let reply = reply.ok(what)?;
            let more = reply.more;
            take(reply)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// The next reply to any call.
    ///
    /// # Errors
    /// A lost connection, or bytes that are no reply.
    pub fn read(&mut self) -> Result<Reply> {
        read_frame(&self.voice.stream, &mut self.buffer, |message| match message {
            Message::Reply { id, status, more, args, data, .. } => {
                let status = Status::try_from(status).ok()?;
                Some(Reply { id, status, more, args: args.to_vec(), data: data.to_vec() })
            }
            _ => None,
        })
    }
}

impl Voice {
    /// Sends a call and returns its id.
    ///
    /// # Errors
    /// A method this daemon lacks, arguments beyond the protocol's limits, or a lost connection.
    pub fn call(&self, method: &str, args: &impl Serialize, data: &[u8]) -> Result<u64> {
        let number = *self.methods.get(method).ok_or_else(|| {
            Trouble::new(Exit::Failed, format!("this daemon does not know {method}"))
                .why("it is of another version than this command")
                .hint("restart it: pawang stop --daemon")
        })?;
        let args = encode(args)?;
        let id = self.last_id.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.send(&Message::Call {
            id,
            parent: 0,
            method: number,
            deadline_ms: 0,
            gas_max: 0,
            resource: "",
            secrets: &[],
            args: &args,
            data,
        })?;
        Ok(id)
    }

    fn send(&self, message: &Message<'_>) -> Result<()> {
        let mut frame = Vec::new();
        message
            .encode_frame(&mut frame)
            .map_err(|e| Trouble::new(Exit::Usage, "the request is too large").why(e))?;
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (&*self.stream).write_all(&frame).map_err(|e| lost().why(e))
    }
}

impl Reply {
    /// Itself, where it is good.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub fn ok(self, what: &str) -> Result<Self> {
        match self.status {
            Status::Ok => Ok(self),
            Status::Failed => Err(Trouble::daemon(what, self.decode::<Failure>()?)),
            Status::Denied => {
                let denial: pawang_protocol::Denial = self.decode()?;
                Err(Trouble::new(Exit::Denied, what).why(denial))
            }
            Status::Cancelled => Err(Trouble::new(Exit::Stopped, what).why("the daemon cancelled it")),
        }
    }

    /// Its arguments.
    ///
    /// # Errors
    /// Where they are not what this version expects.
    pub fn decode<R: DeserializeOwned>(&self) -> Result<R> {
        let empty = if self.args.is_empty() { b"null".as_slice() } else { &self.args };
        serde_json::from_slice(empty)
            .map_err(|e| broken("its answer is not what this version expects").why(e))
    }
}

/// Opens the socket, without a word.
fn open(path: &Path) -> io::Result<Stream> {
    Stream::connect(path.to_fs_name::<GenericFilePath>()?)
}

/// Whether nobody listens there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// A socket in a place that others may write to could be anyone's: what is asked must not reach them.
fn check_owner(stream: &Stream) -> Result<()> {
    let owner = stream.peer_creds().map_err(|e| broken("whose it is cannot be told").why(e))?.euid();
    let me = nix::unistd::geteuid();
    if owner.is_some_and(|uid| uid == 0 || uid == me.as_raw()) {
        return Ok(());
    }
    Err(Trouble::new(Exit::Refused, "the daemon on the control socket is another user's")
        .why(format!(
            "it runs as uid {}, this command as {me}",
            owner.map_or_else(|| "?".into(), |u| u.to_string())
        ))
        .hint("name your own state directory: --state DIR"))
}

fn method_table(version: u16, body: &[u8]) -> Result<BTreeMap<String, u32>> {
    let hello: KernelHello =
        serde_json::from_slice(body).map_err(|e| broken("its greeting cannot be read").why(e))?;
    if hello.role != Role::Control {
        return Err(broken("it is not a control socket"));
    }
    if version < VERSION || hello.version_min > VERSION {
        return Err(Trouble::new(Exit::Unreachable, "the daemon speaks another version of the protocol")
            .why(format!(
                "it speaks {} to {version}, this command {VERSION_MIN} to {VERSION}",
                hello.version_min
            ))
            .hint("install both from the same release, and restart the daemon"));
    }
    Ok(hello.methods.into_iter().map(|m| (m.name.as_str().to_owned(), m.id)).collect())
}

/// Reads until one whole frame is there, and hands its message to `take`, which returns `None` for what it did not expect.
fn read_frame<T>(
    stream: &Stream,
    buffer: &mut FrameBuffer,
    take: impl Fn(Message<'_>) -> Option<T>,
) -> Result<T> {
    loop {
        if let Some(frame) = buffer.next_frame().map_err(|e| broken("it broke the protocol").why(e))? {
            let message = Message::decode(frame).map_err(|e| broken("it broke the protocol").why(e))?;
            return take(message)
                .ok_or_else(|| broken("it broke the protocol").why("not the message expected"));
        }
        let mut chunk = [0; READ_CHUNK];
        let mut source = stream;
        match source.read(&mut chunk) {
            Ok(0) => return Err(lost()),
            Ok(n) => buffer.extend(chunk.get(..n).unwrap_or(&chunk)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(lost().why(e)),
        }
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| Trouble::new(Exit::Failed, "the request cannot be written as JSON").why(e))
}

fn lost() -> Trouble {
    Trouble::new(Exit::Unreachable, "the connection to the daemon was lost")
        .why("it ended, or was killed; what it had written is kept")
        .hint("ask again: what it was doing is in `pawang ps --all`")
}

fn broken(what: &str) -> Trouble {
    Trouble::new(Exit::Unreachable, format!("the daemon cannot be talked to: {what}"))
        .hint("check that pawang and pawangd are of the same release")
}

fn unreachable(place: &Place, error: &io::Error) -> Trouble {
    let trouble = Trouble::new(Exit::Unreachable, "cannot reach the daemon")
        .why(format!("{}: {error}", place.socket().display()));
    match place {
        Place::System => {
            trouble.hint("ask who runs the service to let you in, or use your own daemon: --state DIR")
        }
        Place::Own { .. } => trouble.hint("see pawangd.log in the state directory"),
    }
}
