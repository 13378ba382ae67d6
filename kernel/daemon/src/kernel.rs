//! The one place where a frame becomes a decision, a record and a relayed frame.
//!
//! A wake-up goes: read all there is → each frame to [`Kernel::frame`], which asks the relay and appends records and outputs →
//! [`Kernel::flush`], which writes the records with one system call and only then sends (INV-2). Nothing in between waits.
//!
//! Not here: decisions (`pawang_core::relay`), processes (`run`, `spawn`), the control socket (`control`).

mod speech;

use crate::clock::Clock;
use crate::conn::{Conn, Sent};
use crate::jails::UIDS;
use crate::log::Log;
use crate::plugin::Plugins;
use crate::program::Images;
use crate::run::LiveRun;
use crate::secrets::Secrets;
use crate::served::Served;
use crate::settings::Settings;
use crate::spawn::Spawner;
use pawang_core::key::Signer;
use pawang_core::method::Methods;
use pawang_core::record::Entry;
use pawang_core::redact::{Patterns, Redactor};
use pawang_core::relay::{Answer, Effect, Fault, Inbound, Relay, moved};
use pawang_core::run::{PeerId, RunId};
use pawang_core::trust::TrustStore;
use pawang_protocol::limits::VERSION;
use pawang_protocol::{Gas, Message, Status};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// The kernel as its tasks share it. All of them run on one thread; no borrow lives across an `await`.
pub type Shared = Rc<RefCell<Kernel>>;

/// State of the daemon.
pub struct Kernel {
    /// Who may do what.
    pub relay: Relay,
    /// What is written down.
    pub log: Log,
    /// Time.
    pub clock: Clock,
    /// What can be called.
    pub methods: Arc<Methods>,
    /// Whose contracts count.
    pub trust: TrustStore,
    /// The daemon's own key.
    pub signer: Arc<Signer>,
    /// Keys that no automation sees.
    pub secrets: Secrets,
    /// Where things are.
    pub settings: Rc<Settings>,
    /// Starts processes.
    pub spawner: Spawner,
    /// Runs alive, and those that ended lately.
    pub runs: HashMap<RunId, LiveRun>,
    /// Calls the kernel serves itself.
    pub served: HashMap<u64, Served>,
    /// Why the log cannot be written, while it cannot.
    pub log_trouble: Option<String>,
    /// Told when the log can be written again.
    pub log_recovered: Rc<Notify>,
    /// Told when a deadline comes to stand before all others.
    pub deadline_moved: Rc<Notify>,
    /// Set once the daemon is ending.
    pub is_ending: bool,
    /// Told to end.
    pub ending: Rc<Notify>,
    /// Whether the control socket is ours to remove.
    pub owns_socket: bool,
    /// The tools there are.
    pub plugins: Plugins,
    /// Images of programs.
    pub images: Images,
    /// Ends of channels that wait for the process they are for.
    pub starting: HashMap<PeerId, Starting>,
    /// What is read goes through here.
    pub scratch: Vec<u8>,
    armed_us: Option<u64>,
    next_uid: Cell<u32>,
    peers: HashMap<PeerId, Conn>,
    redactors: HashMap<u64, (Arc<Patterns>, Redactor)>,
    effects: Vec<Effect>,
    dirty: Vec<PeerId>,
    /// Acts that need a task of their own; `shell` takes them after each wake-up.
    chores: Vec<Effect>,
}

/// Everything a kernel is made of.
pub struct Parts {
    /// See [`Kernel`].
    pub relay: Relay,
    /// See [`Kernel`].
    pub log: Log,
    /// See [`Kernel`].
    pub clock: Clock,
    /// See [`Kernel`].
    pub methods: Arc<Methods>,
    /// See [`Kernel`].
    pub trust: TrustStore,
    /// See [`Kernel`].
    pub signer: Arc<Signer>,
    /// See [`Kernel`].
    pub secrets: Secrets,
    /// See [`Kernel`].
    pub settings: Settings,
    /// See [`Kernel`].
    pub spawner: Spawner,
    /// See [`Kernel`].
    pub plugins: Plugins,
}

/// A channel whose process is being started.
pub struct Starting {
    /// The process's end.
    pub child: OwnedFd,
    /// The kernel's.
    pub stream: Rc<UnixStream>,
}

/// Arguments and data of the frame at hand.
#[derive(Clone, Copy, Default)]
pub struct Content<'a> {
    /// Arguments.
    pub args: &'a [u8],
    /// Data.
    pub data: &'a [u8],
}

