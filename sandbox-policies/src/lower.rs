//! From a jail to a plan: which walls this machine can put up, which filter, which limits, which mounts.
//!
//! Pure but for looking whether device nodes exist. Whatever the jail asks that cannot be had whole is an error here,
//! before a process exists.

use crate::jail::{Access, Jail, Limits, OPEN_FILES_MAX, PathRule};
use crate::launcher::LaunchError;
use crate::plan::{BindKind, BindPlan, Facts, Plan, RootPlan};
use crate::profile::{FilterOptions, Profile};
use crate::ruleset::{LANDLOCK_ABI_MIN, tmp_rights};
use crate::walls::{Wall, Walls};
use std::path::{Path, PathBuf};

/// Addresses of one process, in bytes. Far above any reservation a run-time makes (a WASM engine reserves 6 GiB per
/// memory), and low enough that touching every 2 MiB of it costs no more than 128 MiB of page tables, which no other
/// limit counts.
const ADDRESS_SPACE: u64 = 64 << 30;
/// Stack of the first thread, in bytes: the usual default.
const STACK: u64 = 8 << 20;
/// Queued signals. Nothing here queues any; the number keeps `sigqueue`-like memory small.
const SIGNALS_PENDING: u64 = 64;
/// One byte: with 0 the kernel still runs a core pattern that is a pipe; with 1 it refuses both kinds.
const CORE: u64 = 1;

/// Devices a foreign program gets, and whether it may write to them. Not `/dev/zero`: mapped shared, it is memory that no
/// limit counts.
const DEVICES: &[(&str, bool)] =
    &[("/dev/null", true), ("/dev/full", true), ("/dev/random", false), ("/dev/urandom", false)];

/// What can be put up here of what the jail asks for.
pub(crate) fn walls(jail: &Jail, profile: &Profile, facts: &Facts) -> Result<Walls, LaunchError> {
    floor(jail, facts)?;
    let root = facts.uid == 0;
    if jail.uid.is_some() && !root {
        return Err(LaunchError::Jail("another uid can be taken only where the kernel runs as root"));
    }
    if root && profile.is_foreign() && jail.uid.is_none_or(|uid| uid == 0) {
        return Err(LaunchError::Jail(
            "a kernel that runs as root starts foreign programs under another uid only",
        ));
    }
    let mut here = Walls::FLOOR.with(Wall::Uid);
    here = Walls::from_bits(here.bits() | facts.namespaces);
    if facts.landlock_abi >= 6 && jail.walls.has(Wall::Landlock) {
        here = here.with(Wall::Scopes);
    }
    for (wanted, wall) in [
        (!profile.has_network(), Wall::NetNs),
        (jail.private_root, Wall::MountNs),
        (jail.uid.is_some_and(|uid| uid != 0), Wall::Uid),
    ] {
        if !wanted {
            here = here.without(wall);
        }
    }
    let walls = jail.walls.and(here);
    Ok(if root || walls.has(Wall::UserNs) { walls } else { without_namespaces(walls) })
}

/// Options of the filter under these walls.
pub(crate) fn options(jail: &Jail, profile: &Profile, walls: Walls) -> FilterOptions {
    let counted = walls.has(Wall::UserNs) || walls.has(Wall::Uid);
    FilterOptions {
        tasks: profile.is_foreign() && jail.limits.processes > 1 && counted && walls.has(Wall::PidNs),
        signals: walls.has(Wall::PidNs) || walls.has(Wall::Scopes),
    }
}

/// The plan without its filters.
pub(crate) fn plan(jail: &Jail, profile: &Profile, facts: &Facts, walls: Walls) -> Result<Plan, LaunchError> {
    let init = profile.is_foreign() && walls.has(Wall::PidNs);
    let counted = walls.has(Wall::UserNs) || walls.has(Wall::Uid);
    Ok(Plan {
        walls: walls.bits(),
        init,
        uid: jail.uid,
        root: walls.has(Wall::MountNs).then(|| root(jail, profile, facts)).transpose()?,
        argv: strings(&jail.argv)?,
        env: environment(&jail.env)?,
        cwd: strings(std::slice::from_ref(&jail.cwd))?.remove(0),
        rlimits: rlimits(&jail.limits, counted, init),
        filter: Vec::new(),
        init_filter: Vec::new(),
    })
}

/// What Landlock grants: the jail's paths, the runtime's, and the devices.
pub(crate) fn rules(jail: &Jail, profile: &Profile) -> Vec<PathRule> {
    let rule = |path: &PathBuf, access| PathRule { path: path.clone(), access };
    let mut rules = jail.paths.clone();
    rules.extend(jail.runtime.read.iter().map(|path| rule(path, Access::READ)));
    rules.extend(jail.runtime.execute.iter().map(|path| rule(path, Access::EXECUTE)));
    if profile.is_foreign() {
        rules.extend(devices().map(|(path, write)| PathRule {
            path: PathBuf::from(path),
            access: Access { read: true, write, ..Access::NONE },
        }));
    }
    rules
}

