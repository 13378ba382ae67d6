//! Landlock rulesets, made in the kernel's process and put up in the jail's.
//!
//! Every right that the machine's ABI knows is handled, so what no rule grants is refused. Nothing is best effort: the
//! ABI is known beforehand, and the crate is told to fail rather than to leave anything out.
//!
//! The floor is ABI 2 (Linux 5.19; Debian 12 has it). What the later ones add and how it is covered without them:
//! 3 truncation — no profile allows truncation by path or by a read-only open; 4 TCP — network namespace and filter;
//! 5 device ioctls — the filter knows six; 6 signals and abstract sockets — namespaces and filter.

use crate::jail::{Access, PathRule};
use crate::launcher::LaunchError;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};
use rustix::fs::FileType;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The oldest Landlock ABI that a process is started under.
pub const LANDLOCK_ABI_MIN: i32 = 2;

/// The newest that this code has been tried with. Newer machines are used as if they had this.
const ABI_MAX: i32 = 7;

/// What a ruleset is made for.
#[derive(Debug, Clone, Copy)]
pub struct RulesetOptions {
    /// The machine's ABI.
    pub abi: i32,
    /// Outgoing TCP is not Landlock's affair.
    pub network: bool,
    /// Signals and abstract sockets end at the jail; from ABI 6.
    pub scopes: bool,
}

/// Makes a ruleset that grants exactly `rules`.
///
/// # Errors
/// [`LaunchError::Path`] where a path cannot be opened; [`LaunchError::Landlock`] where the machine refuses.
pub fn ruleset(options: RulesetOptions, rules: &[PathRule]) -> Result<OwnedFd, LaunchError> {
    let abi = abi(options.abi);
    let mut handled = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(refused)?;
    if options.abi >= 4 {
        handled = handled.handle_access(net(options.network)).map_err(refused)?;
    }
    if options.abi >= 6 && options.scopes {
        handled = handled.scope(Scope::from_all(abi)).map_err(refused)?;
    }
    let mut created = handled.create().map_err(refused)?;
    for rule in rules.iter().filter(|rule| !rule.access.is_none()) {
        created = created.add_rule(beneath(rule, abi)?).map_err(refused)?;
    }
    Option::<OwnedFd>::from(created).ok_or_else(|| LaunchError::Landlock("no ruleset was made".to_owned()))
}

/// The rights of a private `/tmp`, as the kernel's bits: everything but execution and devices.
#[must_use]
pub fn tmp_rights(machine_abi: i32) -> u64 {
    let abi = abi(machine_abi);
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
    (AccessFs::from_all(abi) & !never).bits()
}

/// `ABI` values are meant to be constants, so that a program is never run under rights it was not tried with. Ours are:
/// the number comes from the machine, but it is held between the floor and the newest tried.
fn abi(machine: i32) -> ABI {
    ABI::from(machine.min(ABI_MAX))
}

fn net(network: bool) -> BitFlags<AccessNet> {
    if network { AccessNet::BindTcp.into() } else { AccessNet::BindTcp | AccessNet::ConnectTcp }
}

fn beneath(rule: &PathRule, abi: ABI) -> Result<PathBeneath<PathFd>, LaunchError> {
    let fd = PathFd::new(&rule.path)
        .map_err(|e| LaunchError::Path { path: rule.path.clone(), reason: e.to_string() })?;
    let rights = rights(rule.access, is_directory(fd.as_fd()), abi);
    Ok(PathBeneath::new(fd, rights))
}

/// Rights that make no sense on a file are an error to the kernel, so they are left out there.
fn rights(access: Access, directory: bool, abi: ABI) -> BitFlags<AccessFs> {
    let mut rights = BitFlags::EMPTY;
    for (granted, adds) in [
        (access.read, AccessFs::ReadFile.into()),
        (access.list, AccessFs::ReadDir.into()),
        (access.write, AccessFs::WriteFile | AccessFs::Truncate),
        (access.make, AccessFs::MakeReg | AccessFs::MakeDir),
        (access.remove, AccessFs::RemoveFile | AccessFs::RemoveDir),
        (access.make && access.remove, AccessFs::Refer.into()),
        (access.execute, AccessFs::Execute.into()),
    ] {
        if granted {
            rights |= adds;
        }
    }
    rights & if directory { AccessFs::from_all(abi) } else { AccessFs::from_file(abi) }
}

/// Asked of the descriptor, so that it is about the same file as the rule.
fn is_directory(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|data| FileType::from_raw_mode(data.st_mode) == FileType::Directory)
}

fn refused(error: impl core::fmt::Display) -> LaunchError {
    LaunchError::Landlock(error.to_string())
}
