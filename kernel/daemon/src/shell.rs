//! The tasks around the kernel: reading peers, draining slow ones, deadlines, CPU clocks, the log's recovery.
//!
//! Each task borrows the kernel for one wake-up at a time and ends it with [`settle`].

use crate::conn::{Conn, Sent};
use crate::kernel::{Kernel, Shared, Work};
use crate::{cpu, finish, served, tool};
use pawang_core::relay::{Effect, Fault};
use pawang_core::run::{PeerId, RunId};
use pawang_protocol::frame;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::task::spawn_local;

/// Bytes taken from a peer at once: 64 largest small calls, and room for what follows a large one.
const READ_MAX: usize = 64 << 10;
/// Readings of one peer before all others have a turn: some ms of work at the most.
const TURNS_MAX: u32 = 4;
/// How often a log that cannot be written is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Ends a wake-up: writes the records, sends the outputs, hands on what needs a task of its own.
pub fn settle(shared: &Shared) {
    let work = shared.borrow_mut().flush();
    for work in work {
        match work {
            Work::Chore(effect) => chore(shared, *effect),
            Work::Drain(peer) => drop(spawn_local(drain(Rc::clone(shared), peer))),
            Work::RetryLog => drop(spawn_local(retry_log(Rc::clone(shared)))),
            Work::Rotate => rotate(shared),
        }
    }
}

fn chore(shared: &Shared, effect: Effect) {
    match effect {
        Effect::StartTool { run, peer, plugin, delay_ms, crashes } => {
            drop(spawn_local(tool::start_tool(Rc::clone(shared), run, peer, plugin, delay_ms, crashes)));
        }
        Effect::Serve { run, id, method, resource } => served::serve(shared, run, id, method, resource),
        Effect::CancelServed { id } => served::cancel(shared, id),
        Effect::Kill { peer } => tool::kill_tool(shared, peer),
        Effect::EndRun { run, .. } => finish::end(shared, run),
        Effect::CheckCpu { run, .. } => {
            if let Some(run) = shared.borrow().runs.get(&run) {
                run.changed.notify_waiters();
            }
        }
        Effect::Record(_) | Effect::Forward { .. } | Effect::Answer { .. } | Effect::Cancel { .. } => {}
    }
}

/// Reads one peer until its channel ends.
pub async fn read_peer(shared: Shared, peer: PeerId, stream: Rc<UnixStream>) {
    let mut turns = 0u32;
    loop {
        loop {
            let wait = shared.borrow().must_wait_for(peer);
            match wait {
                Some(room) => room.notified().await,
                None => break,
            }
        }
        if stream.readable().await.is_err() {
            break;
        }
        // Not in the match itself: the borrow would live as long as its arms.
        let read = read_once(&mut shared.borrow_mut(), peer, &stream);
        match read {
            Read::Frames => {}
            Read::Nothing => continue,
            Read::Fault(fault) => {
                ended(&shared, peer, Some(fault));
                settle(&shared);
                return;
            }
            Read::End => break,
        }
        settle(&shared);
        // A peer that always has more to say must not be the only one that is heard: timers, clocks and the control socket
        // have their turn too.
        turns = turns.saturating_add(1);
        if turns >= TURNS_MAX {
            turns = 0;
            tokio::task::yield_now().await;
        }
    }
    ended(&shared, peer, None);
    settle(&shared);
}

/// What one attempt to read a peer brought.
enum Read {
    Frames,
    Nothing,
    End,
    Fault(Fault),
}

