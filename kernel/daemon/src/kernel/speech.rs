//! What the kernel says: greetings, answers, secrets put in and taken out, channels opened, notices and summaries.

use super::{Content, Kernel, Starting};
use crate::jails::UIDS;
use pawang_core::control::{RunEvent, RunSummary};
use pawang_core::digest::Digest;
use pawang_core::record::{Entry, Record};
use pawang_core::redact::Redactor;
use pawang_core::relay::{Body, Fault};
use pawang_core::run::{PeerId, RunId};
use pawang_protocol::limits::{DATA_MAX, VERSION, VERSION_MIN};
use pawang_protocol::{Gas, KernelHello, Message, PeerHello, Role, Status};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;
use zeroize::Zeroizing;

impl Kernel {
    pub(super) fn greet(
        &mut self,
        peer: PeerId,
        version: u16,
        features: u64,
        body: &[u8],
    ) -> Result<(), Fault> {
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

    pub(super) fn reply(
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
    pub(super) fn put_in(&mut self, to: PeerId, call: u64, secrets: &[u16]) -> Zeroizing<Vec<u8>> {
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

    pub(super) fn push(&mut self, to: PeerId, message: &Message) {
        // A peer without a channel is gone; the relay has settled its calls or is about to.
        let Some(conn) = self.peers.get_mut(&to) else { return };
        // A field too long for its limit cannot come from a decoded frame; what the kernel makes itself is smaller.
        if let Err(error) = conn.push(message) {
            eprintln!("pawangd: level=error what=\"a message could not be sent\" error=\"{error}\"");
        }
        self.dirty.push(to);
    }

    /// Opens the channel of a tool that is about to be started; its `Hello` and first calls wait in it.
    pub(super) fn open_tool(&mut self, run: RunId, peer: PeerId, name: &str) {
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
    pub(super) fn notice(&self, entry: &Entry, now_ms: u64) {
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
    pub(super) fn arm(&mut self) {
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
