//! Drives a plugin without a kernel: for the tests of plugins.
//!
//! [`Plugin`] starts the real binary with a channel on descriptor 3 and plays the kernel: says `Hello`, makes
//! calls, answers nested calls. Nothing is permitted, charged or confined; what a test sees is the plugin alone.
//! Like any test kit it panics where the plugin does not do what the test waits for, within [`PATIENCE`].
#![allow(clippy::panic, clippy::expect_used, reason = "a failed expectation of a test is a panic")]

use command_fds::{CommandFdExt, FdMapping};
use pawang_protocol::hello::PutIn;
use pawang_protocol::limits::CHANNEL_FD;
use pawang_protocol::{
    CancelReason, Failure, FrameBuffer, KernelHello, Message, MethodEntry, MethodName, PeerHello, Role,
    Status,
};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How long a plugin may be silent before the test fails. Generous: machines that test are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running plugin.
pub struct Plugin {
    child: Child,
    stream: UnixStream,
    incoming: FrameBuffer,
    methods: Vec<MethodEntry>,
    last_id: u64,
}

/// A call to be made. Fields are plain; start from [`Ask::new`].
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Name of the method.
    pub method: String,
    /// Canonical resource.
    pub resource: String,
    /// Arguments; `Null` for none.
    pub args: Value,
    /// Content.
    pub data: Vec<u8>,
    /// Secrets put in: header, value.
    pub secrets: Vec<(String, String)>,
}

/// Something the plugin sent.
#[derive(Debug)]
pub enum Event {
    /// A reply to a call of the test.
    Reply(Reply),
    /// A nested call.
    Call {
        /// Its id.
        id: u64,
        /// The call it is made for.
        parent: u64,
        /// How long it waits, in ms.
        deadline_ms: u32,
        /// Name of the method.
        method: String,
        /// Resource.
        resource: String,
        /// Arguments; `Null` where there are none.
        args: Value,
        /// Content.
        data: Vec<u8>,
    },
    /// A cancellation of a nested call.
    Cancel(u64),
    /// The plugin closed the channel.
    Closed,
}

/// One reply.
#[derive(Debug)]
pub struct Reply {
    /// The call answered.
    pub id: u64,
    /// How it went.
    pub status: Status,
    /// Whether another follows.
    pub more: bool,
    /// Arguments; `Null` where there are none.
    pub args: Value,
    /// Content.
    pub data: Vec<u8>,
}

/// All replies to one call.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub status: Status,
    /// The arguments of each reply that had any, in order.
    pub args: Vec<Value>,
    /// The content of all replies.
    pub data: Vec<u8>,
    /// How many replies there were.
    pub parts: usize,
}

impl Ask {
    /// A call without arguments or content.
    #[must_use]
    pub fn new(method: &str, resource: &str) -> Self {
        Self { method: method.to_owned(), resource: resource.to_owned(), ..Self::default() }
    }

    /// With arguments.
    #[must_use]
    pub fn args(mut self, args: Value) -> Self {
        self.args = args;
        self
    }

    /// With content.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// With a secret put in as a header.
    #[must_use]
    pub fn secret(mut self, header: &str, value: &str) -> Self {
        self.secrets.push((header.to_owned(), value.to_owned()));
        self
    }
}

impl Answer {
    /// The failure it ended with.
    #[must_use]
    pub fn failure(&self) -> Failure {
        assert_eq!(self.status, Status::Failed, "expected a failure, got {self:?}");
        let last = self.args.last().cloned().unwrap_or_default();
        serde_json::from_value(last).expect("a failure carries a Failure")
    }

    /// Itself, after making sure that it went well.
    #[allow(
        clippy::must_use_candidate,
        clippy::return_self_not_must_use,
        reason = "often only the check is wanted"
    )]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Status::Ok, "expected success, got {:?}", self.args);
        self
    }

    /// The content as text, after making sure that it went well.
    #[must_use]
    pub fn text(self) -> String {
        String::from_utf8(self.ok().data).expect("the content is UTF-8")
    }
}

