//! The table: each act, what it is given, who may do it, and which walls must stop it.
//!
//! A guard is a wall that stops the act *alone*. An act that cannot succeed on an ordinary machine as an ordinary user
//! whatever is taken down (raw sockets, mounting, loading modules, reboot …) is not here, because its refusal would
//! prove nothing; the filter's interpreter test covers those.

use pawang_sandbox::Wall;

/// A wall that stops an act by itself.
pub struct Guard {
    pub wall: Wall,
    /// The first Landlock ABI at which it does; 0 where that does not matter.
    pub since: i32,
}

/// One line of the table.
pub struct Act {
    /// As the probe knows it.
    pub name: &'static str,
    /// Its arguments; `@` words are filled in by the fixture.
    pub arguments: &'static [&'static str],
    /// Profiles in which it is no escape.
    pub allowed: &'static [&'static str],
    /// Guards under "tool".
    pub tool: &'static [Guard],
    /// Guards under "automation".
    pub foreign: &'static [Guard],
}

const fn guard(wall: Wall) -> Guard {
    Guard { wall, since: 0 }
}

const SECCOMP: Guard = guard(Wall::Seccomp);
const LANDLOCK: Guard = guard(Wall::Landlock);
const LANDLOCK_3: Guard = Guard { wall: Wall::Landlock, since: 3 };
const LANDLOCK_4: Guard = Guard { wall: Wall::Landlock, since: 4 };
const SCOPES: Guard = Guard { wall: Wall::Scopes, since: 6 };
const RLIMITS: Guard = guard(Wall::Rlimits);
/// Newer kernels count rings as locked memory and stop them by that too; nothing is claimed of it.
const MEMLOCK: Guard = Guard { wall: Wall::Rlimits, since: i32::MAX };
/// The first process of a jail may not trace the program once it is under Landlock itself, some time after the start.
const INIT: Guard = Guard { wall: Wall::Landlock, since: i32::MAX };
const USER: Guard = guard(Wall::UserNs);
const PID: Guard = guard(Wall::PidNs);
const NET: Guard = guard(Wall::NetNs);
const IPC: Guard = guard(Wall::IpcNs);
const UTS: Guard = guard(Wall::UtsNs);
const MOUNT: Guard = guard(Wall::MountNs);

const NOBODY: &[&str] = &[];
const FOREIGN: &[&str] = &["automation", "program"];
const HTTP: &[&str] = &["tool-http"];

const THREADS: &[&str] = &["tool-http", "automation", "program"];

const fn act(
    name: &'static str,
    arguments: &'static [&'static str],
    allowed: &'static [&'static str],
    tool: &'static [Guard],
    foreign: &'static [Guard],
) -> Act {
    Act { name, arguments, allowed, tool, foreign }
}

/// Looking needs no right of Landlock's: where there is no file tree of its own, a profile that may look, sees.
const SEES: &[&str] = &["tool-fs", "tool-http", "tool-memory"];

