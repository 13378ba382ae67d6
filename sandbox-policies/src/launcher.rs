//! The kernel's end of the launcher: one resident process that makes all the others.
//!
//! [`Launcher::start`] starts it and learns what the machine gives; [`Launcher::launch`] sends a plan with descriptors
//! and waits for the report. The new process is a child of *this* process, to be reaped here, and dies with the
//! thread that called `start`: own it by a thread that lives as long as the kernel does.
//!
//! Blocking, one launch at a time; a launch takes some hundred microseconds. No unsafe code, no fork in this process.

use crate::filter::Filter;
use crate::jail::{Jail, Stdio};
use crate::lower;
use crate::plan::{Facts, PLAN_FDS_MAX, Plan, Report, Stage, decode, encode};
use crate::policy::PolicyError;
use crate::profile::{FilterOptions, Profile};
use crate::ruleset::{RulesetOptions, ruleset};
use crate::walls::{Wall, Walls};
use core::fmt;
use pawang_protocol::frame::FrameBuffer;
use pawang_protocol::message::Message;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Standard};
use std::time::Duration;

/// How long one answer of the launcher may take. It needs some milliseconds on a busy machine; beyond this it hangs.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The running launcher.
#[derive(Debug)]
pub struct Launcher {
    socket: OwnedFd,
    child: Child,
    received: FrameBuffer,
    facts: Facts,
    profiles: HashMap<(String, FilterOptions), (Profile, Vec<u8>)>,
    init_filter: Vec<u8>,
    next: u64,
}

/// A process that runs under its jail.
#[derive(Debug)]
pub struct Launched {
    /// Its process id. Use the descriptor instead wherever possible: ids are used again.
    pub pid: i32,
    /// Refers to it and to nothing else, ever. Readable once it has ended; then reap it.
    pub pidfd: OwnedFd,
    /// The walls in force, as it proved them itself before it became the program.
    pub walls: Walls,
}

