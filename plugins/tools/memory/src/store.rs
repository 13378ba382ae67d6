//! The directory: one file per key, replaced by renaming, changed under a lock.
//!
//! How much is stored is counted once and then kept, with a generation number that lives in the lock file: every
//! process that changes the store raises it first, so a count that belongs to the current number is right, and after
//! a crash it is simply counted again.

use crate::key::from_file_name;
use pawang_sdk::protocol::limits::DATA_MAX;
use pawang_sdk::{Failure, Replies, Unfinished};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RawDir, ResolveFlags, fdatasync, flock, fsync, openat2, renameat,
    statat, unlinkat,
};
use rustix::io::{Errno, pread, pwrite, write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What an entry costs beyond its key and its value: about what the file system needs for a name.
const ENTRY_OVERHEAD: u64 = 64;
/// The two files of the store itself. No key begins with a dot.
const LOCK: &str = ".lock";
const NEW: &str = ".new";
/// How long another run is waited for, and how often it is looked at: 10 s in steps of 2 ms.
const LOCK_TRIES_MAX: u32 = 5_000;
const LOCK_STEP: Duration = Duration::from_millis(2);

/// One automation's store.
pub struct Store {
    dir: OwnedFd,
    lock: OwnedFd,
    quota: u64,
    counted: Option<Count>,
}

/// How much is stored, as of a generation.
#[derive(Clone, Copy)]
struct Count {
    generation: u64,
    bytes: u64,
}

impl Store {
    /// Opens the store in `dir`, which exists, for at most `quota` bytes.
    ///
    /// # Errors
    /// `bad_setup` where the directory cannot be used.
    pub fn open(dir: &str, quota: u64) -> Result<Self, Failure> {
        let bad = |errno: Errno| {
            Failure::new(
                "bad_setup",
                format!("the store {dir} cannot be opened: {}", std::io::Error::from(errno)),
            )
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = rustix::fs::open(dir, flags, Mode::empty()).map_err(bad)?;
        let lock = open(&folder, LOCK, OFlags::RDWR | OFlags::CREATE).map_err(bad)?;
        Ok(Self { dir: folder, lock, quota, counted: None })
    }

    /// Takes the lock for a change, waiting for other runs of the same automation.
    ///
    /// # Errors
    /// `busy` after 10 s; [`Unfinished::Cancelled`].
    pub fn lock(&self, replies: &mut Replies<'_>) -> Result<(), Unfinished> {
        for _ in 0..LOCK_TRIES_MAX {
            match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    replies.check_cancelled()?;
                    std::thread::sleep(LOCK_STEP);
                }
                Err(errno) => return Err(io(errno).into()),
            }
        }
        Err(Failure::new("busy", "another run of this automation holds the store")
            .hint("try again later")
            .retryable()
            .into())
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// `io`.
    pub fn unlock(&self) -> Result<(), Failure> {
        flock(&self.lock, FlockOperation::Unlock).map_err(io)
    }

    /// The value of a key. Needs no lock: a value is replaced in one step.
    ///
    /// # Errors
    /// `not_found`; `damaged` where the file is no value this tool wrote.
    pub fn read(&self, key: &str, name: &str) -> Result<Vec<u8>, Failure> {
        let file = open(&self.dir, name, OFlags::RDONLY).map_err(|errno| missing(key, errno))?;
        let mut value = Vec::with_capacity(4_096);
        let mut block = [0; 16 << 10];
        while value.len() <= DATA_MAX {
            let at = u64::try_from(value.len()).unwrap_or(u64::MAX);
            match pread(&file, &mut block, at) {
                Ok(0) => return Ok(value),
                Ok(read) => value.extend_from_slice(block.get(..read).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io(errno)),
            }
        }
        Err(Failure::new("damaged", format!("{key}: the stored value is larger than any this tool writes")))
    }

    /// Stores a value. Call with the lock held.
    ///
    /// # Errors
    /// `quota_exceeded`, `no_space`, `io`; the old value is then still there.
    pub fn write(&mut self, name: &str, value: &[u8]) -> Result<(), Failure> {
        let count = self.count()?;
        let size = u64::try_from(value.len()).unwrap_or(u64::MAX);
        let bytes =
            count.bytes.saturating_sub(self.cost_of_stored(name)?).saturating_add(cost(name.len(), size));
        if bytes > self.quota {
            return Err(over_quota(bytes, self.quota));
        }
        self.prepare(value).map_err(io)?;
        let generation = self.begin(count.generation)?;
        renameat(&self.dir, NEW, &self.dir, name).map_err(io)?;
        fsync(&self.dir).map_err(io)?;
        self.counted = Some(Count { generation, bytes });
        Ok(())
    }

    /// Forgets a key. Call with the lock held.
    ///
    /// # Errors
    /// `not_found`, `io`.
    pub fn remove(&mut self, key: &str, name: &str) -> Result<(), Failure> {
        let count = self.count()?;
        let freed = self.cost_of_stored(name)?;
        if freed == 0 {
            return Err(missing(key, Errno::NOENT));
        }
        let generation = self.begin(count.generation)?;
        unlinkat(&self.dir, name, AtFlags::empty()).map_err(|errno| missing(key, errno))?;
        fsync(&self.dir).map_err(io)?;
        self.counted = Some(Count { generation, bytes: count.bytes.saturating_sub(freed) });
        Ok(())
    }

    /// All keys with the sizes of their values, sorted.
    ///
    /// # Errors
    /// `io`.
    pub fn entries(&self) -> Result<Vec<(String, u64)>, Failure> {
        let dir = open(&self.dir, ".", OFlags::RDONLY | OFlags::DIRECTORY).map_err(io)?;
        let mut room = vec![MaybeUninit::uninit(); 32 << 10];
        let mut raw = RawDir::new(&dir, &mut room);
        let mut entries = Vec::new();
        while let Some(entry) = raw.next() {
            let entry = entry.map_err(io)?;
            let Some(key) = from_file_name(entry.file_name().to_bytes()) else { continue };
            if let Some(size) = size_of(&self.dir, entry.file_name()).map_err(io)? {
                entries.push((key, size));
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// Writes the value beside the others, on the disk before it gets its name.
    fn prepare(&self, value: &[u8]) -> Result<(), Errno> {
        let file = open(&self.dir, NEW, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
        let mut rest = value;
        while !rest.is_empty() {
            match write(&file, rest) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        fdatasync(&file)
    }

    /// Raises the generation, so that no other count is believed, and forgets our own until the change is done.
    fn begin(&mut self, generation: u64) -> Result<u64, Failure> {
        self.counted = None;
        let next = generation.wrapping_add(1);
        match pwrite(&self.lock, &next.to_le_bytes(), 0) {
            Ok(8) => Ok(next),
            Ok(_) => Err(io(Errno::IO)),
            Err(errno) => Err(io(errno)),
        }
    }

    fn count(&mut self) -> Result<Count, Failure> {
        let mut bytes = [0; 8];
        // A short read is an empty, new lock file: generation 0.
        pread(&self.lock, &mut bytes, 0).map_err(io)?;
        let generation = u64::from_le_bytes(bytes);
        match self.counted {
            Some(count) if count.generation == generation => Ok(count),
            _ => {
                let costs = self.entries()?.into_iter().map(|(key, size)| cost(key.len(), size));
                let count = Count { generation, bytes: costs.fold(0, u64::saturating_add) };
                self.counted = Some(count);
                Ok(count)
            }
        }
    }

    fn cost_of_stored(&self, name: &str) -> Result<u64, Failure> {
        let size = size_of(&self.dir, name).map_err(io)?;
        Ok(size.map_or(0, |size| cost(name.len(), size)))
    }
}

fn cost(key_len: usize, size: u64) -> u64 {
    u64::try_from(key_len).unwrap_or(u64::MAX).saturating_add(size).saturating_add(ENTRY_OVERHEAD)
}

fn size_of(dir: &OwnedFd, name: impl rustix::path::Arg) -> Result<Option<u64>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Nothing in the store is ever a link or lies elsewhere; anything that is was not put there by this tool.
fn open(dir: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o600) } else { Mode::empty() };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(dir, name, flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW, mode, resolve)
}

fn missing(key: &str, errno: Errno) -> Failure {
    match errno {
        Errno::NOENT => Failure::new("not_found", format!("{key}: there is no such key")),
        other => io(other),
    }
}

fn over_quota(bytes: u64, quota: u64) -> Failure {
    Failure::new("quota_exceeded", format!("the store would hold {bytes} bytes; its quota is {quota}"))
        .hint("remove keys that are no longer needed, or raise the quota in the contract")
}

fn io(errno: Errno) -> Failure {
    let text = std::io::Error::from(errno);
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            Failure::new("no_space", "no space is left for the store").hint("free some space").retryable()
        }
        _ => Failure::new("io", format!("the store cannot be used: {text}")),
    }
}
