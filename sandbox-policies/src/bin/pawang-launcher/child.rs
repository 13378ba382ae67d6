//! What the new process does to itself, step by step, before it becomes the program.
//!
//! Everything was prepared before the clone: here nothing is allocated, nothing is decided, and only system calls are
//! made, because the process may still share its memory with the launcher. The order is that of LINUX's rules: the
//! file tree while there are capabilities, the user before parent-death (changing the user clears it), limits and
//! privileges before Landlock, Landlock before the filter, and the proofs as late as they can be made.
//!
//! A step that fails leaves its name and errno in [`Progress`], and the process ends without having run anything.

use crate::sys::{self, Errno, Progress, Stack};
use crate::wire::Request;
use crate::{ids, proof, root};
use pawang_sandbox::plan::Stage;
use pawang_sandbox::walls::{Wall, Walls};
use std::ffi::CString;
use std::os::fd::{AsRawFd, RawFd};

/// Where the sealed image stands for the one call that executes it. Above every `RLIMIT_NOFILE`, so that the program
/// can never have a descriptor of this number.
pub const IMAGE_FD: RawFd = 1023;
/// Where the ruleset stands until it is in force.
const RULESET_FD: RawFd = 1022;
/// The kernel's end of this socket closes when the kernel dies.
const KERNEL_FD: RawFd = 0;
/// Files are made for their owner alone.
const UMASK: u32 = 0o077;

/// A plan in the form that system calls take.
pub struct Prepared {
    pub walls: Walls,
    pub root: Option<root::Prepared>,
    pub ids: ids::Prepared,
    argv: sys::Strings,
    env: sys::Strings,
    cwd: CString,
    rlimits: Vec<(u32, u64, u64)>,
    filter: sys::Program,
    init_filter: sys::Program,
    image: RawFd,
    streams: [RawFd; 4],
    ruleset: Option<RawFd>,
}

impl Prepared {
    /// `None` where the plan or its descriptors are not complete.
    pub fn new(request: &Request) -> Option<Self> {
        let (plan, walls) = (&request.plan, Walls::from_bits(request.plan.walls));
        let numbers: Vec<RawFd> = request.fds.iter().map(AsRawFd::as_raw_fd).collect();
        let (image, streams, ruleset) = match (numbers.as_slice(), walls.has(Wall::Landlock)) {
            (&[image, a, b, c, d], false) => (image, [a, b, c, d], None),
            (&[image, a, b, c, d, ruleset], true) => (image, [a, b, c, d], Some(ruleset)),
            _ => return None,
        };
        Some(Self {
            walls,
            root: plan.root.as_ref().map(root::Prepared::new).transpose().ok()?,
            ids: ids::Prepared::new(plan.uid),
            argv: sys::Strings::new(&plan.argv)?,
            env: sys::Strings::new(&plan.env)?,
            cwd: CString::new(plan.cwd.as_str()).ok()?,
            rlimits: plan.rlimits.iter().map(|limit| sys::within_hard_limit(*limit)).collect(),
            filter: sys::Program::new(&plan.filter)?,
            init_filter: sys::Program::new(&plan.init_filter)?,
            image,
            streams,
            ruleset,
        })
    }

    /// Namespaces to be made by the clone. That without network is the launcher's own; root takes its user namespace later: it must map another user than root.
    pub fn namespaces(&self) -> u64 {
        let user = if self.ids.is_root { 0 } else { sys::NEW_USER };
        [
            (Wall::UserNs, user),
            (Wall::PidNs, sys::NEW_PID),
            (Wall::IpcNs, sys::NEW_IPC),
            (Wall::UtsNs, sys::NEW_UTS),
            (Wall::MountNs, sys::NEW_MOUNTS),
        ]
        .into_iter()
        .filter(|(wall, _)| self.walls.has(*wall))
        .fold(0, |flags, (_, flag)| flags | flag)
    }
}

/// The whole life of a process without children of its own. Returns only where it failed.
pub fn alone(prepared: &Prepared, progress: &Progress) -> i32 {
    end(progress, enter(prepared, progress).and_then(|()| become_program(prepared, progress)))
}

/// The whole life of the first process of a jail: makes the program, then reaps until the program ends.
pub fn init(prepared: &Prepared, progress: &Progress, stack: &mut Stack) -> i32 {
    match start_program(prepared, progress, stack) {
        Ok(program) => reap(program),
        failed => end(progress, failed.map(drop)),
    }
}

fn start_program(prepared: &Prepared, progress: &Progress, stack: &mut Stack) -> Result<i32, Errno> {
    enter(prepared, progress)?;
    session(progress)?;
    progress.at(Stage::Clone);
    let (program, pidfd) =
        sys::clone(sys::SHARE_AND_WAIT, stack, &mut || end(progress, become_program(prepared, progress)))?;
    drop(pidfd);
    progress.settle();
    let (Stage::Running, _) = progress.read() else { return Err(progress.read().1) };
    progress.at(Stage::Privileges);
    sys::drop_privileges()?;
    if let Some(ruleset) = prepared.ruleset {
        progress.at(Stage::Landlock);
        sys::landlock_restrict(ruleset)?;
    }
    progress.at(Stage::Seccomp);
    sys::install(&prepared.init_filter)?;
    progress.at(Stage::Running);
    // Everything, and with it the pipe on which the launcher waits.
    sys::close_from(0)?;
    Ok(program)
}

