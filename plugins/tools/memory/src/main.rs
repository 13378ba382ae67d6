//! The memory tool: a small store of keys and values that belongs to one automation and outlives its runs.
//!
//! A value that was acknowledged is on the disk, whole, and survives a power cut; one that was not is absent or whole.
//! Two runs of one automation may use the store at once. What it holds is bounded by a quota, keys included.
//!
//! It cannot reach any other automation's store: the kernel gives it one directory, and Landlock that one only.
#![forbid(unsafe_code)]

mod key;
mod store;

use pawang_sdk::{Call, Done, Failure, Outcome, Replies, Tool};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use store::Store;

/// What the kernel tells the tool at start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// Directory of the store; it exists.
    dir: String,
    /// Most the store may hold, in KiB. Absent or 0 means nothing.
    #[serde(default)]
    quota_kib: u32,
}

/// One line of `memory.list`.
#[derive(Serialize)]
struct Entry {
    key: String,
    /// Bytes of the value.
    size: u64,
}

fn main() -> ExitCode {
    Tool::new("memory", env!("CARGO_PKG_VERSION"))
        .method("memory.read", read)
        .slow_method("memory.write", write)
        .slow_method("memory.remove", remove)
        .method("memory.list", list)
        .serve_with(|setup: Setup| Store::open(&setup.dir, u64::from(setup.quota_kib).saturating_mul(1_024)))
}

/// `memory.read`: the value in `data`.
fn read(store: &mut Store, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let name = key::to_file_name(&call.resource)?;
    Ok(Done::data(store.read(&call.resource, &name)?))
}

/// `memory.write`: stores `data`.
fn write(store: &mut Store, call: &Call, replies: &mut Replies<'_>) -> Outcome {
    let name = key::to_file_name(&call.resource)?;
    store.lock(replies)?;
    let written = store.write(&name, &call.data);
    store.unlock()?;
    written.map(|()| Done::empty()).map_err(Into::into)
}

/// `memory.remove`: forgets the key.
fn remove(store: &mut Store, call: &Call, replies: &mut Replies<'_>) -> Outcome {
    let name = key::to_file_name(&call.resource)?;
    store.lock(replies)?;
    let removed = store.remove(&call.resource, &name);
    store.unlock()?;
    removed.map(|()| Done::empty()).map_err(Into::into)
}

/// `memory.list`: JSON lines in `data`, one key each, at or below the name, sorted.
fn list(store: &mut Store, call: &Call, replies: &mut Replies<'_>) -> Outcome {
    key::to_file_name(&call.resource)?;
    let below = format!("{}/", call.resource);
    let entries =
        store.entries()?.into_iter().filter(|(key, _)| *key == call.resource || key.starts_with(&below));
    let mut lines = Vec::new();
    for (key, size) in entries {
        serde_json::to_writer(&mut lines, &Entry { key, size })
            .map_err(|e| Failure::new("internal", e.to_string()))?;
        lines.push(b'\n');
    }
    replies.data(&lines)?;
    Ok(Done::empty())
}
