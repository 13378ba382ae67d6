//! Limits, privileges, Landlock, the filter, and the proofs of them.

use super::{Errno, address, call, call_plain, register};
use std::ffi::CStr;
use std::os::fd::RawFd;

/// Highest capability number that could ever be; the kernel refuses those it does not have.
const CAPABILITY_MAX: usize = 63;
/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// By number: its type is signed in one libc and unsigned in the other.
const RLIMIT_NOFILE: u32 = 7;
/// NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off and NO_CAP_AMBIENT_RAISE, each locked.
const SECURE_BITS: usize = 0b1110_1111;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`, twice: lower and upper 32 capabilities.
#[repr(C)]
#[derive(Default, PartialEq)]
struct Capabilities([[u32; 3]; 2]);

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: RawFd,
}

/// A seccomp program for the kernel: `struct sock_filter`s and their number.
pub struct Program(Vec<libc::sock_filter>);

impl Program {
    /// From 8 bytes per instruction. `None` where that does not come out, or exceeds the kernel's 4,096.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let (whole, rest) = bytes.as_chunks::<8>();
        if whole.len() > 4096 || !rest.is_empty() {
            return None;
        }
        let instruction = |&[a, b, jt, jf, c, d, e, f]: &[u8; 8]| libc::sock_filter {
            code: u16::from_le_bytes([a, b]),
            jt,
            jf,
            k: u32::from_le_bytes([c, d, e, f]),
        };
        Some(Self(whole.iter().map(instruction).collect()))
    }
}

/// Installs a filter on this process, for good.
pub fn install(program: &Program) -> Result<(), Errno> {
    let len = u16::try_from(program.0.len()).map_err(|_| libc::EINVAL)?;
    // The kernel only reads through this pointer, although its type says otherwise.
    let filter = libc::sock_fprog { len, filter: program.0.as_ptr().cast_mut() };
    let at = &raw const filter as usize;
    let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
    // SAFETY: a program header on the stack, pointing at `len` instructions that outlive the call.
    unsafe { call(libc::SYS_seccomp, [mode, 0, at, 0, 0]) }.map(drop)
}

/// Whether this kernel can kill a process by filter: an action it does not have is refused, and nothing is installed.
pub fn has_seccomp() -> bool {
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    let (operation, at) = (libc::SECCOMP_GET_ACTION_AVAIL as usize, &raw const action as usize);
    // SAFETY: one number that the kernel only reads.
    unsafe { call(libc::SYS_seccomp, [operation, 0, at, 0, 0]) }.is_ok()
}

/// The errno with which the call that does not exist is answered.
pub fn proof_call() -> Errno {
    call_plain(i64::from(pawang_sandbox::syscalls::PROOF_NUMBER.0), [0; 5]).err().unwrap_or(0)
}

pub fn landlock_abi() -> i32 {
    const VERSION: usize = 1;
    call_plain(libc::SYS_landlock_create_ruleset, [0, 0, VERSION, 0, 0]).map_or(0, |abi| abi as i32)
}

pub fn landlock_restrict(ruleset: RawFd) -> Result<(), Errno> {
    call_plain(libc::SYS_landlock_restrict_self, [register(ruleset), 0, 0, 0, 0]).map(drop)
}

/// Adds one rule: these rights at this path and below.
pub fn landlock_grant(ruleset: RawFd, path: &CStr, allowed: u64) -> Result<(), Errno> {
    const PATH_BENEATH: usize = 1;
    let flags = register(libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW);
    // SAFETY: a C string that the kernel only reads.
    let parent = unsafe { call(libc::SYS_openat, [register(libc::AT_FDCWD), address(path), flags, 0, 0]) }?;
    let rule = PathBeneath { allowed, parent: parent as RawFd };
    let at = &raw const rule as usize;
    // SAFETY: a rule on the stack, in the kernel's packed layout; it only reads it.
    let added = unsafe { call(libc::SYS_landlock_add_rule, [register(ruleset), PATH_BENEATH, at, 0, 0]) };
    super::close(parent as RawFd)?;
    added.map(drop)
}

fn prlimit(resource: u32, new: Option<&libc::rlimit64>) -> Result<libc::rlimit64, Errno> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let (new, at) = (new.map_or(0, |new| std::ptr::from_ref(new) as usize), &raw mut old as usize);
    // SAFETY: one limit is read where it is there, and one is written; both are on a stack.
    unsafe { call(libc::SYS_prlimit64, [0, resource as usize, new, at, 0]) }?;
    Ok(old)
}

/// The limit wanted, or the lower one that this process itself is under: raising takes a capability.
pub fn within_hard_limit((resource, soft, hard): (u32, u64, u64)) -> (u32, u64, u64) {
    let most = prlimit(resource, None).map_or(hard, |limit| limit.rlim_max);
    (resource, soft.min(most), hard.min(most))
}

pub fn set_rlimit((resource, soft, hard): (u32, u64, u64)) -> Result<(), Errno> {
    prlimit(resource, Some(&libc::rlimit64 { rlim_cur: soft, rlim_max: hard })).map(drop)
}

/// Room for descriptors below `count`.
pub fn raise_open_files(count: i64) -> Result<(), Errno> {
    let (count, resource) = (count as u64, RLIMIT_NOFILE);
    let now = prlimit(resource, None)?;
    if now.rlim_cur >= count {
        return Ok(());
    }
    set_rlimit((resource, count, now.rlim_max.max(count)))
}

pub fn no_new_privileges() -> Result<(), Errno> {
    call_plain(libc::SYS_prctl, [register(libc::PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0]).map(drop)
}

pub fn has_no_new_privileges() -> bool {
    call_plain(libc::SYS_prctl, [register(libc::PR_GET_NO_NEW_PRIVS), 0, 0, 0, 0]) == Ok(1)
}

/// Every capability, out of every set, and no way back. The first three take capabilities themselves: a process that
/// never had any is refused, and has nothing to lose by it.
pub fn drop_privileges() -> Result<(), Errno> {
    no_new_privileges()?;
    let _ = call_plain(libc::SYS_prctl, [register(libc::PR_SET_SECUREBITS), SECURE_BITS, 0, 0, 0]);
    for capability in 0..=CAPABILITY_MAX {
        // EINVAL: past the last that this kernel has.
        let dropped = call_plain(libc::SYS_prctl, [register(libc::PR_CAPBSET_DROP), capability, 0, 0, 0]);
        if dropped == Err(libc::EINVAL) {
            break;
        }
    }
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as usize;
    let _ = call_plain(libc::SYS_prctl, [register(libc::PR_CAP_AMBIENT), clear, 0, 0, 0]);
    let (header, none) = (CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 }, Capabilities::default());
    let (header, none) = (&raw const header as usize, &raw const none as usize);
    // SAFETY: a header and two sets on the stack, as version 3 has them; the kernel reads them.
    unsafe { call(libc::SYS_capset, [header, none, 0, 0, 0]) }.map(drop)
}

pub fn has_no_capability() -> bool {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut found = Capabilities([[u32::MAX; 3]; 2]);
    let (header, at) = (&raw mut header as usize, &raw mut found as usize);
    // SAFETY: a header and room for two sets, as version 3 has them.
    let asked = unsafe { call(libc::SYS_capget, [header, at, 0, 0, 0]) };
    asked.is_ok() && found == Capabilities::default()
}
