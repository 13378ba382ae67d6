//! The launcher: a resident process that makes confined processes, and does nothing else.
//!
//! It is started by the kernel with one socket as descriptor 0. It says what the machine gives, then carries out one
//! plan after the other until the socket ends. Every process it makes is the kernel's child, not its own.
//!
//! It promises: a plan is carried out whole, or no program runs and the step that failed is named. It decides
//! nothing, reads no file of policy, opens no path but those of the plan, and speaks to nobody but the kernel.
//!
//! In reading order: [`wire`] (plans in, reports out), [`launch`] (the clone), [`child`] (what the new process does to
//! itself, step by step), [`ids`], [`root`], [`proof`], [`facts`], and [`sys`], which holds all unsafe code.
#![deny(unsafe_code)]

mod child;
mod facts;
mod ids;
mod launch;
mod proof;
mod root;
mod sys;
mod wire;

use pawang_sandbox::launcher::NO_NETWORK;
use pawang_sandbox::plan::{Report, Stage};
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("pawang-launcher: {what}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    prepare().map_err(|errno| format!("cannot prepare itself: errno {errno}"))?;
    let quiet = std::env::args_os().nth(1).is_some_and(|word| word == NO_NETWORK) && facts::leave_network();
    let mut wire = wire::Wire::kernel();
    let mut stack = sys::Stack::new();
    let facts = facts::find(&mut stack, quiet);
    wire.hello(&facts)?;
    while let Some(request) = wire.request()? {
        let id = request.id;
        let (report, pidfd) = match launch::launch(&request, &mut stack) {
            Ok((report, pidfd)) => (report, pidfd),
            Err(errno) => (Report { pid: 0, walls: 0, stage: Stage::Clone.number(), errno }, None),
        };
        wire.report(id, &report, pidfd)?;
    }
    Ok(())
}

/// Puts the process into the state that its children inherit: default signals, room for descriptor 1023, nothing open
/// but the socket and the streams. Number 3 is taken so that descriptors received later never stand where a child
/// will put its own.
fn prepare() -> Result<(), sys::Errno> {
    // The folders of a private file tree get the modes they are made with, whatever whoever started the kernel masks;
    // each program gets a strict mask of its own.
    sys::set_umask(0);
    sys::default_signals();
    sys::close_from(3)?;
    sys::keep_number(3)?;
    sys::raise_open_files(i64::from(child::IMAGE_FD) + 1)
}
