//! The one place where a frame becomes a decision, a record and a relayed frame.
//!
//! A wake-up goes: read all there is → each frame to [`Kernel::frame`], which asks the relay and appends records and outputs →
//! [`Kernel::flush`], which writes the records with one system call and only then sends (INV-2). Nothing in between waits.
//!
//! Not here: decisions (`pawang_core::relay`), processes (`run`, `spawn`), the control socket (`control`).

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
use pawang_core::control::{RunEvent, RunSummary};
use pawang_core::digest::Digest;
use pawang_core::key::Signer;
use pawang_core::method::Methods;
use pawang_core::record::{Entry, Record};
use pawang_core::redact::{Patterns, Redactor};
use pawang_core::relay::{Answer, Body, Effect, Fault, Inbound, Relay, moved};
use pawang_core::run::{PeerId, RunId};
use pawang_core::trust::TrustStore;
use pawang_protocol::limits::{DATA_MAX, VERSION, VERSION_MIN};
use pawang_protocol::{Gas, KernelHello, Message, PeerHello, Role, Status};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use zeroize::Zeroizing;

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
        let conn = match tool {
            Some(_) => congested(&live.automation),
            None => live.tools.keys().find_map(congested),
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
        let mut work: Vec<Work> = self.chores.drain(..).map(Work::Chore).collect();
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

    fn greet(&mut self, peer: PeerId, version: u16, features: u64, body: &[u8]) -> Result<(), Fault> {
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(Fault(format!(
                "it speaks version {version}; this kernel speaks {VERSION_MIN} to {VERSION}"
            )));
        }
        if features != 0 {
            return Err(Fault(format!("it chose features {features:#x} that were not offered")));
        }
        let hello: PeerHello = serde_json::from_slice(body)
            .map_err(|error| Fault(format!("its Hello is malformed: {error}")))?;
        let expected = self.relay.whose(peer).and_then(|(_, tool)| tool);
        let named = hello.plugin.as_ref().map(|name| name.as_str());
        if named != expected {
            return Err(Fault(format!("it calls itself {named:?} and was started as {expected:?}")));
        }
        if let Some(conn) = self.peers.get_mut(&peer) {
            conn.is_greeted = true;
        }
        Ok(())
    }

    fn reply(
        &mut self,
        to: PeerId,
        id: u64,
        (status, more, gas): (Status, bool, Gas),
        body: &Body,
        redact: Option<u64>,
        content: Content,
    ) {
        let made;
        let content = match body {
            Body::Forwarded => content,
            Body::Empty => Content::default(),
            Body::Denial(denial) => {
                made = serde_json::to_vec(denial).unwrap_or_default();
                Content { args: &made, data: &[] }
            }
            Body::Failure(failure) => {
                made = serde_json::to_vec(failure).unwrap_or_default();
                Content { args: &made, data: &[] }
            }
        };
        let redacted = redact.and_then(|call| self.redact(call, more, content));
        let content = match &redacted {
            Some((args, data)) => Content { args, data },
            None => content,
        };
        // What a redactor held back may make a chunk longer than one message holds.
        let (data, overhang) = content.data.split_at_checked(DATA_MAX).unwrap_or((content.data, &[]));
        let is_last = overhang.is_empty();
        let gas = if is_last { gas.0 } else { 0 };
        self.push(
            to,
            &Message::Reply {
                id,
                status: status.into(),
                more: more || !is_last,
                gas,
                args: content.args,
                data,
            },
        );
        if !is_last {
            self.push(
                to,
                &Message::Reply { id, status: status.into(), more, gas, args: &[], data: overhang },
            );
        }
    }

    /// What a reply says with every secret that was put into its call blotted out.
    fn redact(&mut self, call: u64, more: bool, content: Content) -> Option<(Vec<u8>, Vec<u8>)> {
        let (patterns, redactor) = self.redactors.get_mut(&call)?;
        let args = patterns.redact(content.args);
        let mut data = Vec::with_capacity(content.data.len());
        redactor.feed(content.data, &mut data);
        if !more && let Some((_, redactor)) = self.redactors.remove(&call) {
            redactor.finish(&mut data);
        }
        Some((args, data))
    }

    /// The secrets of a call, as the tool gets them; what its replies are searched for is kept.
    fn put_in(&mut self, to: PeerId, call: u64, secrets: &[u16]) -> Zeroizing<Vec<u8>> {
        if secrets.is_empty() {
            return Zeroizing::new(Vec::new());
        }
        let Some(verified) = self.relay.whose(to).and_then(|(run, _)| self.relay.contract(run)) else {
            return Zeroizing::new(Vec::new());
        };
        let bound = secrets.iter().filter_map(|&index| verified.contract.secrets.get(usize::from(index)));
        let (put_in, patterns) = self.secrets.put_in(bound);
        self.redactors.insert(call, (Arc::clone(&patterns), Redactor::new(patterns)));
        put_in
    }

    /// Forgets what the replies of calls that are over were searched for.
    pub fn forget_redactors(&mut self) {
        let relay = &self.relay;
        self.redactors.retain(|call, _| relay.is_in_flight(*call));
        self.served.retain(|call, _| relay.is_in_flight(*call));
    }

    fn push(&mut self, to: PeerId, message: &Message) {
        // A peer without a channel is gone; the relay has settled its calls or is about to.
        let Some(conn) = self.peers.get_mut(&to) else { return };
        // A field too long for its limit cannot come from a decoded frame; what the kernel makes itself is smaller.
        if let Err(error) = conn.push(message) {
            eprintln!("pawangd: level=error what=\"a message could not be sent\" error=\"{error}\"");
        }
        self.dirty.push(to);
    }

    /// Opens the channel of a tool that is about to be started; its `Hello` and first calls wait in it.
    fn open_tool(&mut self, run: RunId, peer: PeerId, name: &str) {
        let (conn, stream, child) = match crate::shell::channel() {
            Ok(channel) => channel,
            Err(error) => {
                eprintln!("pawangd: level=error what=\"no channel for a tool\" error={error:?}");
                return;
            }
        };
        let setup = match (self.plugins.get(name), self.relay.contract(run)) {
            (Ok(plugin), Some(verified)) => plugin.setup(&self.settings, verified),
            _ => serde_json::Value::Null,
        };
        let is_its = |method: &str| {
            method.split_once('.').is_some_and(|(plugin, _)| plugin == name)
                || (name == "exec" && method == "kernel.spawn")
        };
        let hello = KernelHello {
            version_min: VERSION_MIN,
            role: Role::Tool,
            run: run.to_string(),
            methods: self.method_entries(is_its),
            setup,
        };
        self.connect(peer, conn, &serde_json::to_vec(&hello).unwrap_or_default());
        self.starting.insert(peer, Starting { child, stream });
    }

    /// Tells whoever looks on at a run what is worth telling.
    fn notice(&self, entry: &Entry, now_ms: u64) {
        if !matches!(entry, Entry::Deny { .. } | Entry::Warn { .. } | Entry::Fault { .. }) {
            return;
        }
        let live = entry.run().and_then(|run| self.runs.get(&run));
        let Some(watcher) =
            live.and_then(|live| live.watcher.as_ref()).filter(|watcher| watcher.is_control())
        else {
            return;
        };
        let tip = self.log.tip();
        let record = Record { n: tip.n.saturating_add(1), t: now_ms, prev: tip.digest, entry: entry.clone() };
        watcher.tell(&RunEvent::Notice { record: Box::new(record) }, &[]);
    }

    /// A line of `ps` for a run, alive or not long over.
    pub fn summary(&self, run: RunId) -> Option<RunSummary> {
        let live = self.runs.get(&run)?;
        match &live.ended {
            Some(summary) => Some(summary.clone()),
            None => Some(live.summary(run, &self.relay.figures(run)?, self.clock.us(), None)),
        }
    }

    /// All live state, as the first record of a segment.
    pub fn snapshot(&self) -> Entry {
        Entry::Snapshot {
            key: self.signer.id().to_string(),
            prices: Digest(self.methods.digest),
            accounts: self.relay.accounts().clone(),
            revoked: self.relay.revoked().iter().copied().collect(),
            trust: serde_json::to_value(&self.trust).unwrap_or_default(),
            next_call: self.relay.next_call(),
            live: self.relay.live(),
        }
    }

    /// Whether whoever made a call that the kernel serves has too much waiting.
    pub fn room_of_caller(&mut self, call: u64) -> Option<Rc<Notify>> {
        let caller = self.relay.caller(call)?;
        let conn = self.peers.get(&caller)?;
        conn.is_congested().then(|| Rc::clone(&conn.room))
    }

    /// Where the daemon runs as root: a user id of its own for the next foreign program.
    pub fn foreign_uid(&self) -> Option<u32> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let uid = self.next_uid.get();
        self.next_uid.set(if uid >= *UIDS.end() { *UIDS.start() } else { uid.saturating_add(1) });
        Some(uid)
    }

    /// Wakes the task that waits for deadlines where one now stands before what it waits for.
    fn arm(&mut self) {
        let next = self.relay.next_deadline_us();
        if next.is_some_and(|next| self.armed_us.is_none_or(|armed| next < armed)) {
            self.armed_us = next;
            self.deadline_moved.notify_one();
        }
    }

    /// The next deadline, which the task that asks then waits for.
    pub fn next_deadline(&mut self) -> Option<u64> {
        self.armed_us = self.relay.next_deadline_us();
        self.armed_us
    }
}

/// What a wake-up leaves to tasks.
pub enum Work {
    /// An effect that takes time.
    Chore(Effect),
    /// A peer's output waits for the peer.
    Drain(PeerId),
    /// The log could not be written: try again until it can.
    RetryLog,
    /// The segment is full.
    Rotate,
}
