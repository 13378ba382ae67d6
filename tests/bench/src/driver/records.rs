//! Records that are on the disk: the kernel's own log (its very source file) beside a writer that appends as many
//! bytes and syncs as often, and makes nothing of them: no JSON, no chain of digests.

#[allow(dead_code, reason = "the kernel uses more of it")]
#[path = "../../../../kernel/daemon/src/log.rs"]
mod log;

use crate::table::{Goal, Row, rate};
use log::Log;
use pawang_bench::median;
use pawang_core::audit::Tip;
use pawang_core::key::Signer;
use pawang_core::record::Entry;
use pawang_core::run::RunId;
use pawang_sdk::Gas;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

/// Records of one wake-up with 32 calls in it: a `call` and a `settle` each.
const GROUP: usize = 64;
/// The same, for reckoning.
const GROUP_F: f64 = 64.0;
/// Groups in one round.
const GROUPS: usize = 200;
const TIME_MS: u64 = 1_800_000_000_000;

/// In alternating rounds, each in a folder of its own below `folder`.
pub fn measure(rounds: usize) -> io::Result<Vec<Row>> {
    let (mut own, mut bare) = (Vec::new(), Vec::new());
    let (mut fast, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        // Beside the build, not in /tmp, which is often no disk.
        let folder = TempDir::with_prefix_in(
            "bench-log.",
            std::env::current_exe()?.parent().unwrap_or(Path::new("/")),
        )?;
        let (each, size) = kernel(folder.path(), "own", Log::write_through)?;
        own.push(each);
        sizes.push(size);
        bare.push(writer(folder.path(), size)?);
        // Last: what is synced behind would be synced under whoever comes next.
        let (written, _) = kernel(folder.path(), "page", Log::write)?;
        fast.push(written);
    }
    let (own, bare, fast) = (median(own), median(bare), median(fast));
    let size = median(sizes) / GROUP_F;
    Ok(vec![
        Row {
            path: "durable records, a sync for each 64",
            reached: rate(own),
            rival: format!("bare writer {}", rate(bare)),
            figure: own / bare,
            goal: Goal::AtLeast(0.7),
        },
        Row {
            path: "records written, synced behind",
            reached: rate(fast),
            rival: format!("{size:.0} B each"),
            figure: 1e6 / fast,
            goal: Goal::Told,
        },
    ])
}

/// Records in a second, and bytes of one group.
fn kernel(folder: &Path, name: &str, write: fn(&mut Log) -> io::Result<()>) -> io::Result<(f64, f64)> {
    let folder = folder.join(name);
    std::fs::create_dir(&folder)?;
    let mut log = Log::open(&folder, Tip::START, Arc::new(Signer::from_seed([1; 32])))?;
    let begun = Instant::now();
    for group in 0..GROUPS {
        for number in 0..GROUP / 2 {
            let call = u64::try_from(group * GROUP + number).unwrap_or(0);
            log.push(called(call), TIME_MS)?;
            log.push(settled(call), TIME_MS)?;
        }
        write(&mut log)?;
    }
    let per_s = count() / begun.elapsed().as_secs_f64();
    log.flush()?;
    let bytes: u64 =
        log::segments(&folder)?.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    Ok((per_s, f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / count() * GROUP_F))
}

/// The same bytes and as many syncs.
fn writer(folder: &Path, group_bytes: f64) -> io::Result<f64> {
    let mut file: File = OpenOptions::new().append(true).create_new(true).open(folder.join("bare"))?;
    let group = vec![b'.'; size(group_bytes)];
    let begun = Instant::now();
    for _ in 0..GROUPS {
        file.write_all(&group)?;
        file.sync_data()?;
    }
    Ok(count() / begun.elapsed().as_secs_f64())
}

#[allow(clippy::as_conversions, reason = "a size of some KiB")]
fn size(bytes: f64) -> usize {
    bytes as usize
}

fn count() -> f64 {
    f64::from(u32::try_from(GROUP * GROUPS).unwrap_or(0))
}

fn called(call: u64) -> Entry {
    Entry::Call {
        run: RunId(7),
        call,
        parent: None,
        method: "fs.read".to_owned(),
        resource: "/srv/data/reports/2026/summary.txt".to_owned(),
        reserved: Gas(65),
        each: Vec::new(),
        counted: None,
        sent: 0,
        secrets: Vec::new(),
    }
}

fn settled(call: u64) -> Entry {
    Entry::Settle {
        run: RunId(7),
        call,
        status: "ok".to_owned(),
        spent: Gas(4),
        received: 3_210,
        took_us: 85,
        left: Gas(999_123),
    }
}