#[rustfmt::skip]
pub const ACTS: &[Act] = &[
    // Files outside.
    act("read-file", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("read-through-link", &["@granted-link"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("read-dotdot", &["@granted-dotdot"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("read-proc-1", &["/proc/1/stat"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("openat2-file", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("write-file", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("write-own-memory", &[], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("create-file", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("truncate-path", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK_3], &[SECCOMP, LANDLOCK_3, MOUNT]),
    act("truncate-by-open", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("stat", &["@secret"], SEES, &[SECCOMP], &[MOUNT]),
    act("access", &["@secret"], NOBODY, &[SECCOMP], &[MOUNT]),
    act("chdir", &["@stream"], NOBODY, &[SECCOMP], &[MOUNT]),
    act("list-folder", &["@stream"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("chmod", &["@secret"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("chown", &["@secret"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("setxattr", &["@secret"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("utimens", &["@secret"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("rename", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("rename-out", &["@secret", "@granted-own"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("link", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("link-in", &["@secret", "@granted-own"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("symlink", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("symlink-in", &["@secret", "@granted-own"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK]),
    act("unlink", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("mkdir", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[LANDLOCK, MOUNT]),
    act("mkfifo", &["@secret"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("mksock", &["@granted-own"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK]),
    act("inotify", &["@secret"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("fanotify", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("name-to-handle", &["@secret"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    // Sockets.
    act("connect-path", &["@stream"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("connect-abstract", &["@abstract"], NOBODY, &[SECCOMP, NET, SCOPES], &[SECCOMP, NET, SCOPES]),
    act("datagram-path", &["@datagram"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("pair-datagram-path", &["@datagram"], NOBODY, &[SECCOMP], &[SECCOMP, MOUNT]),
    act("socketpair-stream", &[], FOREIGN, &[SECCOMP], &[]),
    act("socketpair-datagram", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("socketpair-seqpacket", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("connect-tcp", &["@tcp"], HTTP, &[SECCOMP, NET, LANDLOCK_4], &[SECCOMP, NET, LANDLOCK_4]),
    act("connect-mptcp", &["@tcp"], NOBODY, &[SECCOMP, NET], &[SECCOMP, NET]),
    act("tcp-fast-open", &["@tcp"], NOBODY, &[SECCOMP, NET], &[SECCOMP, NET]),
    act("send-udp", &["@udp"], HTTP, &[SECCOMP, NET], &[SECCOMP, NET]),
    act("listen-tcp", &[], NOBODY, &[SECCOMP, LANDLOCK_4], &[SECCOMP, LANDLOCK_4]),
    act("socket-netlink", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("socket-high-bits", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("send-descriptor", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("steal-signals", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("steal-signals-high-bits", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("attach-socket-filter", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    // Processes.
    act("fork", &[], FOREIGN, &[SECCOMP, RLIMITS], &[]),
    act("vfork", &[], FOREIGN, &[SECCOMP, RLIMITS], &[]),
    act("thread", &[], THREADS, &[SECCOMP, RLIMITS], &[]),
    act("fork-bomb", &["64"], NOBODY, &[SECCOMP, RLIMITS], &[RLIMITS]),
    act("clone-new-user", &[], NOBODY, &[SECCOMP, RLIMITS], &[SECCOMP]),
    act("clone-new-user-high-bits", &[], NOBODY, &[SECCOMP, RLIMITS], &[SECCOMP]),
    act("clone-parent", &[], NOBODY, &[SECCOMP, RLIMITS, PID], &[SECCOMP]),
    act("clone3", &[], NOBODY, &[SECCOMP, RLIMITS], &[SECCOMP]),
    act("unshare-user", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("mount-in-own-namespace", &[], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK]),
    act("chroot-in-own-namespace", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("be-traced", &[], NOBODY, &[SECCOMP], &[SECCOMP, INIT]),
    act("read-own-memory", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("compare-other", &["@victim"], NOBODY, &[SECCOMP, LANDLOCK, USER, PID], &[SECCOMP, LANDLOCK, USER, PID]),
    act("signal-other", &["@victim"], NOBODY, &[SECCOMP, PID, SCOPES], &[SECCOMP, PID, SCOPES]),
    act("signal-other-thread", &["@victim"], NOBODY, &[SECCOMP, PID, SCOPES], &[SECCOMP, PID, SCOPES]),
    act("pidfd-other", &["@victim"], NOBODY, &[SECCOMP, PID], &[SECCOMP, PID]),
    act("pidfd-self", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("limits-other", &["@victim"], NOBODY, &[SECCOMP, PID], &[SECCOMP, PID]),
    act("set-limits", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("new-session", &[], NOBODY, &[SECCOMP, RLIMITS], &[SECCOMP]),
    act("survive-parent", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("be-subreaper", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("be-undumpable", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("set-scheduler", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("set-affinity", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("set-priority", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("set-io-priority", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("host-name", &[], NOBODY, &[SECCOMP, UTS], &[UTS]),
    act("system-info", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    // Memory and what runs out.
    act("memory-bomb", &["256"], NOBODY, &[RLIMITS], &[RLIMITS]),
    act("shared-memory-bomb", &["256"], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("stack-memory-bomb", &["256"], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("descriptor-bomb", &["128"], NOBODY, &[RLIMITS], &[RLIMITS]),
    act("disk-bomb", &["@granted-own", "16"], NOBODY, &[SECCOMP, RLIMITS], &[RLIMITS]),
    act("lock-memory", &[], NOBODY, &[SECCOMP, RLIMITS], &[SECCOMP, RLIMITS]),
    act("executable-memory", &[], FOREIGN, &[SECCOMP], &[]),
    act("make-executable", &[], FOREIGN, &[SECCOMP], &[]),
    act("memfd", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("userfaultfd", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("io-uring", &[], NOBODY, &[SECCOMP, MEMLOCK], &[SECCOMP, MEMLOCK]),
    act("keyring", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("personality", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("local-descriptors", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("shared-memory-key", &["@key"], NOBODY, &[SECCOMP, IPC], &[SECCOMP, IPC]),
    act("message-queue", &[], NOBODY, &[SECCOMP, LANDLOCK, RLIMITS], &[SECCOMP, LANDLOCK, RLIMITS]),
    act("large-pipe", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    // Other code, other doors.
    act("execute-shell", &[], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("execute-by-loader", &[], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("execute-memory", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
    act("execute-descriptor", &["@program"], NOBODY, &[SECCOMP, LANDLOCK], &[SECCOMP, LANDLOCK, MOUNT]),
    act("execute-by-number", &["@program"], NOBODY, &[SECCOMP, LANDLOCK, RLIMITS], &[LANDLOCK, RLIMITS, MOUNT]),
    act("old-door", &[], NOBODY, &[SECCOMP], &[SECCOMP]),
];