impl Plugin {
    /// Starts `binary` with an empty environment, and settles `Hello`. `manifest` is the text of its
    /// `plugin.toml`; `also` are methods beyond its own that it may call; `setup` is what the kernel would tell it.
    #[must_use]
    pub fn start(binary: &Path, manifest: &str, also: &[&str], setup: Value) -> Self {
        let (name, mut names) = read_manifest(manifest);
        names.extend(also.iter().map(|name| (*name).to_owned()));
        let methods = (1..).zip(&names).map(|(id, name)| MethodEntry {
            id,
            name: MethodName::new(name).expect("the manifest holds method names"),
        });
        let mut plugin = Self::spawn(binary);
        plugin.methods = methods.collect();
        let answer = plugin.greet(Role::Tool, setup);
        assert_eq!(answer.plugin.map(String::from), Some(name), "the plugin's name is that of its manifest");
        plugin
    }

    /// Starts an automation that may call `methods`, and settles `Hello`.
    #[must_use]
    pub fn start_automation(binary: &Path, methods: &[&str]) -> Self {
        let mut automation = Self::spawn(binary);
        let named =
            |(id, name): (u32, &&str)| MethodEntry { id, name: MethodName::new(name).expect("a method") };
        automation.methods = (1..).zip(methods).map(named).collect();
        let answer = automation.greet(Role::Automation, Value::Null);
        assert_eq!(answer.plugin, None, "an automation has no plugin name");
        automation
    }