fn floor(jail: &Jail, facts: &Facts) -> Result<(), LaunchError> {
    if jail.walls.has(Wall::Landlock) && facts.landlock_abi < LANDLOCK_ABI_MIN {
        return Err(LaunchError::Floor { wall: Wall::Landlock, found: facts.landlock_abi });
    }
    if jail.walls.has(Wall::Seccomp) && !facts.seccomp {
        return Err(LaunchError::Floor { wall: Wall::Seccomp, found: 0 });
    }
    let limits = &jail.limits;
    if !(4..=OPEN_FILES_MAX).contains(&limits.open_files) {
        return Err(LaunchError::Jail("open_files is 4 to 1000"));
    }
    if limits.processes == 0 || limits.memory_mib == 0 {
        return Err(LaunchError::Jail("no process and no memory: nothing can be started"));
    }
    if jail.argv.is_empty() {
        return Err(LaunchError::Jail("argv is empty"));
    }
    if !jail.cwd.starts_with('/') {
        return Err(LaunchError::Jail("the working directory is not absolute"));
    }
    // The proof that Landlock is in force is that the root directory cannot be listed.
    if jail.paths.iter().any(|rule| rule.path == Path::new("/") && rule.access.list) {
        return Err(LaunchError::Jail("the root directory as a whole cannot be granted"));
    }
    Ok(())
}

/// Without a user namespace an ordinary user can make none of the others.
fn without_namespaces(walls: Walls) -> Walls {
    [Wall::PidNs, Wall::NetNs, Wall::IpcNs, Wall::UtsNs, Wall::MountNs]
        .into_iter()
        .fold(walls, Walls::without)
}

fn root(jail: &Jail, profile: &Profile, facts: &Facts) -> Result<RootPlan, LaunchError> {
    let mut binds = Vec::new();
    for path in outermost(jail.runtime.read.iter().chain(&jail.runtime.execute)) {
        binds.push(bind(&path, &path, BindKind::Runtime)?);
    }
    if profile.is_foreign() {
        for (path, _) in devices() {
            binds.push(bind(Path::new(path), Path::new(path), BindKind::Device)?);
        }
    }
    let mut wanted: Vec<_> = jail.binds.iter().collect();
    wanted.sort_by_key(|bind| bind.target.components().count());
    for one in wanted {
        let kind = if one.writable { BindKind::Writable } else { BindKind::ReadOnly };
        binds.push(bind(&one.source, &one.target, kind)?);
    }
    Ok(RootPlan { binds, tmp_mib: jail.limits.file_mib, tmp_access: tmp_rights(facts.landlock_abi) })
}

/// The paths that lie in no other of them.
fn outermost<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut sorted: Vec<_> = paths.cloned().collect();
    sorted.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in sorted {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

fn bind(source: &Path, target: &Path, kind: BindKind) -> Result<BindPlan, LaunchError> {
    let text = |path: &Path| {
        let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        path.to_str()
            .filter(|text| plain && text.starts_with('/') && !text.contains('\0'))
            .map(str::to_owned)
            .ok_or_else(|| LaunchError::Path {
                path: path.to_path_buf(),
                reason: "a bind is an absolute path in UTF-8 without '..'".to_owned(),
            })
    };
    Ok(BindPlan { source: text(source)?, target: text(target)?, kind })
}

fn devices() -> impl Iterator<Item = (&'static str, bool)> {
    DEVICES.iter().copied().filter(|(path, _)| Path::new(path).exists())
}

/// Pairs of soft and hard. `counted`: processes are counted per jail; where they are not, the limit would count the
/// user's other processes too, and forking is left to the filter.
fn rlimits(limits: &Limits, counted: bool, init: bool) -> Vec<(u32, u64, u64)> {
    let mib = |count: u32| u64::from(count) << 20;
    let mut list = vec![
        (libc::RLIMIT_CORE, CORE, CORE),
        (libc::RLIMIT_DATA, mib(limits.memory_mib), mib(limits.memory_mib)),
        (libc::RLIMIT_AS, ADDRESS_SPACE, ADDRESS_SPACE),
        (libc::RLIMIT_STACK, STACK, STACK),
        (libc::RLIMIT_NOFILE, u64::from(limits.open_files), u64::from(limits.open_files)),
        (libc::RLIMIT_FSIZE, mib(limits.file_mib), mib(limits.file_mib)),
        (libc::RLIMIT_MEMLOCK, 0, 0),
        (libc::RLIMIT_MSGQUEUE, 0, 0),
        (libc::RLIMIT_SIGPENDING, SIGNALS_PENDING, SIGNALS_PENDING),
        (libc::RLIMIT_RTPRIO, 0, 0),
        (libc::RLIMIT_NICE, 0, 0),
    ];
    if counted {
        // The first process of the jail is counted with the others.
        let count = u64::from(limits.processes).saturating_add(u64::from(init));
        list.push((libc::RLIMIT_NPROC, count, count));
    }
    if let Some(seconds) = limits.cpu_s {
        let seconds = u64::from(seconds).max(1);
        list.push((libc::RLIMIT_CPU, seconds, seconds.saturating_add(1)));
    }
    #[expect(
        clippy::useless_conversion,
        reason = "resource numbers are signed in musl and unsigned in glibc"
    )]
    list.into_iter().filter_map(|(name, soft, hard)| Some((u32::try_from(name).ok()?, soft, hard))).collect()
}

fn environment(env: &[(String, String)]) -> Result<Vec<String>, LaunchError> {
    let joined: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if env.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(LaunchError::Jail("a name in the environment is empty or has '=' in it"));
    }
    strings(&joined)
}

fn strings(list: &[String]) -> Result<Vec<String>, LaunchError> {
    if list.iter().any(|text| text.contains('\0')) {
        return Err(LaunchError::Jail("an argument, a name or a value has a NUL in it"));
    }
    Ok(list.to_vec())
}
