//! What the kernel and the launcher say to each other: plans, reports, facts. Both are ours; the bytes are private to
//! this crate and change with it.
//!
//! A plan rides in `Message::Launch`, a report in `Message::Reply`, the facts of the machine in the `Hello` with
//! which the launcher begins. Descriptors travel beside them, in the order given here.
//!
//! Deliberately absent: decisions. A plan is carried out or refused as a whole.

use bincode::config::{Configuration, Fixint, LittleEndian};
use bincode::{Decode, Encode};
use core::fmt;

/// Descriptors beside a plan, in this order: image, stdin, stdout, stderr, channel, and the Landlock ruleset where
/// the plan has that wall.
pub const PLAN_FDS_MAX: usize = 6;

/// Everything about one process, prepared by the kernel's side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Plan {
    /// [`crate::Walls`] to put up, as bits; namespaces only where the machine has them.
    pub walls: u16,
    /// A first process stays above the program and reaps; needed wherever the program may have children.
    pub init: bool,
    /// User and group to become.
    pub uid: Option<u32>,
    /// File tree; used with the mount namespace.
    pub root: Option<RootPlan>,
    /// Arguments.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Resource and its soft and hard limit.
    pub rlimits: Vec<(u32, u64, u64)>,
    /// Filter of the program, `struct sock_filter` by `struct sock_filter`.
    pub filter: Vec<u8>,
    /// Filter of the first process.
    pub init_filter: Vec<u8>,
}

/// A private file tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RootPlan {
    /// In the order in which they are put up: a parent before what lies in it.
    pub binds: Vec<BindPlan>,
    /// Size of `/tmp` in MiB; none where 0.
    pub tmp_mib: u32,
    /// Landlock rights granted on `/tmp`.
    pub tmp_access: u64,
}

/// One entry of a private file tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BindPlan {
    /// Absolute path outside.
    pub source: String,
    /// Absolute path inside.
    pub target: String,
    /// What can be done through it.
    pub kind: BindKind,
}

/// What a bind is for. Everything that is not needed for it is switched off on the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum BindKind {
    /// Of the runtime: read-only, libraries may be mapped executable, links in the path are followed.
    Runtime,
    /// Of the contract: read-only, not executable, no links in the path.
    ReadOnly,
    /// Of the contract: writable, not executable, no links in the path.
    Writable,
    /// A device node.
    Device,
}

/// What the launcher answers to a plan. Beside it, where a process came to be, its pidfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// Process id as the kernel sees it; 0 where there is none.
    pub pid: i32,
    /// [`crate::Walls`] that were proved from the inside, as bits.
    pub walls: u16,
    /// Where it stopped, as [`Stage`]; [`Stage::Running`] where it did not.
    pub stage: u8,
    /// The errno it stopped with; 0 where a proof failed without one.
    pub errno: i32,
}

/// What the machine gives, as the launcher found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Facts {
    /// Landlock ABI; 0 where there is none.
    pub landlock_abi: i32,
    /// Whether filters can be installed.
    pub seccomp: bool,
    /// Namespaces that could be made, as [`crate::Walls`] bits.
    pub namespaces: u16,
    /// User the launcher runs as.
    pub uid: u32,
}

/// How far a launch got. Each is the step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// It runs.
    Running = 0,
    /// The plan or its descriptors are not complete.
    Plan = 1,
    /// The process could not be made.
    Clone = 2,
    /// Users of the new namespace could not be written.
    IdMaps = 3,
    /// The file tree could not be built.
    Root = 4,
    /// The user could not be changed.
    Uid = 5,
    /// Session, parent's death, host name.
    Session = 6,
    /// Descriptors could not be put in place.
    Descriptors = 7,
    /// The working directory is not there.
    WorkingDirectory = 8,
    /// A limit was refused.
    Rlimits = 9,
    /// Privileges could not be dropped.
    Privileges = 10,
    /// The ruleset was refused.
    Landlock = 11,
    /// The filter was refused.
    Seccomp = 12,
    /// A wall does not stand although it was put up.
    Proof = 13,
    /// The image could not be executed.
    Exec = 14,
    /// The kernel's side went away meanwhile.
    Orphaned = 15,
}

const CONFIG: Configuration<LittleEndian, Fixint, bincode::config::Limit<{ 1 << 20 }>> =
    bincode::config::legacy().with_limit::<{ 1 << 20 }>();

/// As bytes.
///
/// # Errors
/// A codec's words where it is longer than 1 MiB.
pub fn encode<T: Encode>(value: &T) -> Result<Vec<u8>, String> {
    bincode::encode_to_vec(value, CONFIG).map_err(|e| e.to_string())
}

/// From exactly these bytes.
///
/// # Errors
/// A codec's words for anything else.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, String> {
    match bincode::decode_from_slice(bytes, CONFIG) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(format!("{} bytes left over", bytes.len().saturating_sub(used))),
        Err(e) => Err(e.to_string()),
    }
}

impl Stage {
    /// From its number; an unknown one is [`Stage::Plan`].
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        const ALL: [Stage; 16] = [
            Stage::Running,
            Stage::Plan,
            Stage::Clone,
            Stage::IdMaps,
            Stage::Root,
            Stage::Uid,
            Stage::Session,
            Stage::Descriptors,
            Stage::WorkingDirectory,
            Stage::Rlimits,
            Stage::Privileges,
            Stage::Landlock,
            Stage::Seccomp,
            Stage::Proof,
            Stage::Exec,
            Stage::Orphaned,
        ];
        ALL.get(usize::from(number)).copied().unwrap_or(Self::Plan)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        #[expect(clippy::as_conversions, reason = "the discriminant of a repr(u8) enum")]
        let number = self as u8;
        number
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Plan => "reading the plan",
            Self::Clone => "making the process",
            Self::IdMaps => "mapping users into the new namespace",
            Self::Root => "building the file tree",
            Self::Uid => "changing the user",
            Self::Session => "starting the session",
            Self::Descriptors => "placing descriptors",
            Self::WorkingDirectory => "entering the working directory",
            Self::Rlimits => "setting limits",
            Self::Privileges => "dropping privileges",
            Self::Landlock => "putting up Landlock",
            Self::Seccomp => "putting up the filter",
            Self::Proof => "proving the walls from the inside",
            Self::Exec => "executing the image",
            Self::Orphaned => "looking for the kernel, which has gone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Stage, decode, encode};

    #[test]
    fn stages_go_through_their_numbers() {
        for number in 0..16 {
            assert_eq!(Stage::from_number(number).number(), number);
        }
        assert_eq!(Stage::from_number(16), Stage::Plan);
    }

    #[test]
    fn exactly_the_bytes_of_a_report_are_a_report() {
        let report = Report { pid: 7, walls: 0x1fff, stage: 0, errno: 0 };
        let mut bytes = encode(&report).unwrap();
        assert_eq!(decode::<Report>(&bytes), Ok(report));
        bytes.push(0);
        assert!(decode::<Report>(&bytes).is_err());
        assert!(decode::<Report>(&bytes[..5]).is_err());
    }
}