impl Kernel {
    /// A kernel with nothing alive.
    pub fn new(parts: Parts) -> Self {
        Self {
            relay: parts.relay,
            log: parts.log,
            clock: parts.clock,
            methods: parts.methods,
            trust: parts.trust,
            signer: parts.signer,
            secrets: parts.secrets,
            settings: Rc::new(parts.settings),
            spawner: parts.spawner,
            runs: HashMap::new(),
            served: HashMap::new(),
            log_trouble: None,
            log_recovered: Rc::new(Notify::new()),
            deadline_moved: Rc::new(Notify::new()),
            is_ending: false,
            ending: Rc::new(Notify::new()),
            owns_socket: true,
            plugins: parts.plugins,
            images: Images::default(),
            starting: HashMap::new(),
            scratch: Vec::new(),
            armed_us: None,
            next_uid: Cell::new(*UIDS.start()),
            peers: HashMap::new(),
            redactors: HashMap::new(),
            effects: Vec::new(),
            dirty: Vec::new(),
            chores: Vec::new(),
        }
    }

    /// Gives a peer its channel; its `Hello` is the first thing sent on it.
    pub fn connect(&mut self, peer: PeerId, mut conn: Conn, hello: &[u8]) {
        let message = Message::Hello { version: VERSION, features: 0, body: hello };
        // What was queued for a tool before it was started follows its Hello.
        if conn.push(&message).is_ok() {
            self.peers.insert(peer, conn);
            self.dirty.push(peer);
        }
    }

    /// The channel of a peer.
    pub fn conn(&mut self, peer: PeerId) -> Option<&mut Conn> {
        self.peers.get_mut(&peer)
    }

    /// Forgets a channel, and what was to be sent on it.
    pub fn disconnect(&mut self, peer: PeerId) {
        if let Some(conn) = self.peers.remove(&peer) {
            conn.room.notify_waiters();
        }
    }

    /// Whether a peer should not be read for now: the log is stuck, or someone it feeds does not read.
    pub fn must_wait_for(&self, peer: PeerId) -> Option<Rc<Notify>> {
        if self.log_trouble.is_some() {
            return Some(Rc::clone(&self.log_recovered));
        }
        let (run, tool) = self.relay.whose(peer)?;
        let live = self.runs.get(&run)?;
        let congested = |id: &PeerId| self.peers.get(id).filter(|conn| conn.is_congested());
        // Whoever does not read its answers is not read either: a denial needs no tool to be answered.
        let conn = match tool {
            Some(_) => congested(&live.automation),
            None => congested(&live.automation).or_else(|| live.tools.keys().find_map(congested)),
        };
        conn.map(|conn| Rc::clone(&conn.room))
    }

    /// One frame of a peer.
    pub fn frame(&mut self, peer: PeerId, frame: &[u8]) -> Result<(), Fault> {
        let message = Message::decode(frame).map_err(|error| Fault(error.to_string()))?;
        let is_greeted = self.peers.get(&peer).is_some_and(|conn| conn.is_greeted);
        match message {
            Message::Hello { version, features, body } if !is_greeted => {
                self.greet(peer, version, features, body)
            }
            Message::Hello { .. } => Err(Fault("a second Hello".to_owned())),
            _ if !is_greeted => Err(Fault("a message before its Hello".to_owned())),
            Message::Launch { .. } => Err(Fault("only the kernel sends Launch".to_owned())),
            Message::Call { id, parent, method, deadline_ms, gas_max, resource, secrets, args, data } => {
                let sent = moved(args.len(), data.len());
                let has_secrets = !secrets.is_empty();
                let call = Inbound { id, parent, method, deadline_ms, gas_max, resource, sent, has_secrets };
                let now = self.clock.now();
                let outcome = self.with_effects(|relay, out| relay.call(now, peer, &call, out));
                self.act(Content { args, data });
                outcome
            }
            Message::Reply { id, status, more, gas, args, data } => {
                let status = Status::try_from(status).map_err(|error| Fault(error.to_string()))?;
                let received = moved(args.len(), data.len());
                let answer = Answer { id, status, more, gas: Gas(gas), received };
                let now = self.clock.now();
                let outcome = self.with_effects(|relay, out| relay.reply(now, peer, answer, out));
                self.act(Content { args, data });
                outcome
            }
            Message::Cancel { id, .. } => {
                let now = self.clock.now();
                self.with_effects(|relay, out| relay.cancel(now, peer, id, out));
                self.act(Content::default());
                Ok(())
            }
        }
    }

