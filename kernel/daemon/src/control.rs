//! The control socket: who may connect, and the conversation with each command line.
//!
//! The same frames as on every channel, role `control`. A peer is asked by the system who it is before a byte of it is read
//! (f48): the daemon's own user, root, or, on a socket that the service manager made for a group, whom its mode lets in.
//! Nobody who runs under a contract can reach it: no automation and no tool has a socket call, but `http`, which has no
//! local ones.
//!
//! Not here: what each method does (`methods`, `runs`).

mod methods;
mod runs;

use crate::conn::{Conn, Sent};
use crate::kernel::{Content, Kernel, Shared};
use pawang_core::control::{METHODS, RunEvent};
use pawang_core::run::RunId;
use pawang_protocol::hello::{KernelHello, MethodEntry, PeerHello, Role};
use pawang_protocol::limits::{VERSION, VERSION_MIN};
use pawang_protocol::{Failure, Message, MethodName, Status};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// Most connections at a time. One more is closed at once; 10,000 of them cost nobody anything.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may take to say Hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Bytes taken at once.
const READ_MAX: usize = 64 << 10;

/// One command line.
pub struct Control {
    conn: RefCell<Conn>,
    is_gone: Cell<bool>,
    /// Runs it started and stays with, by call.
    attached: RefCell<HashMap<u64, RunId>>,
    /// Calls it no longer wants.
    gone: Rc<Notify>,
}

/// Whoever looks on at a run.
#[derive(Clone)]
pub enum Watcher {
    /// A command line, in the answer to its call.
    Control {
        /// The connection.
        control: Rc<Control>,
        /// Its call.
        id: u64,
    },
    /// The run that started it as a helper, in the answer to its call.
    Call {
        /// The kernel.
        shared: Weak<RefCell<Kernel>>,
        /// The kernel's number of the call.
        id: u64,
    },
}

/// A call on the control socket.
pub struct Request<'a> {
    id: u64,
    method: &'static str,
    args: &'a [u8],
    data: &'a [u8],
}

/// Accepts command lines for as long as the daemon lives.
pub async fn listen(shared: Shared, listener: UnixListener, is_group_socket: bool) {
    let count = Rc::new(Cell::new(0usize));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: wait for some to come back instead of spinning.
                eprintln!("pawangd: level=warn what=\"cannot accept\" error={error:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if count.get() >= CONNECTIONS_MAX || !is_allowed(&stream, is_group_socket) {
            continue;
        }
        count.set(count.get().saturating_add(1));
        let (shared, count) = (Rc::clone(&shared), Rc::clone(&count));
        spawn_local(async move {
            converse(&shared, stream).await;
            count.set(count.get().saturating_sub(1));
        });
    }
}

fn is_allowed(stream: &UnixStream, is_group_socket: bool) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    let own = nix::unistd::geteuid().as_raw();
    let is_known = peer.uid() == own || peer.uid() == 0 || is_group_socket;
    if !is_known {
        eprintln!("pawangd: level=warn what=\"connection refused\" uid={} pid={:?}", peer.uid(), peer.pid());
    }
    is_known
}

