//! Processes: clone, wait, signals, session, users, execution.

use super::{Errno, address, call, call_plain, register};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use pawang_sandbox::plan::Stage;
use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

pub const NEW_USER: u64 = libc::CLONE_NEWUSER as u64;
pub const NEW_PID: u64 = libc::CLONE_NEWPID as u64;
pub const NEW_NET: u64 = libc::CLONE_NEWNET as u64;
pub const NEW_IPC: u64 = libc::CLONE_NEWIPC as u64;
pub const NEW_UTS: u64 = libc::CLONE_NEWUTS as u64;
pub const NEW_MOUNTS: u64 = libc::CLONE_NEWNS as u64;
/// The child shares memory, and the parent stands still until it has executed or ended.
pub const SHARE_AND_WAIT: u64 = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
/// The child's parent is the caller's parent.
pub const SIBLING: u64 = libc::CLONE_PARENT as u64;

const STACK_BYTES: usize = 128 << 10;

/// The stack of a child.
pub struct Stack(Box<[u128]>);

impl Stack {
    pub fn new() -> Self {
        Self(vec![0u128; STACK_BYTES / size_of::<u128>()].into_boxed_slice())
    }

    /// Stacks grow downwards; elements of 16 bytes make the end aligned as the ABI wants.
    fn end(&mut self) -> *mut c_void {
        self.0.as_mut_ptr_range().end.cast()
    }
}

/// Makes a process that runs `body` on `stack` and ends with its answer. The flags are those above.
pub fn clone<F: FnMut() -> i32>(
    flags: u64,
    stack: &mut Stack,
    body: &mut F,
) -> Result<(i32, OwnedFd), Errno> {
    extern "C" fn run<F: FnMut() -> i32>(body: *mut c_void) -> c_int {
        // SAFETY: `clone` below passes a pointer to an `F` that it holds exclusively; where memory is shared, the
        // caller stands still meanwhile (VFORK), and where it is not, this is a copy.
        let body = unsafe { &mut *body.cast::<F>() };
        body()
    }
    let mut pidfd: RawFd = -1;
    let flags = flags as c_int | libc::CLONE_PIDFD | libc::SIGCHLD;
    let argument: *mut F = body;
    // SAFETY: `stack` is exclusively ours and large enough; a child that shares memory also suspends us (no flag here
    // gives VM without VFORK), so nothing is used from two sides at once; `pidfd` is written before the call returns.
    let pid = unsafe { libc::clone(run::<F>, stack.end(), flags, argument.cast(), &raw mut pidfd) };
    if pid < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN));
    }
    // SAFETY: CLONE_PIDFD has put a new descriptor there, known to nobody else.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// How far a child has got, in memory that it shares with the launcher whether or not it shares the rest.
pub struct Progress(NonNull<Steps>);

struct Steps {
    stage: AtomicU32,
    errno: AtomicI32,
}

impl Progress {
    /// A page of its own for each launch, so that no earlier process can write to it.
    pub fn new() -> Result<Self, Errno> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Steps>(), protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOMEM));
        }
        let progress = Self(NonNull::new(page.cast()).ok_or(libc::ENOMEM)?);
        progress.at(Stage::Clone);
        Ok(progress)
    }

    /// Says which step is next.
    pub fn at(&self, stage: Stage) {
        self.steps().stage.store(u32::from(stage.number()), Ordering::SeqCst);
    }

    /// Says that the step failed.
    pub fn failed(&self, errno: Errno) {
        self.steps().errno.store(errno, Ordering::SeqCst);
    }

    /// After the child has executed or ended: the last step without an error means that the program runs.
    pub fn settle(&self) {
        if self.read() == (Stage::Exec, 0) {
            self.at(Stage::Running);
        }
    }

    /// The step, and the errno where it failed.
    pub fn read(&self) -> (Stage, Errno) {
        let stage = u8::try_from(self.steps().stage.load(Ordering::SeqCst)).unwrap_or(u8::MAX);
        (Stage::from_number(stage), self.steps().errno.load(Ordering::SeqCst))
    }

    fn steps(&self) -> &Steps {
        // SAFETY: the mapping lives as long as `self`, zeroed memory is a valid `Steps`, and it is only ever used
        // through atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // SAFETY: made by `new` with this size; no reference into it outlives `self`.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Steps>()) };
    }
}

/// A list of C strings as execution takes it: pointers, ended by a null one.
pub struct Strings {
    pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    /// `None` where one has a NUL in it.
    pub fn new(list: &[String]) -> Option<Self> {
        let owned: Vec<CString> =
            list.iter().map(|text| CString::new(text.as_str()).ok()).collect::<Option<_>>()?;
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Some(Self { pointers, _owned: owned })
    }
}