/// Reads what there is into the kernel's one buffer, so that a thousand idle channels hold none.
fn read_once(kernel: &mut Kernel, peer: PeerId, stream: &UnixStream) -> Read {
    let mut buffer = std::mem::take(&mut kernel.scratch);
    buffer.resize(READ_MAX, 0);
    let read = match stream.try_read(&mut buffer) {
        Ok(0) => Read::End,
        Ok(count) => {
            if count < READ_MAX {
                wait_for_more(stream);
            }
            match received(kernel, peer, buffer.get(..count).unwrap_or_default()) {
                Ok(()) => Read::Frames,
                Err(fault) => Read::Fault(fault),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
        Err(_) => Read::End,
    };
    kernel.scratch = buffer;
    read
}

/// Spares the read that would only say "nothing more": a short read emptied the stream, and whatever comes after it is
/// a new event (epoll(7), on edge-triggered streams). A peer that makes a read short by other means, with descriptors
/// nobody asked for, makes only itself wait.
fn wait_for_more(stream: &UnixStream) {
    // The answer is the one that is given to it; it makes the runtime forget that the stream was readable.
    let _ = stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
}

/// Handles every whole frame of what was received; what is left over waits in the channel's buffer.
fn received(kernel: &mut Kernel, peer: PeerId, bytes: &[u8]) -> Result<(), Fault> {
    let Some(conn) = kernel.conn(peer) else { return Err(Fault("its channel is closed".to_owned())) };
    if !conn.input.is_empty() {
        return received_in_parts(kernel, peer, bytes);
    }
    let mut rest = bytes;
    while let Some((frame, after)) = frame::split(rest).map_err(|error| Fault(error.to_string()))? {
        kernel.frame(peer, frame)?;
        rest = after;
    }
    if let Some(conn) = kernel.conn(peer).filter(|_| !rest.is_empty()) {
        conn.input.extend(rest);
    }
    Ok(())
}

fn received_in_parts(kernel: &mut Kernel, peer: PeerId, bytes: &[u8]) -> Result<(), Fault> {
    let Some(conn) = kernel.conn(peer) else { return Ok(()) };
    let mut input = std::mem::take(&mut conn.input);
    input.extend(bytes);
    while let Some(frame) = input.next_frame().map_err(|error| Fault(error.to_string()))? {
        kernel.frame(peer, frame)?;
    }
    if input.is_empty() {
        input.shrink();
    }
    if let Some(conn) = kernel.conn(peer) {
        conn.input = input;
    }
    Ok(())
}

/// The channel ended: in order, or by a fault of the peer.
fn ended(shared: &Shared, peer: PeerId, fault: Option<Fault>) {
    let mut kernel = shared.borrow_mut();
    let torn =
        kernel.conn(peer).and_then(|conn| conn.input.finish().err()).map(|torn| Fault(torn.to_string()));
    let now = kernel.clock.now();
    match fault.or(torn) {
        Some(fault) => kernel.event(|relay, out| relay.fault(now, peer, &fault, out)),
        None => kernel.event(|relay, out| relay.peer_gone(now, peer, out)),
    }
    kernel.disconnect(peer);
}

async fn drain(shared: Shared, peer: PeerId) {
    loop {
        let Some(stream) = shared.borrow_mut().conn(peer).map(|conn| conn.stream()) else { return };
        if stream.writable().await.is_err() {
            return;
        }
        let mut kernel = shared.borrow_mut();
        let Some(conn) = kernel.conn(peer) else { return };
        let sent = conn.send();
        if !conn.is_congested() {
            conn.room.notify_waiters();
        }
        if matches!(sent, Sent::All | Sent::Gone) {
            return;
        }
    }
}

async fn retry_log(shared: Shared) {
    while shared.borrow().log_trouble.is_some() {
        tokio::time::sleep(RETRY).await;
        settle(&shared);
    }
}

fn rotate(shared: &Shared) {
    let mut kernel = shared.borrow_mut();
    if let Err(error) = kernel.log.rotate() {
        eprintln!("pawangd: level=error what=\"no new log segment\" error={error:?}");
        return;
    }
    let snapshot = kernel.snapshot();
    kernel.record(snapshot);
}

/// Ends calls past their deadline. Sleeps until the next one; a new first one wakes it.
pub async fn deadlines(shared: Shared) {
    let moved = Rc::clone(&shared.borrow().deadline_moved);
    loop {
        let wait = {
            let mut kernel = shared.borrow_mut();
            let now = kernel.clock.us();
            kernel.next_deadline().map(|at| at.saturating_sub(now))
        };
        match wait {
            None => moved.notified().await,
            Some(us) if us > 0 => {
                // A deadline that is met by its reply leaves an early wake-up, not a late one.
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_micros(us.max(1_000))) => {}
                    () = moved.notified() => {}
                }
            }
            Some(_) => {
                let now = shared.borrow_mut().clock.now();
                shared.borrow_mut().event(|relay, out| relay.tick(now, out));
                settle(&shared);
            }
        }
    }
}

/// Charges a run for its CPU time until it ends.
pub async fn meter(shared: Shared, run: RunId) {
    let cpus = cpu::processors();
    let mut wait_ms = 4;
    loop {
        let Some(changed) = shared.borrow().runs.get(&run).map(|run| Rc::clone(&run.changed)) else { return };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            () = changed.notified() => {}
        }
        let used = finish::cpu_ms(&shared.borrow(), run);
        let next = shared.borrow_mut().event(|relay, out| relay.cpu(run, used, cpus, out));
        settle(&shared);
        match next {
            Some(ms) => wait_ms = ms,
            None => return,
        }
    }
}

/// A pair of connected streams: the kernel's end as a channel, the other for a child.
pub fn channel() -> io::Result<(Conn, Rc<UnixStream>, std::os::fd::OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let stream = Rc::new(UnixStream::from_std(ours)?);
    Ok((Conn::new(Rc::clone(&stream)), stream, theirs.into()))
}
