//! The tools of a run: started when they are first needed, served until their channel ends, reaped.

use crate::finish::{conclude, exited, hold, reap, release};
use crate::kernel::{Kernel, Shared};
use crate::output;
use crate::plugin::Plugin;
use crate::run::Process;
use crate::shell::{self, settle};
use pawang_core::contract::Verified;
use pawang_core::record::Entry;
use pawang_core::run::{PeerId, RunId};
use pawang_protocol::Failure;
use pawang_sandbox::Stdio;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;

/// Starts a tool for a run and serves it until its channel ends.
pub async fn start_tool(
    shared: Shared,
    run: RunId,
    peer: PeerId,
    name: &'static str,
    delay_ms: u64,
    crashes: u32,
) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    let Some(channel) = shared.borrow_mut().starting.remove(&peer) else { return };
    if !hold(&shared, run) {
        return;
    }
    let launched = launch_tool(&shared, run, name, channel.child).await;
    let started = match launched {
        Ok((process, errors)) => {
            spawn_local(output::talk(run, name, errors));
            enter_tool(&shared, run, peer, crashes, process);
            true
        }
        Err(failure) => {
            let mut kernel = shared.borrow_mut();
            let now = kernel.clock.now();
            kernel.event(|relay, out| relay.tool_failed(now, peer, &failure, out));
            kernel.disconnect(peer);
            false
        }
    };
    release(&shared, run);
    settle(&shared);
    conclude(&shared, run);
    if started {
        shell::read_peer(shared, peer, channel.stream).await;
    }
}

async fn launch_tool(
    shared: &Shared,
    run: RunId,
    name: &'static str,
    channel: OwnedFd,
) -> Result<(Process, OwnedFd), Failure> {
    let (jail, spawner) = {
        let kernel = shared.borrow();
        let gone = || Failure::new("gone", "the run has ended");
        let verified = kernel.relay.contract(run).ok_or_else(gone)?;
        let plugin = kernel.plugins.get(name)?;
        plugin_store(&kernel, plugin, verified);
        (plugin.jail(&kernel.settings, verified), kernel.spawner.clone())
    };
    let failed = |error: std::io::Error| Failure::new("no_descriptors", error.to_string()).retryable();
    let (stdio, errors) = tool_stdio(channel).map_err(failed)?;
    let launched = spawner.launch(jail, stdio).await?;
    Ok((Process::new(name, launched), errors))
}

/// Enters a tool that has just been started into its run; one that nobody wants any more is killed at once.
fn enter_tool(shared: &Shared, run: RunId, peer: PeerId, crashes: u32, process: Process) {
    let pidfd = Rc::clone(&process.pidfd);
    {
        let mut kernel = shared.borrow_mut();
        let is_ending = kernel.relay.figures(run).is_none_or(|figures| figures.ending.is_some());
        if is_ending || kernel.relay.whose(peer).is_none() {
            process.kill();
        }
        let (tool, walls) = (process.name.clone(), process.walls.to_string());
        if let Some(live) = kernel.runs.get_mut(&run) {
            live.tools.insert(peer, process);
        }
        kernel.record(Entry::Tool { run, tool, crashes, walls });
    }
    spawn_local(reap_tool(Rc::clone(shared), run, peer, pidfd));
}

/// The folder of a store is made by the daemon: the tool may use it and nothing above it.
fn plugin_store(kernel: &Kernel, plugin: &Plugin, verified: &Verified) {
    if plugin.manifest.name.as_str() == "memory" {
        let dir = crate::plugin::store(&kernel.settings, verified);
        // Where it cannot be made the tool says so at its first call.
        let _ = std::fs::create_dir_all(dir);
    }
}

fn tool_stdio(channel: OwnedFd) -> std::io::Result<(Stdio, OwnedFd)> {
    let null = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let (errors, stderr) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((Stdio { stdin: null()?, stdout: null()?, stderr, channel }, errors))
}

/// Kills a tool that broke the protocol.
pub fn kill_tool(shared: &Shared, peer: PeerId) {
    let mut kernel = shared.borrow_mut();
    if let Some(process) = kernel.runs.values().find_map(|run| run.tools.get(&peer)) {
        process.kill();
    }
    kernel.disconnect(peer);
}

async fn reap_tool(shared: Shared, run: RunId, peer: PeerId, pidfd: Rc<OwnedFd>) {
    exited(&pidfd).await;
    reap(&pidfd);
    {
        let mut kernel = shared.borrow_mut();
        if let Some(live) = kernel.runs.get_mut(&run) {
            live.tools.remove(&peer);
        }
        let now = kernel.clock.now();
        kernel.event(|relay, out| relay.peer_gone(now, peer, out));
        kernel.disconnect(peer);
    }
    settle(&shared);
    conclude(&shared, run);
}
