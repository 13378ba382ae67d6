//! The kernel's side of the launcher: the process that makes all the others.
//!
//! [`Launcher::start`] starts it and learns what the machine gives; [`Launcher::launch`] sends a plan with descriptors
//! and waits for the report. The new process is a child of *this* process, to be reaped here, and dies with the
//! thread that called `start`: own it by a thread that lives as long as the kernel does.
//!
//! There are two launcher processes: one lives in an empty network namespace, which everything it starts is born into
//! (making one for each costs more than all other walls together), the other keeps the machine's network and is started
//! when a profile first asks for it.
//!
//! Blocking, one launch at a time; a launch takes some hundred microseconds. No unsafe code, no fork in this process.

use crate::filter::Filter;
use crate::jail::{Jail, Stdio};
use crate::link::{Link, lost, retry};
use crate::lower;
use crate::plan::{Facts, Plan, Stage};
use crate::policy::PolicyError;
use crate::profile::{FilterOptions, Profile};
use crate::ruleset::{RulesetOptions, ruleset};
use crate::walls::{Wall, Walls};
use core::fmt;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Standard};
use std::sync::Arc;

/// The argument with which a launcher moves into an empty network namespace before anything else.
pub const NO_NETWORK: &str = "--no-network";

/// The running launcher.
#[derive(Debug)]
pub struct Launcher {
    binary: PathBuf,
    quiet: Running,
    networked: Option<Running>,
    facts: Facts,
    /// Flattened once each: reading a profile's text takes longer than starting a process.
    profiles: HashMap<String, Arc<Profile>>,
    filters: HashMap<(String, FilterOptions), Vec<u8>>,
    init_filter: Vec<u8>,
}

/// One launcher process. It ends with its link; nothing that it started ends with it.
#[derive(Debug)]
struct Running {
    link: Link,
    child: Child,
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
        let init = Profile::named("init").and_then(|profile| profile.filter(FilterOptions::default()));
        let init_filter = init.as_ref().map(Filter::to_bytes).map_err(|e| LaunchError::Policy(e.clone()))?;
        let (quiet, facts) = Running::start(binary, Some(NO_NETWORK))?;
        let (binary, profiles, filters) = (binary.to_path_buf(), HashMap::new(), HashMap::new());
        Ok(Self { binary, quiet, networked: None, facts, profiles, filters, init_filter })
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
    /// Nothing else may call this; a test looks for callers in everything that is shipped.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    #[doc(hidden)]
    pub fn launch_without(&mut self, jail: &Jail, stdio: Stdio) -> Result<Launched, LaunchError> {
        if !Profile::names().contains(&jail.profile.as_str()) {
            return Err(LaunchError::Policy(PolicyError::Unknown(jail.profile.clone())));
        }
        let profile = self.profile(&jail.profile)?;
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

    fn profile(&mut self, name: &str) -> Result<Arc<Profile>, LaunchError> {
        if let Some(profile) = self.profiles.get(name) {
            return Ok(Arc::clone(profile));
        }
        let profile = Arc::new(Profile::named(name).map_err(LaunchError::Policy)?);
        self.profiles.insert(name.to_owned(), Arc::clone(&profile));
        Ok(profile)
    }

    fn filter(&mut self, profile: &Profile, options: FilterOptions) -> Result<Vec<u8>, LaunchError> {
        let key = (profile.name().to_owned(), options);
        if let Some(bytes) = self.filters.get(&key) {
            return Ok(bytes.clone());
        }
        let bytes = profile.filter(options).map_err(LaunchError::Policy)?.to_bytes();
        self.filters.insert(key, bytes.clone());
        Ok(bytes)
    }

    fn exchange(&mut self, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Launched, LaunchError> {
        let (report, pidfd) = self.link(plan)?.exchange(plan, fds)?;
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

    /// The launcher for a plan: the one without network, unless the plan wants to have that.
    fn link(&mut self, plan: &Plan) -> Result<&mut Link, LaunchError> {
        let can_be_without = Walls::from_bits(self.facts.namespaces).has(Wall::NetNs);
        if !can_be_without || Walls::from_bits(plan.walls).has(Wall::NetNs) {
            return Ok(&mut self.quiet.link);
        }
        if self.networked.is_none() {
            self.networked = Some(Running::start(&self.binary, None)?.0);
        }
        self.networked.as_mut().map(|running| &mut running.link).ok_or_else(|| lost("it was not kept"))
    }
}

impl Running {
    fn start(binary: &Path, argument: Option<&str>) -> Result<(Self, Facts), LaunchError> {
        let (link, theirs) = Link::pair()?;
        let child = Command::new(binary)
            .args(argument)
            .env_clear()
            .stdin(Standard::from(theirs))
            .stdout(Standard::null())
            .spawn()
            .map_err(|e| LaunchError::Lost(format!("{} cannot be started: {e}", binary.display())))?;
        let mut running = Self { link, child };
        let facts = running.link.hello()?;
        Ok((running, facts))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.link.close();
        // It has no state to lose; without this a launcher that hangs would hang its owner too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left of a process that could not be confined.
fn reap(pidfd: &OwnedFd) -> Result<(), LaunchError> {
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    retry(|| rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)).map(drop)
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