/// Waits for everything that ends in the jail, and ends when the program does, with its status; a program that died of
/// signal n ends it with 128 + n, as in a shell. When it ends, the system kills what is left of the jail.
fn reap(program: i32) -> i32 {
    loop {
        match sys::wait_any() {
            Ok((pid, code)) if pid == program => return code,
            Ok(_) => {}
            Err(_) => return 1,
        }
    }
}

/// Namespaces, file tree, host name, user: what needs the capabilities that the process is about to lose.
fn enter(prepared: &Prepared, progress: &Progress) -> Result<(), Errno> {
    let own = sys::open_own_process();
    if prepared.walls.has(Wall::UserNs) && !prepared.ids.is_root {
        progress.at(Stage::IdMaps);
        prepared.ids.write_maps(&own?)?;
        root_and_name(prepared, progress)
    } else {
        root_and_name(prepared, progress)?;
        progress.at(Stage::Uid);
        prepared.ids.drop_user()?;
        if prepared.walls.has(Wall::UserNs) {
            progress.at(Stage::IdMaps);
            sys::unshare(sys::NEW_USER)?;
            prepared.ids.write_maps(&own?)?;
        }
        Ok(())
    }
}

fn root_and_name(prepared: &Prepared, progress: &Progress) -> Result<(), Errno> {
    if prepared.walls.has(Wall::UtsNs) {
        progress.at(Stage::Session);
        sys::set_host_name(b"pawang")?;
    }
    if let (Some(root), true) = (&prepared.root, prepared.walls.has(Wall::MountNs)) {
        progress.at(Stage::Root);
        root.build()?;
    }
    Ok(())
}

/// Dies with the kernel from here on; a kernel that died a moment ago is noticed by its closed socket.
fn session(progress: &Progress) -> Result<(), Errno> {
    progress.at(Stage::Session);
    sys::new_session();
    sys::die_with_parent()?;
    progress.at(Stage::Orphaned);
    if sys::is_closed(KERNEL_FD) { Err(0) } else { Ok(()) }
}

fn become_program(prepared: &Prepared, progress: &Progress) -> Result<(), Errno> {
    session(progress)?;
    sys::set_umask(UMASK);
    progress.at(Stage::Descriptors);
    descriptors(prepared)?;
    progress.at(Stage::WorkingDirectory);
    sys::change_directory(&prepared.cwd)?;
    if prepared.walls.has(Wall::Rlimits) {
        progress.at(Stage::Rlimits);
        prepared.rlimits.iter().try_for_each(|limit| sys::set_rlimit(*limit))?;
    }
    progress.at(Stage::Privileges);
    sys::no_new_privileges()?;
    if prepared.walls.has(Wall::Privileges) {
        sys::drop_privileges()?;
    }
    if prepared.ruleset.is_some() {
        progress.at(Stage::Landlock);
        landlock(prepared)?;
    }
    progress.at(Stage::Proof);
    proof::before_filter(prepared.walls)?;
    sys::unblock_signals();
    if prepared.walls.has(Wall::Seccomp) {
        progress.at(Stage::Seccomp);
        sys::install(&prepared.filter)?;
        progress.at(Stage::Proof);
        proof::of_filter()?;
    }
    progress.at(Stage::Exec);
    Err(sys::execute(IMAGE_FD, &prepared.argv, &prepared.env))
}

/// Streams to 0, 1, 2, the channel to 3, the image and the ruleset far above; nothing else stays.
fn descriptors(prepared: &Prepared) -> Result<(), Errno> {
    sys::duplicate(prepared.image, IMAGE_FD, true)?;
    if let Some(ruleset) = prepared.ruleset {
        sys::duplicate(ruleset, RULESET_FD, true)?;
    }
    for (number, stream) in (0..).zip(prepared.streams) {
        sys::duplicate(stream, number, false)?;
    }
    if prepared.walls.has(Wall::Descriptors) {
        sys::close_range(4, RULESET_FD - 1)?;
        sys::close_from(IMAGE_FD + 1)?;
    }
    Ok(())
}

fn landlock(prepared: &Prepared) -> Result<(), Errno> {
    if let Some(root) = &prepared.root {
        root.grant_tmp(RULESET_FD)?;
    }
    sys::landlock_restrict(RULESET_FD)?;
    sys::close(RULESET_FD)
}

fn end(progress: &Progress, outcome: Result<(), Errno>) -> i32 {
    if let Err(errno) = outcome {
        progress.failed(errno);
    }
    1
}
