//! The http tool: sends one request to one origin, over a connection to an address it has checked.
//!
//! It looks names up itself, checks every address that comes back, and dials one of those, never the name again. It
//! follows no redirect, uses no proxy, keeps no cookie, decodes no content: each of these would be a request nobody
//! decided on. Everything a server sends is bounded: the head, the wait for each piece, the body.
//!
//! It does not choose where to go: method and URL are the call's resource, decided on by the kernel, and the origin must
//! moreover be one this tool was started for.
#![forbid(unsafe_code)]

mod address;
mod connect;
mod explain;
mod fetch;
mod origin;
mod request;
mod stream;
mod trust;

use fetch::Fetcher;
use pawang_sdk::{Call, Detached, Failure, Tool};
use serde::Deserialize;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle};

/// Stack of the threads, in bytes. The look-up of a C library keeps a few answers of 4 KiB there.
const STACK: usize = 512 << 10;

/// What the kernel tells the tool at start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// The origins of the contract's grants: `https://api.example.com:443`, or without a port the scheme's own.
    /// None means none.
    #[serde(default)]
    origins: Vec<String>,
    /// Certificates trusted beside the system's, PEM. Only the kernel can say so.
    #[serde(default)]
    extra_roots_pem: Option<String>,
}

/// The fetcher and the thread its requests run on.
struct Service {
    fetcher: Arc<Fetcher>,
    runtime: Handle,
}

fn main() -> ExitCode {
    Tool::new("http", env!("CARGO_PKG_VERSION")).detached_method("http.fetch", fetch).serve_with(open)
}

fn open(setup: Setup) -> Result<Service, Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new("internal", format!("the runtime does not start: {e}")))?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|e| Failure::new("internal", format!("the network thread does not start: {e}")))?;
    let fetcher = Arc::new(Fetcher::new(&setup.origins, setup.extra_roots_pem)?);
    Ok(Service { fetcher, runtime: handle })
}

/// `http.fetch`: the head as arguments of the first part, then the body.
fn fetch(service: &mut Service, mut call: Call, mut replies: Detached) {
    let fetcher = Arc::clone(&service.fetcher);
    service.runtime.spawn(async move {
        let outcome = fetcher.fetch(&mut call, &mut replies).await;
        // A lost channel ends the process by the other thread.
        let _ = replies.finish(outcome);
    });
}