async fn converse(shared: &Shared, stream: UnixStream) {
    let stream = Rc::new(stream);
    let control = Rc::new(Control {
        conn: RefCell::new(Conn::new(Rc::clone(&stream))),
        is_gone: Cell::new(false),
        attached: RefCell::new(HashMap::new()),
        gone: Rc::new(Notify::new()),
    });
    let hello = serde_json::to_vec(&hello()).unwrap_or_default();
    control.push(&Message::Hello { version: VERSION, features: 0, body: &hello });
    let mut buffer = vec![0; READ_MAX];
    let started = tokio::time::Instant::now();
    loop {
        let is_greeted = control.conn.borrow().is_greeted;
        let ready = if is_greeted {
            stream.readable().await
        } else {
            let left = HELLO_WITHIN.saturating_sub(started.elapsed());
            tokio::time::timeout(left, stream.readable())
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        if ready.is_err() {
            break;
        }
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if let Err(what) = received(shared, &control, buffer.get(..count).unwrap_or_default()) {
                    eprintln!(
                        "pawangd: level=warn what=\"a command line broke the protocol\" how=\"{what}\""
                    );
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    control.is_gone.set(true);
    control.conn.borrow().room.notify_waiters();
    control.gone.notify_waiters();
    runs::abandon(shared, &control);
}

fn hello() -> KernelHello {
    let methods = (0u32..)
        .zip(METHODS)
        .filter_map(|(id, name)| MethodName::new(name).ok().map(|name| MethodEntry { id, name }));
    KernelHello {
        version_min: VERSION_MIN,
        role: Role::Control,
        run: String::new(),
        methods: methods.collect(),
        setup: serde_json::Value::Null,
    }
}

fn received(shared: &Shared, control: &Rc<Control>, bytes: &[u8]) -> Result<(), String> {
    let mut input = std::mem::take(&mut control.conn.borrow_mut().input);
    input.extend(bytes);
    while let Some(frame) = input.next_frame().map_err(|error| error.to_string())? {
        handle(shared, control, frame)?;
    }
    input.shrink();
    control.conn.borrow_mut().input = input;
    Ok(())
}

fn handle(shared: &Shared, control: &Rc<Control>, frame: &[u8]) -> Result<(), String> {
    let message = Message::decode(frame).map_err(|error| error.to_string())?;
    let is_greeted = control.conn.borrow().is_greeted;
    match message {
        Message::Hello { version, body, .. } if !is_greeted => {
            if !(VERSION_MIN..=VERSION).contains(&version) {
                return Err(format!("version {version}"));
            }
            serde_json::from_slice::<PeerHello>(body).map_err(|error| error.to_string())?;
            control.conn.borrow_mut().is_greeted = true;
            Ok(())
        }
        Message::Call { id, method, args, data, .. } if is_greeted => {
            let name = usize::try_from(method).ok().and_then(|at| METHODS.get(at)).copied();
            let Some(method) = name else { return Err(format!("method {method}")) };
            methods::call(shared, control, &Request { id, method, args, data });
            Ok(())
        }
        Message::Cancel { id, .. } if is_greeted => {
            runs::cancel(shared, control, id);
            Ok(())
        }
        other => Err(format!("an unexpected message ({})", kind(&other))),
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Hello { .. } => "Hello",
        Message::Launch { .. } => "Launch",
        Message::Call { .. } => "Call",
        Message::Reply { .. } => "Reply",
        Message::Cancel { .. } => "Cancel",
    }
}

impl Control {
    /// Answers a call; `more` says whether another answer follows.
    pub fn reply(self: &Rc<Self>, id: u64, status: Status, more: bool, content: Content) {
        let message = Message::Reply {
            id,
            status: status.into(),
            more,
            gas: 0,
            args: content.args,
            data: content.data,
        };
        self.push(&message);
    }

    /// The one answer to a call.
    pub fn answer<T: serde::Serialize>(self: &Rc<Self>, id: u64, outcome: Result<T, Failure>) {
        let (status, args) = match outcome {
            Ok(value) => (Status::Ok, serde_json::to_vec(&value)),
            Err(failure) => (Status::Failed, serde_json::to_vec(&failure)),
        };
        self.reply(id, status, false, Content { args: &args.unwrap_or_default(), data: &[] });
    }

    /// One of several answers.
    pub fn more<T: serde::Serialize>(self: &Rc<Self>, id: u64, value: &T, data: &[u8]) {
        let args = serde_json::to_vec(value).unwrap_or_default();
        self.reply(id, Status::Ok, true, Content { args: &args, data });
    }

    /// Waits while it does not read.
    pub async fn room(&self) {
        loop {
            let room = {
                let conn = self.conn.borrow();
                if self.is_gone.get() || !conn.is_congested() {
                    return;
                }
                Rc::clone(&conn.room)
            };
            room.notified().await;
        }
    }

    fn push(self: &Rc<Self>, message: &Message) {
        let mut conn = self.conn.borrow_mut();
        if let Err(error) = conn.push(message) {
            eprintln!("pawangd: level=error what=\"an answer is too long\" error=\"{error}\"");
            return;
        }
        if conn.send() == Sent::Blocked {
            spawn_local(drain(Rc::clone(self)));
        }
    }
}

async fn drain(control: Rc<Control>) {
    loop {
        let stream = control.conn.borrow().stream();
        if control.is_gone.get() || stream.writable().await.is_err() {
            return;
        }
        let mut conn = control.conn.borrow_mut();
        let sent = conn.send();
        if !conn.is_congested() {
            conn.room.notify_waiters();
        }
        if matches!(sent, Sent::All | Sent::Gone) {
            return;
        }
    }
}

impl Watcher {
    /// Tells what happens.
    pub fn tell(&self, event: &RunEvent, data: &[u8]) {
        match self {
            // Whoever does not read has no use for news; they are in the timeline.
            Self::Control { control, .. }
                if matches!(event, RunEvent::Notice { .. }) && control.conn.borrow().is_congested() => {}
            Self::Control { control, id } => control.more(*id, event, data),
            Self::Call { shared, id } => {
                if let (RunEvent::Output { fd }, Some(shared)) = (event, shared.upgrade()) {
                    crate::served::chunk(&shared, *id, format!("{{\"fd\":{fd}}}").as_bytes(), data);
                }
            }
        }
    }

    /// Tells the end.
    pub fn last(&self, event: &RunEvent) {
        match self {
            Self::Control { control, id } => {
                control.attached.borrow_mut().remove(id);
                control.answer(*id, Ok(event));
            }
            Self::Call { shared, id } => {
                let RunEvent::Ended { run, .. } = event else { return };
                let Some(shared) = shared.upgrade() else { return };
                let gas = run.gas_spent;
                let value = serde_json::json!({ "exit": run.exit, "outcome": run.outcome, "gas": gas, "run": run.run });
                crate::served::cancel(&shared, *id);
                crate::served::last(&shared, *id, Ok(value));
            }
        }
    }

    /// Waits while whoever looks on does not read.
    pub async fn room(&self) {
        match self {
            Self::Control { control, .. } => control.room().await,
            Self::Call { shared, id } => {
                if let Some(shared) = shared.upgrade() {
                    crate::served::wait_for_room(&shared, *id).await;
                }
            }
        }
    }

    /// Whether it is a command line.
    pub fn is_control(&self) -> bool {
        matches!(self, Self::Control { .. })
    }
}
