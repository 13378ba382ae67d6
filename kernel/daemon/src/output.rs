//! What a run prints: kept within its quota, passed on to whoever looks on, never waited for longer than its reader takes.
//!
//! A program that fills its pipe waits for its reader, as with any pipe; nobody else does.

use crate::finish::conclude;
use crate::kernel::Shared;
use pawang_core::control::RunEvent;
use pawang_core::run::RunId;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Bytes passed on at once.
const CHUNK: usize = 32 << 10;
/// Lines of a tool's own talk that are printed, and their length.
const TALK_LINES_MAX: usize = 20;
const TALK_LINE_MAX: usize = 512;

/// Where the output of a run is kept: chunks of one byte descriptor, four bytes length, content.
pub fn kept(dir: &Path) -> PathBuf {
    dir.join("output")
}

/// Passes one stream of a program on until it ends.
pub async fn pump(shared: Shared, run: RunId, fd: u8, pipe: OwnedFd) {
    if let Ok(pipe) = Receiver::from_owned_fd(pipe) {
        while let Some(bytes) = next(&pipe).await {
            keep(&shared, run, fd, &bytes);
            let watcher = shared.borrow().runs.get(&run).and_then(|run| run.watcher.clone());
            if let Some(watcher) = watcher {
                watcher.tell(&RunEvent::Output { fd }, &bytes);
                tokio::select! {
                    () = watcher.room() => {}
                    // A run that ends does not wait for someone who has stopped reading.
                    () = ending(&shared, run) => {}
                }
            }
        }
    }
    if let Some(live) = shared.borrow_mut().runs.get_mut(&run) {
        live.busy = live.busy.saturating_sub(1);
    }
    conclude(&shared, run);
}

/// The next piece of a stream. Room for it is made once there is something: a thousand silent runs hold none.
async fn next(pipe: &Receiver) -> Option<Vec<u8>> {
    loop {
        pipe.readable().await.ok()?;
        let mut chunk = vec![0; CHUNK];
        match pipe.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => {
                chunk.truncate(count);
                return Some(chunk);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Waits until a run is told to end.
async fn ending(shared: &Shared, run: RunId) {
    loop {
        let changed = {
            let kernel = shared.borrow();
            let is_ending = kernel.relay.figures(run).is_none_or(|figures| figures.ending.is_some());
            match kernel.runs.get(&run).filter(|_| !is_ending) {
                Some(live) => Rc::clone(&live.changed),
                None => return,
            }
        };
        changed.notified().await;
    }
}

fn keep(shared: &Shared, run: RunId, fd: u8, bytes: &[u8]) {
    let mut kernel = shared.borrow_mut();
    let quota =
        kernel.relay.contract(run).map_or(0, |verified| u64::from(verified.contract.limits.output_kib));
    let Some(live) = kernel.runs.get_mut(&run) else { return };
    let room = quota.saturating_mul(1024).saturating_sub(live.output_kept);
    let bytes = bytes.get(..usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len())).unwrap_or_default();
    if bytes.is_empty() {
        return;
    }
    let length = u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
    let chunk = [&[fd], length.as_slice(), bytes].concat();
    let open = OpenOptions::new().append(true).create(true).mode(0o600).open(kept(&live.dir));
    // Output is kept for convenience: where the disk is full it is passed on all the same.
    if open.and_then(|mut file| file.write_all(&chunk)).is_ok() {
        live.output_kept = live.output_kept.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
    }
}

/// Prints what a tool says on its standard error: it is data, so it is cut, escaped and prefixed (f81).
pub async fn talk(run: RunId, name: &'static str, pipe: OwnedFd) {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else { return };
    let mut chunk = vec![0; TALK_LINE_MAX];
    let mut lines = 0;
    while let Ok(count) = pipe.read(&mut chunk).await
        && count > 0
    {
        for line in chunk
            .get(..count)
            .unwrap_or_default()
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            lines += 1;
            if lines <= TALK_LINES_MAX {
                let text: String = String::from_utf8_lossy(line).escape_default().collect();
                eprintln!("pawangd: run={run} tool={name} says=\"{text}\"");
            }
        }
    }
}
