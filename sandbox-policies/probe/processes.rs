//! Acts on processes: making more, reaching others, leaving the jail's namespaces and its session.

use crate::{Arguments, Tried, at, broken, call};

const CHILD: usize = libc::SIGCHLD as usize;

pub fn act(name: &str, arguments: &Arguments) -> Option<Tried> {
    Some(match name {
        "fork" => fork(CHILD),
        "vfork" => fork(CHILD | (libc::CLONE_VFORK) as usize),
        "thread" => thread(),
        "fork-bomb" => fork_bomb(arguments.number(0)),
        "clone-new-user" => fork(CHILD | libc::CLONE_NEWUSER as usize),
        "clone-new-user-high-bits" => fork(CHILD | libc::CLONE_NEWUSER as usize | 0xdead_0000_0000),
        "clone-parent" => fork(CHILD | libc::CLONE_PARENT as usize),
        "clone3" => clone3(),
        "unshare-user" => unshare(libc::CLONE_NEWUSER),
        "mount-in-own-namespace" => mount(),
        "chroot-in-own-namespace" => unshare(libc::CLONE_NEWUSER)
            .and_then(|()| call(libc::SYS_chroot, [at(c"/"), 0, 0, 0, 0, 0]).map(drop)),
        "be-traced" => call(libc::SYS_ptrace, [0; 6]).map(drop),
        "read-own-memory" => read_memory(),
        "compare-other" => compare(arguments.number(0)),
        "signal-other" => call(libc::SYS_kill, [arguments.number(0) as usize, 0, 0, 0, 0, 0]).map(drop),
        "signal-other-thread" => {
            let other = arguments.number(0) as usize;
            call(libc::SYS_tgkill, [other, other, 0, 0, 0, 0]).map(drop)
        }
        "pidfd-other" => call(libc::SYS_pidfd_open, [arguments.number(0) as usize, 0, 0, 0, 0, 0]).map(drop),
        "pidfd-self" => call(libc::SYS_pidfd_open, [std::process::id() as usize, 0, 0, 0, 0, 0]).map(drop),
        "limits-other" => limits(arguments.number(0) as usize, false),
        "set-limits" => limits(0, true),
        "new-session" => new_session(),
        "survive-parent" => prctl(libc::PR_SET_PDEATHSIG, 0),
        "be-subreaper" => prctl(libc::PR_SET_CHILD_SUBREAPER, 1),
        "be-undumpable" => prctl(libc::PR_SET_DUMPABLE, 1),
        "set-scheduler" => {
            let priority = [0i32];
            let batch = libc::SCHED_BATCH as usize;
            call(libc::SYS_sched_setscheduler, [0, batch, priority.as_ptr() as usize, 0, 0, 0]).map(drop)
        }
        "set-affinity" => {
            let everywhere = [u64::MAX; 16];
            call(libc::SYS_sched_setaffinity, [0, 128, everywhere.as_ptr() as usize, 0, 0, 0]).map(drop)
        }
        "set-priority" => call(libc::SYS_setpriority, [0, 0, 19, 0, 0, 0]).map(drop),
        "set-io-priority" => call(libc::SYS_ioprio_set, [1, 0, (2 << 13) | 7, 0, 0, 0]).map(drop),
        "host-name" => host_name(),
        "system-info" => {
            let mut room = [0u64; 32];
            call(libc::SYS_sysinfo, [room.as_mut_ptr() as usize, 0, 0, 0, 0, 0]).map(drop)
        }
        _ => return None,
    })
}

/// A child that ends at once, waited for. No stack of its own: only without shared memory.
fn fork(flags: usize) -> Tried {
    let child = call(libc::SYS_clone, [flags, 0, 0, 0, 0, 0])?;
    if child == 0 {
        unsafe { libc::_exit(0) };
    }
    unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), libc::__WALL) };
    Ok(())
}

fn thread() -> Tried {
    let made = std::thread::Builder::new().stack_size(64 << 10).spawn(|| ());
    made.map_err(|e| e.raw_os_error().unwrap_or(0)).map(|thread| drop(thread.join()))
}

/// Succeeds where more than `count` children live at once.
fn fork_bomb(count: i64) -> Tried {
    let mut children = Vec::new();
    let mut refused = Ok(());
    for _ in 0..count {
        match call(libc::SYS_clone, [CHILD, 0, 0, 0, 0, 0]) {
            Ok(0) => loop {
                unsafe { libc::pause() };
            },
            Ok(child) => children.push(child as i32),
            Err(errno) => {
                refused = Err(errno);
                break;
            }
        }
    }
    for child in children {
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    refused
}

fn clone3() -> Tried {
    // struct clone_args: only the exit signal is set, the fifth field.
    let arguments: [u64; 8] = [0, 0, 0, 0, CHILD as u64, 0, 0, 0];
    let child = call(libc::SYS_clone3, [arguments.as_ptr() as usize, 64, 0, 0, 0, 0])?;
    if child == 0 {
        unsafe { libc::_exit(0) };
    }
    unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) };
    Ok(())
}

fn unshare(flags: i32) -> Tried {
    call(libc::SYS_unshare, [flags as usize, 0, 0, 0, 0, 0]).map(drop)
}

fn mount() -> Tried {
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    let arguments = [at(c"none"), at(c"/"), at(c"tmpfs"), 0, at(c"size=4k"), 0];
    call(libc::SYS_mount, arguments).map(drop)
}

fn read_memory() -> Tried {
    let (from, mut to) = ([7u8; 8], [0u8; 8]);
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: 8 };
    let own = std::process::id() as usize;
    let arguments = [own, &raw const local as usize, 1, &raw const remote as usize, 1, 0];
    call(libc::SYS_process_vm_readv, arguments).map(drop)
}

/// Needs the right to look into the other process, as reading its memory does.
fn compare(other: i64) -> Tried {
    const FILES: usize = 2;
    let own = std::process::id() as usize;
    call(libc::SYS_kcmp, [own, other as usize, FILES, 0, 0, 0]).map(drop)
}

fn limits(process: usize, set: bool) -> Tried {
    let mut now = [0u64; 2];
    let core = libc::RLIMIT_CORE as usize;
    call(libc::SYS_prlimit64, [0, core, 0, now.as_mut_ptr() as usize, 0, 0])
        .unwrap_or_else(|_| broken("own limits cannot be read"));
    let new = if set { now.as_ptr() as usize } else { 0 };
    let old = if set { 0 } else { now.as_mut_ptr() as usize };
    call(libc::SYS_prlimit64, [process, core, new, old, 0, 0]).map(drop)
}

/// In a child: the program itself leads a session already.
fn new_session() -> Tried {
    let child = call(libc::SYS_clone, [CHILD, 0, 0, 0, 0, 0])?;
    if child == 0 {
        let errno = call(libc::SYS_setsid, [0; 6]).err().unwrap_or(0);
        unsafe { libc::_exit(errno) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(child as i32, &raw mut status, 0) };
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        errno => Err(errno),
    }
}

fn prctl(option: i32, value: usize) -> Tried {
    call(libc::SYS_prctl, [option as usize, value, 0, 0, 0, 0]).map(drop)
}

/// Succeeds where the name is not the one that every jail has.
fn host_name() -> Tried {
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    call(libc::SYS_uname, [&raw mut names as usize, 0, 0, 0, 0, 0])?;
    let node = unsafe { std::ffi::CStr::from_ptr(names.nodename.as_ptr()) };
    if node == c"pawang" { Err(0) } else { Ok(()) }
}