    /// Lets the relay handle an event; what it wants done is done by the next [`Kernel::act`].
    pub fn with_effects<T>(&mut self, event: impl FnOnce(&mut Relay, &mut Vec<Effect>) -> T) -> T {
        event(&mut self.relay, &mut self.effects)
    }

    /// An event without a frame, and its effects.
    pub fn event<T>(&mut self, event: impl FnOnce(&mut Relay, &mut Vec<Effect>) -> T) -> T {
        let outcome = self.with_effects(event);
        self.act(Content::default());
        outcome
    }

    /// An answer of the kernel itself to a call it serves.
    pub fn answer(&mut self, answer: Answer, content: Content) {
        let now = self.clock.now();
        self.with_effects(|relay, out| relay.served(now, answer, out));
        self.act(content);
    }

    /// Makes a record that no relay event makes.
    pub fn record(&mut self, entry: Entry) {
        self.effects.push(Effect::Record(entry));
        self.act(Content::default());
    }

    /// Does what the relay wants done, in order. Sending and starting wait for [`Kernel::flush`].
    pub fn act(&mut self, content: Content) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Record(entry) => self.write_down(entry),
                Effect::Forward { to, id, parent, method, deadline_ms, resource, secrets } => {
                    let secrets = self.put_in(to, id, &secrets);
                    let message = Message::Call {
                        id,
                        parent,
                        method: method.0,
                        deadline_ms,
                        gas_max: 0,
                        resource: &resource,
                        secrets: &secrets,
                        args: content.args,
                        data: content.data,
                    };
                    self.push(to, &message);
                }
                Effect::Answer { to, id, status, more, gas, body, redact } => {
                    self.reply(to, id, (status, more, gas), &body, redact, content);
                }
                Effect::Cancel { to, id, reason } => {
                    self.push(to, &Message::Cancel { id, reason: reason.into() })
                }
                Effect::Serve { id, .. } => {
                    self.served.insert(id, Served::new(content));
                    self.chores.push(effect);
                }
                Effect::StartTool { run, peer, plugin, .. } => {
                    self.open_tool(run, peer, plugin);
                    self.chores.push(effect);
                }
                chore => self.chores.push(chore),
            }
        }
        self.effects = effects;
    }

    /// Writes the records of this wake-up, then sends its outputs. Returns what is left to be done by tasks.
    ///
    /// Where the records cannot be written nothing is sent: it waits in memory, and so does everyone who is not read.
    pub fn flush(&mut self) -> Vec<Work> {
        let written = if self.settings.sync_each { self.log.write_through() } else { self.log.write() };
        if let Err(error) = written {
            if self.log_trouble.replace(error.to_string()).is_none() {
                eprintln!(
                    "pawangd: level=error what=\"the log cannot be written; all work waits\" error={error:?}"
                );
                return vec![Work::RetryLog];
            }
            return Vec::new();
        }
        if self.log_trouble.take().is_some() {
            eprintln!("pawangd: level=info what=\"the log can be written again\"");
            self.log_recovered.notify_waiters();
        }
        self.arm();
        let mut work: Vec<Work> = self.chores.drain(..).map(|effect| Work::Chore(Box::new(effect))).collect();
        for peer in std::mem::take(&mut self.dirty) {
            let Some(conn) = self.peers.get_mut(&peer) else { continue };
            if conn.send() == Sent::Blocked {
                work.push(Work::Drain(peer));
            }
        }
        if self.log.is_full() {
            work.push(Work::Rotate);
        }
        work
    }

    /// Forgets a call's redactor once the call is over.
    fn write_down(&mut self, entry: Entry) {
        let now_ms = self.clock.unix_ms();
        self.notice(&entry, now_ms);
        if let Err(error) = self.log.push(entry, now_ms) {
            // Only a bug of ours makes a record that is not JSON; going on unrecorded would be worse than stopping.
            self.log_trouble = Some(error.to_string());
        }
    }
}

/// What a wake-up leaves to tasks.
pub enum Work {
    /// An effect that takes time.
    Chore(Box<Effect>),
    /// A peer's output waits for the peer.
    Drain(PeerId),
    /// The log could not be written: try again until it can.
    RetryLog,
    /// The segment is full.
    Rotate,
}