/// Becomes the program in this descriptor. Returns only the errno of a failure.
pub fn execute(image: RawFd, argv: &Strings, env: &Strings) -> Errno {
    let (argv, env) = (argv.pointers.as_ptr() as usize, env.pointers.as_ptr() as usize);
    let arguments = [register(image), address(c""), argv, env, register(libc::AT_EMPTY_PATH)];
    // SAFETY: both lists end with a null pointer and own the strings before it; the kernel copies them.
    unsafe { call(libc::SYS_execveat, arguments) }.err().unwrap_or(0)
}

/// The next process that ends, and its status as an exit code: 128 + n for one that died of signal n.
pub fn wait_any() -> Result<(i32, i32), Errno> {
    wait(-1)
}

/// The end of one child of the launcher's own.
pub fn wait_for(pid: i32) -> Result<i32, Errno> {
    wait(pid).map(|(_, code)| code)
}

fn wait(pid: i32) -> Result<(i32, i32), Errno> {
    let mut status: c_int = 0;
    loop {
        let at = &raw mut status as usize;
        // SAFETY: room for the one number that the kernel writes.
        match unsafe { call(libc::SYS_wait4, [register(pid), at, register(libc::__WALL), 0, 0]) } {
            Err(libc::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(pid) if libc::WIFEXITED(status) => return Ok((pid as i32, libc::WEXITSTATUS(status))),
            Ok(pid) => return Ok((pid as i32, 128 + libc::WTERMSIG(status))),
        }
    }
}

/// Every signal as the system treats it by default. Children inherit this.
pub fn default_signals() {
    for number in 1..=64 {
        // SAFETY: SIG_DFL installs no code of ours. Numbers that cannot be set are refused, which is no matter.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// A set of blocked signals, as the kernel keeps it.
pub struct SignalSet(u64);

/// Blocks every signal, so that none is handled between a clone and an execution.
pub fn block_signals() -> SignalSet {
    let mut before = SignalSet(0);
    set_signals(u64::MAX, Some(&mut before.0));
    before
}

/// Back to what was.
pub fn restore_signals(set: &SignalSet) {
    set_signals(set.0, None);
}

/// A program begins with no signal blocked.
pub fn unblock_signals() {
    set_signals(0, None);
}

fn set_signals(set: u64, before: Option<&mut u64>) {
    let (new, old) = (&raw const set as usize, before.map_or(0, |old| std::ptr::from_mut(old) as usize));
    // SAFETY: the kernel's signal set is 8 bytes; one is read, the other written where it is there.
    let _ = unsafe { call(libc::SYS_rt_sigprocmask, [register(libc::SIG_SETMASK), new, old, 8, 0]) };
}

/// Own session, no terminal. Fails only where the process leads one already.
pub fn new_session() {
    let _ = call_plain(libc::SYS_setsid, [0; 5]);
}

pub fn die_with_parent() -> Result<(), Errno> {
    let arguments = [register(libc::PR_SET_PDEATHSIG), register(libc::SIGKILL), 0, 0, 0];
    call_plain(libc::SYS_prctl, arguments).map(drop)
}

pub fn set_umask(mask: u32) {
    let _ = call_plain(libc::SYS_umask, [mask as usize, 0, 0, 0, 0]);
}

pub fn set_host_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length are those of one slice; the kernel only reads it.
    unsafe { call(libc::SYS_sethostname, [name.as_ptr() as usize, name.len(), 0, 0, 0]) }.map(drop)
}

pub fn user() -> u32 {
    call_plain(libc::SYS_geteuid, [0; 5]).map_or(u32::MAX, |id| id as u32)
}

pub fn group() -> u32 {
    call_plain(libc::SYS_getegid, [0; 5]).map_or(u32::MAX, |id| id as u32)
}

pub fn leave_groups() -> Result<(), Errno> {
    call_plain(libc::SYS_setgroups, [0; 5]).map(drop)
}

pub fn set_group(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    call_plain(libc::SYS_setresgid, [id, id, id, 0, 0]).map(drop)
}

pub fn set_user(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    call_plain(libc::SYS_setresuid, [id, id, id, 0, 0]).map(drop)
}

/// Leaves namespaces for new ones; the flags are those above.
pub fn unshare(flags: u64) -> Result<(), Errno> {
    call_plain(libc::SYS_unshare, [flags as usize, 0, 0, 0, 0]).map(drop)
}

/// So that `/proc/self` belongs to the process's own user.
pub fn set_dumpable() -> Result<(), Errno> {
    call_plain(libc::SYS_prctl, [register(libc::PR_SET_DUMPABLE), 1, 0, 0, 0]).map(drop)
}
