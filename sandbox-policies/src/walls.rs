//! The walls around a process: which exist, which were asked for, which stand.
//!
//! A launch asks for all of them and is told which are in force; each bit of that answer was proved by the process
//! itself before it became the program. The first five are the floor: without them nothing starts. The others
//! depend on what the machine gives, and [`Wall::lost_without`] says what is lost where it gives nothing.
//!
//! Deliberately absent: any way to lower the floor. Tests that take a wall down do so through
//! [`crate::Launcher::launch_without`], which nothing else calls.

use core::fmt;

/// One wall. The discriminant is its bit in [`Walls`] and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Wall {
    /// Files by Landlock: nothing but the paths of the jail.
    Landlock = 0,
    /// System calls by the profile's filter.
    Seccomp = 1,
    /// No capability, in any set, ever again; no new privileges by execution.
    Privileges = 2,
    /// Resource limits of this process.
    Rlimits = 3,
    /// Descriptors 0 to 3 and no other; own session; dies with the kernel.
    Descriptors = 4,
    /// Own user namespace: processes are counted per jail, capabilities have no meaning outside.
    UserNs = 5,
    /// Own process namespace: no other process can be named.
    PidNs = 6,
    /// A network namespace without an interface, shared by all jails: no network, no abstract socket of the machine.
    NetNs = 7,
    /// Own namespace for System V and POSIX message queues, semaphores and shared memory.
    IpcNs = 8,
    /// Own host name.
    UtsNs = 9,
    /// Own file tree: only what the jail binds exists.
    MountNs = 10,
    /// Landlock scopes: no signal to, no abstract socket of, anything outside.
    Scopes = 11,
    /// Another user than the kernel's own.
    Uid = 12,
}

/// A set of walls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Walls(u16);

impl Wall {
    /// Every wall, floor first.
    pub const ALL: [Self; 13] = [
        Self::Landlock,
        Self::Seccomp,
        Self::Privileges,
        Self::Rlimits,
        Self::Descriptors,
        Self::UserNs,
        Self::PidNs,
        Self::NetNs,
        Self::IpcNs,
        Self::UtsNs,
        Self::MountNs,
        Self::Scopes,
        Self::Uid,
    ];

    /// Its name in tables and in the timeline.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Privileges => "privileges",
            Self::Rlimits => "rlimits",
            Self::Descriptors => "descriptors",
            Self::UserNs => "user-ns",
            Self::PidNs => "pid-ns",
            Self::NetNs => "net-ns",
            Self::IpcNs => "ipc-ns",
            Self::UtsNs => "uts-ns",
            Self::MountNs => "mount-ns",
            Self::Scopes => "scopes",
            Self::Uid => "uid",
        }
    }

    /// What is lost on a machine that cannot give this wall. One sentence, for `pawang doctor`.
    #[must_use]
    pub const fn lost_without(self) -> &'static str {
        match self {
            Self::Landlock | Self::Seccomp | Self::Privileges | Self::Rlimits | Self::Descriptors => {
                "this wall is part of the floor: nothing is started without it"
            }
            Self::UserNs => {
                "processes cannot be counted per run, so automations cannot fork or start threads"
            }
            Self::PidNs => "a run's own processes are stopped as a group, and cannot send signals at all",
            Self::NetNs => "the network is kept out by the filter alone",
            Self::IpcNs => "other programs' queues and shared memory are kept out by the filter alone",
            Self::UtsNs => "the host's name can be read",
            Self::MountNs => {
                "names, sizes and times of files outside the contract can be seen; never their content"
            }
            Self::Scopes => {
                "signals and abstract sockets are kept out by the filter and the namespaces alone"
            }
            Self::Uid => "programs run as the kernel's own user; every other wall still stands",
        }
    }

    const fn bit(self) -> u16 {
        // The enum is `repr(u8)` and its highest discriminant is 12.
        #[expect(clippy::as_conversions, reason = "a discriminant of a repr(u8) enum, always below 16")]
        let shift = self as u8;
        1 << shift
    }
}

impl Walls {
    /// No wall.
    pub const NONE: Self = Self(0);
    /// What every process has, on every machine.
    pub const FLOOR: Self = Self(0b1_1111);

    /// Every wall. What a launch asks for.
    #[must_use]
    pub const fn all() -> Self {
        Self(0x1fff)
    }

    /// From the wire. Bits without a meaning are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::all().0)
    }

    /// For the wire.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the wall is in the set.
    #[must_use]
    pub const fn has(self, wall: Wall) -> bool {
        self.0 & wall.bit() != 0
    }

    /// The set with one more wall.
    #[must_use]
    pub const fn with(self, wall: Wall) -> Self {
        Self(self.0 | wall.bit())
    }

    /// The set with one wall less.
    #[must_use]
    pub const fn without(self, wall: Wall) -> Self {
        Self(self.0 & !wall.bit())
    }

    /// The walls in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every wall of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The walls of the set, floor first.
    pub fn iter(self) -> impl Iterator<Item = Wall> {
        Wall::ALL.into_iter().filter(move |wall| self.has(*wall))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Walls {
    /// Names separated by spaces; `none` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Wall::name).collect();
        f.pad(&if names.is_empty() { "none".to_owned() } else { names.join(" ") })
    }
}

impl fmt::Debug for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Walls({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{Wall, Walls};

    #[test]
    fn every_wall_has_its_own_bit() {
        let all = Wall::ALL.into_iter().fold(Walls::NONE, |walls, wall| {
            assert!(!walls.has(wall), "{wall}");
            walls.with(wall)
        });
        assert_eq!(all, Walls::all());
        assert_eq!(all.iter().count(), Wall::ALL.len());
    }

    #[test]
    fn floor_is_five_walls() {
        assert_eq!(Walls::FLOOR.to_string(), "landlock seccomp privileges rlimits descriptors");
        assert!(Walls::all().contains(Walls::FLOOR));
        assert!(!Walls::all().without(Wall::Seccomp).contains(Walls::FLOOR));
        assert_eq!(Walls::NONE.to_string(), "none");
    }
}
