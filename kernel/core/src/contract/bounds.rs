//! Every bound of a contract, with its derivation, and the limits a contract sets for its run.

use serde::{Deserialize, Serialize};

/// Largest payload, in bytes: 1,024 rules of 60 bytes.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Longest chain of parents. A person, a service, an agent, its helpers, and as much again.
pub const DEPTH_MAX: usize = 8;
/// Largest envelope with all its parents, in bytes: nine payloads in base64 and their frames.
pub const ENVELOPE_BYTES_MAX: usize = 1 << 20;
/// Largest source, in bytes. Comments are welcome.
pub const SOURCE_BYTES_MAX: usize = 256 << 10;
/// Most grants, and most denies.
pub const RULES_MAX: usize = 1_024;
/// Most secrets. Each is one look at every permitted request.
pub const SECRETS_MAX: usize = 64;
/// Most sub-ceilings of gas.
pub const EACH_MAX: usize = 64;
/// Most program files beside executable and script.
pub const FILES_MAX: usize = 256;
/// Most policy tests in a source.
pub const TESTS_MAX: usize = 1_024;
/// Longest time from not-before to not-after, in s: a leap year. What should run longer is signed again.
pub const TTL_S_MAX: u64 = 366 * 86_400;
/// Most uses of one contract. Once a minute for a year is half of it.
pub const USES_MAX: u32 = 1_000_000;
/// Most gas of one contract. 10^15 at 1 per ms of CPU time is 30,000 years; sums of a thousand of them still fit.
pub const GAS_MAX: u64 = 1_000_000_000_000_000;

/// What a run may use of the machine. Zero is none; `wall_s`, `memory_mib` and `processes` must be at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock time of a run, in s.
    pub wall_s: u32,
    /// Memory of each process, in MiB.
    pub memory_mib: u32,
    /// Processes and threads at one time, the first included.
    pub processes: u32,
    /// Open descriptors of each process.
    pub open_files: u32,
    /// Size of any file written by the program itself, in MiB.
    pub file_mib: u32,
    /// Private temporary directory, in MiB.
    pub tmp_mib: u32,
    /// Output on the standard streams that is kept, in KiB.
    pub output_kib: u32,
    /// Store of `memory.*`, in KiB.
    pub memory_store_kib: u32,
}

impl Limits {
    /// What a source gets where it says nothing: enough for a small script, and written out in the signed contract.
    pub const MODEST: Self = Self {
        wall_s: 300,
        memory_mib: 256,
        processes: 1,
        open_files: 64,
        file_mib: 16,
        tmp_mib: 16,
        output_kib: 1_024,
        memory_store_kib: 0,
    };

    /// What no contract may exceed: 30 days, 1 TiB, and what Linux gives one user by default.
    pub const MOST: Self = Self {
        wall_s: 30 * 86_400,
        memory_mib: 1 << 20,
        processes: 4_096,
        open_files: 65_536,
        file_mib: 1 << 20,
        tmp_mib: 1 << 16,
        output_kib: 1 << 20,
        memory_store_kib: 1 << 20,
    };

    /// None at all: the limits of a ceiling that names none.
    pub const NONE: Self = Self {
        wall_s: 0,
        memory_mib: 0,
        processes: 0,
        open_files: 0,
        file_mib: 0,
        tmp_mib: 0,
        output_kib: 0,
        memory_store_kib: 0,
    };

    /// Each limit with its name, in the order they are written.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u32); 8] {
        [
            ("wall_s", self.wall_s),
            ("memory_mib", self.memory_mib),
            ("processes", self.processes),
            ("open_files", self.open_files),
            ("file_mib", self.file_mib),
            ("tmp_mib", self.tmp_mib),
            ("output_kib", self.output_kib),
            ("memory_store_kib", self.memory_store_kib),
        ]
    }

    /// The first limit that is higher than in `most`: its name, its value, the value there.
    #[must_use]
    pub fn first_above(&self, most: &Self) -> Option<(&'static str, u32, u32)> {
        let pairs = self.named().into_iter().zip(most.named());
        pairs.map(|((name, own), (_, most))| (name, own, most)).find(|(_, own, most)| own > most)
    }

    /// The first limit that is zero and must not be.
    #[must_use]
    pub fn first_missing(&self) -> Option<&'static str> {
        let needed = ["wall_s", "memory_mib", "processes"];
        self.named()
            .into_iter()
            .find(|(name, value)| *value == 0 && needed.contains(name))
            .map(|(name, _)| name)
    }
}

/// The strictest there is.
impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

/// Limits as somebody asks for them: any of them, the others taken from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsAsked {
    /// See [`Limits::wall_s`], and so on.
    pub wall_s: Option<u32>,
    /// See [`Limits`].
    pub memory_mib: Option<u32>,
    /// See [`Limits`].
    pub processes: Option<u32>,
    /// See [`Limits`].
    pub open_files: Option<u32>,
    /// See [`Limits`].
    pub file_mib: Option<u32>,
    /// See [`Limits`].
    pub tmp_mib: Option<u32>,
    /// See [`Limits`].
    pub output_kib: Option<u32>,
    /// See [`Limits`].
    pub memory_store_kib: Option<u32>,
}

impl LimitsAsked {
    /// What was asked for, and `otherwise` where nothing was.
    #[must_use]
    pub fn or(&self, otherwise: &Limits) -> Limits {
        Limits {
            wall_s: self.wall_s.unwrap_or(otherwise.wall_s),
            memory_mib: self.memory_mib.unwrap_or(otherwise.memory_mib),
            processes: self.processes.unwrap_or(otherwise.processes),
            open_files: self.open_files.unwrap_or(otherwise.open_files),
            file_mib: self.file_mib.unwrap_or(otherwise.file_mib),
            tmp_mib: self.tmp_mib.unwrap_or(otherwise.tmp_mib),
            output_kib: self.output_kib.unwrap_or(otherwise.output_kib),
            memory_store_kib: self.memory_store_kib.unwrap_or(otherwise.memory_store_kib),
        }
    }
}
