//! The clone: one process per plan, the kernel's child, waited for until it is the program or has failed.
//!
//! A program that may not have children is made by `clone(VM | VFORK)`: nothing is copied, and the launcher stands
//! still until the child has executed or ended. One that may gets a first process above it, which is a fork of the
//! launcher and stays; a pipe tells when it is done.

use crate::child::{self, Prepared};
use crate::sys::{self, Errno, Progress, Stack};
use crate::wire::Request;
use pawang_sandbox::plan::{Report, Stage};
use std::os::fd::OwnedFd;

/// Carries out one plan. The report says how far it got; the descriptor is there whenever a process is.
pub fn launch(request: &Request, stack: &mut Stack) -> Result<(Report, Option<OwnedFd>), Errno> {
    let Some(prepared) = Prepared::new(request) else {
        return Ok((Report { pid: 0, walls: 0, stage: Stage::Plan.number(), errno: 0 }, None));
    };
    let progress = Progress::new()?;
    // A child that changed its user has made this memory, which it shares, undumpable; then the next child could not
    // write its own user map.
    sys::set_dumpable()?;
    let quiet = sys::block_signals();
    let made = if request.plan.init {
        with_init(&prepared, &progress, stack)
    } else {
        alone(&prepared, &progress, stack)
    };
    sys::restore_signals(&quiet);
    let (pid, pidfd) = made?;
    let (stage, errno) = progress.read();
    let walls = if stage == Stage::Running { request.plan.walls } else { 0 };
    Ok((Report { pid, walls, stage: stage.number(), errno }, Some(pidfd)))
}

fn alone(prepared: &Prepared, progress: &Progress, stack: &mut Stack) -> Result<(i32, OwnedFd), Errno> {
    let flags = sys::SHARE_AND_WAIT | sys::SIBLING | prepared.namespaces();
    let process = sys::clone(flags, stack, &mut || child::alone(prepared, progress))?;
    progress.settle();
    Ok(process)
}

fn with_init(prepared: &Prepared, progress: &Progress, stack: &mut Stack) -> Result<(i32, OwnedFd), Errno> {
    let (done, started) = sys::pipe()?;
    let mut inner = Stack::new();
    let flags = sys::SIBLING | prepared.namespaces();
    let process = sys::clone(flags, stack, &mut || child::init(prepared, progress, &mut inner))?;
    drop(started);
    // Ends when the first process has closed everything it had, or has died.
    sys::read_to_end(&done);
    Ok(process)
}