/// Why a process was not started. Nothing is left of it.
#[derive(Debug)]
pub enum LaunchError {
    /// The machine lacks a wall of the floor.
    Floor {
        /// Which.
        wall: Wall,
        /// Version found; 0 for none.
        found: i32,
    },
    /// The jail contradicts itself or the machine; says how.
    Jail(&'static str),
    /// A wall of the floor was left out of the jail.
    WallsMissing(Walls),
    /// No such profile, or it does not compile.
    Policy(PolicyError),
    /// A path of the jail cannot be opened.
    Path {
        /// Which.
        path: PathBuf,
        /// In the system's words.
        reason: String,
    },
    /// Landlock refuses the rules; in its words.
    Landlock(String),
    /// The process could not be confined as planned.
    Refused {
        /// The step that failed.
        stage: Stage,
        /// The errno it failed with; 0 where a proof failed without one.
        errno: i32,
    },
    /// The plan is too long for one message; carries the limit's words.
    TooLong(String),
    /// The launcher is gone or talks nonsense. Start another.
    Lost(String),
}

impl Launcher {
    /// Starts the launcher program and waits for its facts. Call from the thread that will own it.
    ///
    /// # Errors
    /// [`LaunchError::Lost`] where it cannot be started.
    pub fn start(binary: &Path) -> Result<Self, LaunchError> {
        let (socket, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(lost)?;
        rustix::net::sockopt::set_socket_timeout(
            &socket,
            rustix::net::sockopt::Timeout::Recv,
            Some(ANSWER_MAX),
        )
        .map_err(lost)?;
        let child = Command::new(binary)
            .env_clear()
            .stdin(Standard::from(theirs))
            .stdout(Standard::null())
            .spawn()
            .map_err(|e| LaunchError::Lost(format!("{} cannot be started: {e}", binary.display())))?;
        let facts = Facts { landlock_abi: 0, seccomp: false, namespaces: 0, uid: 0 };
        let init = Profile::named("init").and_then(|profile| profile.filter(FilterOptions::default()));
        let mut launcher = Self {
            socket,
            child,
            received: FrameBuffer::default(),
            facts,
            profiles: HashMap::new(),
            init_filter: init.as_ref().map(Filter::to_bytes).map_err(|e| LaunchError::Policy(e.clone()))?,
            next: 1,
        };
        launcher.facts = launcher.hello()?;
        Ok(launcher)
    }

    /// What the machine gives.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Starts one process. Whole or not at all.
    ///
    /// # Errors
    /// [`LaunchError`]; except after [`LaunchError::Lost`] the launcher goes on.
    pub fn launch(&mut self, jail: &Jail, stdio: Stdio) -> Result<Launched, LaunchError> {
        if !jail.walls.contains(Walls::FLOOR) {
            return Err(LaunchError::WallsMissing(jail.walls));
        }
        self.launch_without(jail, stdio)
    }

    /// As [`Launcher::launch`], but also with walls of the floor left out.
    ///
    /// For the escape matrix: every probe is run once with the wall that stops it taken down, and must then succeed.
    /// Nothing else may call this; a test of the workspace looks for callers.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    #[doc(hidden)]
    pub fn launch_without(&mut self, jail: &Jail, stdio: Stdio) -> Result<Launched, LaunchError> {
        if !Profile::names().contains(&jail.profile.as_str()) {
            return Err(LaunchError::Policy(PolicyError::Unknown(jail.profile.clone())));
        }
        let profile = Profile::named(&jail.profile).map_err(LaunchError::Policy)?;
        let walls = lower::walls(jail, &profile, &self.facts)?;
        let mut plan = lower::plan(jail, &profile, &self.facts, walls)?;
        plan.filter = self.filter(&profile, lower::options(jail, &profile, walls))?;
        plan.init_filter.clone_from(&self.init_filter);
        let options = RulesetOptions {
            abi: self.facts.landlock_abi,
            network: profile.has_network(),
            scopes: walls.has(Wall::Scopes),
        };
        let rules = lower::rules(jail, &profile);
        let landlock = walls.has(Wall::Landlock).then(|| ruleset(options, &rules)).transpose()?;
        let (image, [stdin, stdout, stderr, channel]) = (
            jail.image.as_fd(),
            [&stdio.stdin, &stdio.stdout, &stdio.stderr, &stdio.channel].map(AsFd::as_fd),
        );
        let mut fds = vec![image, stdin, stdout, stderr, channel];
        fds.extend(landlock.as_ref().map(AsFd::as_fd));
        self.exchange(&plan, &fds)
    }

    fn filter(&mut self, profile: &Profile, options: FilterOptions) -> Result<Vec<u8>, LaunchError> {
        let key = (profile.name().to_owned(), options);
        if let Some((_, bytes)) = self.profiles.get(&key) {
            return Ok(bytes.clone());
        }
        let bytes = profile.filter(options).map_err(LaunchError::Policy)?.to_bytes();
        self.profiles.insert(key, (profile.clone(), bytes.clone()));
        Ok(bytes)
    }

    fn exchange(&mut self, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Launched, LaunchError> {
        let (id, bytes) = (self.next, encode(plan).map_err(LaunchError::TooLong)?);
        self.next = id.saturating_add(1);
        let mut frame = Vec::new();
        let message = Message::Launch { id, plan: &bytes };
        message.encode_frame(&mut frame).map_err(|e| LaunchError::TooLong(e.to_string()))?;
        send(&self.socket, &frame, fds)?;
        let (report, pidfd) = self.answer(id)?;
        match (Stage::from_number(report.stage), pidfd) {
            (Stage::Running, Some(pidfd)) => {
                Ok(Launched { pid: report.pid, pidfd, walls: Walls::from_bits(report.walls) })
            }
            (Stage::Running, None) => Err(LaunchError::Lost("a report without a process".to_owned())),
            (stage, pidfd) => {
                pidfd.as_ref().map_or(Ok(()), reap)?;
                Err(LaunchError::Refused { stage, errno: report.errno })
            }
        }
    }

    fn hello(&mut self) -> Result<Facts, LaunchError> {
        let (frame, _) = self.frame()?;
        match Message::decode(&frame).map_err(lost)? {
            Message::Hello { body, .. } => decode(body).map_err(lost),
            _ => Err(LaunchError::Lost("it did not begin with Hello".to_owned())),
        }
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
            let (count, fd) = receive(&self.socket, &mut bytes)?;
            descriptor = descriptor.or(fd);
            self.received.extend(bytes.get(..count).filter(|b| !b.is_empty()).ok_or_else(gone)?);
        }
    }
}

impl Drop for Launcher {
    /// The launcher ends when its socket does; nothing that it started ends with it.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// Descriptors go with the first byte; the rest of a long frame follows.
fn send(socket: &OwnedFd, frame: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), LaunchError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PLAN_FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(LaunchError::Lost("too many descriptors for one message".to_owned()));
    }
    let mut sent =
        retry(|| rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL))?;
    while let Some(rest) = frame.get(sent..).filter(|rest| !rest.is_empty()) {
        let more = retry(|| rustix::net::send(socket, rest, SendFlags::NOSIGNAL))?;
        sent = sent.saturating_add(more);
    }
    Ok(())
}

fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), LaunchError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = retry(|| {
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok((received.bytes, descriptors.pop()))
}

/// What is left of a process that could not be confined.
fn reap(pidfd: &OwnedFd) -> Result<(), LaunchError> {
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    retry(|| rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)).map(drop)
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, LaunchError> {
    rustix::io::retry_on_intr(call).map_err(lost)
}

fn lost(error: impl fmt::Display) -> LaunchError {
    LaunchError::Lost(error.to_string())
}

fn gone() -> LaunchError {
    LaunchError::Lost("it has ended".to_owned())
}

impl Launched {
    /// The process id as a type that calls take.
    #[must_use]
    pub fn process(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor { wall, found } => write!(
                f,
                "this machine has no usable {wall} (found version {found}); nothing is started without it; \
                 try: a kernel of 5.19 or later with Landlock in its lsm= list (pawang doctor shows more)"
            ),
            Self::Jail(what) => f.write_str(what),
            Self::WallsMissing(walls) => {
                write!(f, "a jail with only these walls is not started: {walls}; needed: {}", Walls::FLOOR)
            }
            Self::Policy(error) => error.fmt(f),
            Self::Path { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Landlock(what) => write!(f, "landlock: {what}"),
            Self::Refused { stage, errno } => {
                let errno = std::io::Error::from_raw_os_error(*errno);
                write!(f, "the process was not started: {stage} failed: {errno}")
            }
            Self::TooLong(what) => write!(f, "the launch plan is too long: {what}"),
            Self::Lost(what) => write!(f, "the launcher is lost: {what}; try: start the kernel again"),
        }
    }
}

impl std::error::Error for LaunchError {}