    /// Starts `binary` with a channel on which nothing was said yet, and an empty environment.
    #[must_use]
    pub fn spawn(binary: &Path) -> Self {
        let (stream, theirs) = UnixStream::pair().expect("a socket pair");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        let mut command = Command::new(binary);
        command.env_clear().current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: CHANNEL_FD }])
            .expect("one mapping cannot collide");
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        Self { child, stream, incoming: FrameBuffer::default(), methods: Vec::new(), last_id: 0 }
    }

    fn greet(&mut self, role: Role, setup: Value) -> PeerHello {
        let hello = KernelHello {
            version_min: 1,
            role,
            run: "test".to_owned(),
            methods: self.methods.clone(),
            setup,
        };
        let body = serde_json::to_vec(&hello).expect("a Hello has a JSON form");
        self.write(&Message::Hello { version: 1, features: 0, body: &body });
        let frame = self.frame().expect("the plugin answers Hello");
        match Message::decode(&frame) {
            Ok(Message::Hello { version: 1, features: 0, body }) => {
                serde_json::from_slice(body).expect("a PeerHello")
            }
            other => panic!("expected Hello, got {other:?}"),
        }
    }

    /// Sends a call and returns its id.
    pub fn send(&mut self, ask: &Ask) -> u64 {
        self.last_id = self.last_id.saturating_add(1);
        let method = self.methods.iter().find(|entry| entry.name.as_str() == ask.method);
        let args = if ask.args.is_null() { Vec::new() } else { ask.args.to_string().into_bytes() };
        let secrets: Vec<PutIn> =
            ask.secrets.iter().cloned().map(|(header, value)| PutIn { header, value }).collect();
        let secrets =
            if secrets.is_empty() { Vec::new() } else { serde_json::to_vec(&secrets).expect("JSON") };
        let message = Message::Call {
            id: self.last_id,
            parent: 0,
            method: method.unwrap_or_else(|| panic!("{} is in no manifest", ask.method)).id,
            deadline_ms: 0,
            gas_max: 0,
            resource: &ask.resource,
            secrets: &secrets,
            args: &args,
            data: &ask.data,
        };
        self.write(&message);
        self.last_id
    }

    /// Sends a call and puts its replies together.
    pub fn call(&mut self, ask: &Ask) -> Answer {
        let id = self.send(ask);
        self.answer(id)
    }

    /// Puts the replies to one call together; nothing else may arrive meanwhile.
    pub fn answer(&mut self, id: u64) -> Answer {
        let mut answer = Answer { status: Status::Ok, args: Vec::new(), data: Vec::new(), parts: 0 };
        loop {
            let reply = match self.next_event() {
                Event::Reply(reply) if reply.id == id => reply,
                other => panic!("expected a reply to call {id}, got {other:?}"),
            };
            answer.parts = answer.parts.saturating_add(1);
            answer.data.extend(reply.data);
            answer.args.extend((!reply.args.is_null()).then_some(reply.args));
            if !reply.more {
                answer.status = reply.status;
                return answer;
            }
        }
    }

    /// The next thing the plugin sends.
    pub fn next_event(&mut self) -> Event {
        let Some(frame) = self.frame() else { return Event::Closed };
        match Message::decode(&frame).unwrap_or_else(|e| panic!("the plugin sent a bad frame: {e}")) {
            Message::Reply { id, status, more, args, data, .. } => Event::Reply(Reply {
                id,
                status: Status::try_from(status).expect("checked by decode"),
                more,
                args: json(args),
                data: data.to_owned(),
            }),
            Message::Call { id, parent, deadline_ms, method, resource, args, data, .. } => Event::Call {
                id,
                parent,
                deadline_ms,
                method: self.name_of(method),
                resource: resource.to_owned(),
                args: json(args),
                data: data.to_owned(),
            },
            Message::Cancel { id, .. } => Event::Cancel(id),
            other => panic!("the plugin sent {other:?}"),
        }
    }

    /// Cancels a call of the test.
    pub fn cancel(&mut self, id: u64) {
        self.write(&Message::Cancel { id, reason: CancelReason::Caller.into() });
    }

    /// Answers a nested call.
    pub fn reply(&mut self, id: u64, status: Status, more: bool, args: &Value, data: &[u8]) {
        let args = if args.is_null() { Vec::new() } else { args.to_string().into_bytes() };
        self.write(&Message::Reply { id, status: status.into(), more, gas: 0, args: &args, data });
    }

    /// Sends raw bytes, for tests of what must be refused.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the plugin reads");
    }

    /// Process id of the plugin.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends any message, for tests of the protocol itself.
    pub fn say(&mut self, message: &Message<'_>) {
        self.write(message);
    }

    /// Closes the channel, waits for the end, and returns exit status and what was printed.
    #[must_use]
    pub fn stop(mut self) -> Output {
        // The process may have closed its end already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let mut output =
            Output { status: self.child.wait().expect("our child"), stdout: Vec::new(), stderr: Vec::new() };
        let streams = (self.child.stdout.take().expect("piped"), self.child.stderr.take().expect("piped"));
        let (mut stdout, mut stderr) = streams;
        stdout.read_to_end(&mut output.stdout).expect("a pipe");
        stderr.read_to_end(&mut output.stderr).expect("a pipe");
        output
    }

    fn name_of(&self, method: u32) -> String {
        let entry = self.methods.iter().find(|entry| entry.id == method);
        entry.unwrap_or_else(|| panic!("no method {method} was offered")).name.to_string()
    }

    fn write(&mut self, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode_frame(&mut bytes).expect("the message fits");
        self.stream.write_all(&bytes).expect("the plugin reads");
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut received = vec![0; 256 << 10];
        loop {
            if let Some(frame) = self.incoming.next_frame().expect("the plugin sends frames") {
                return Some(frame.to_owned());
            }
            match self.stream.read(&mut received).expect("the plugin answers in time") {
                0 => return None,
                n => self.incoming.extend(received.get(..n).expect("read says how much")),
            }
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_manifest(text: &str) -> (String, Vec<String>) {
    let manifest: toml::Table = text.parse().expect("the manifest is TOML");
    let text =
        |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).expect("a string").to_owned();
    let methods = manifest.get("method").and_then(toml::Value::as_array).expect("a manifest has methods");
    (text(manifest.get("name")), methods.iter().map(|method| text(method.get("name"))).collect())
}

fn json(args: &[u8]) -> Value {
    if args.is_empty() { Value::Null } else { serde_json::from_slice(args).expect("args are JSON") }
}
