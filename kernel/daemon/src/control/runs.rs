//! The control methods that are about runs.

use super::methods::args;
use super::{Control, Request, Watcher};
use crate::kernel::{Kernel, Shared};
use crate::life::{self, Beginning};
use crate::run::words;
use crate::shell::settle;
use crate::{output, records};
use pawang_core::control::{
    LogsRequest, OutputChunk, RunDetail, RunEvent, RunRef, RunRequest, RunSummary, TimelineRequest,
};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::Failure;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;

/// How often a followed file is looked at, in ms.
const FOLLOW: Duration = Duration::from_millis(100);

/// `ctl.run`.
pub fn start(shared: &Shared, control: &Rc<Control>, request: &Request) {
    let id = request.id;
    let wanted: RunRequest = match args(request) {
        Ok(wanted) => wanted,
        Err(failure) => return control.answer(id, Err::<(), _>(failure)),
    };
    let verified = life::verified(&mut shared.borrow_mut(), &wanted);
    let verified = match verified {
        Ok(verified) => verified,
        Err(failure) => return control.answer(id, Err::<(), _>(failure)),
    };
    let (shared, control) = (Rc::clone(shared), Rc::clone(control));
    spawn_local(async move {
        let watcher = Watcher::Control { control: Rc::clone(&control), id };
        let beginning = Beginning {
            verified,
            args: wanted.args,
            files: wanted.files,
            script: wanted.script,
            parent: None,
            watcher: Some(watcher),
        };
        match life::start(&shared, beginning).await {
            Ok(run) if wanted.detach => {
                let watcher = shared.borrow_mut().runs.get_mut(&run).and_then(|live| {
                    live.stdin = None;
                    live.watcher.take()
                });
                let summary = shared.borrow().summary(run);
                if let (Some(watcher), Some(run)) = (watcher, summary) {
                    watcher.last(&RunEvent::Started { run, walls: Vec::new() });
                }
            }
            Ok(run) => {
                control.attached.borrow_mut().insert(id, run);
                if control.is_gone.get() {
                    abandon(&shared, &control);
                }
            }
            Err(failure) => control.answer(id, Err::<(), _>(failure)),
        }
    });
}

/// The command line is gone: the runs it stayed with go with it.
pub fn abandon(shared: &Shared, control: &Rc<Control>) {
    let runs: Vec<RunId> = control.attached.borrow_mut().drain().map(|(_, run)| run).collect();
    for run in runs {
        stop_run(shared, run);
    }
}

/// A call is no longer wanted: a run that it stays with is stopped.
pub fn cancel(shared: &Shared, control: &Rc<Control>, id: u64) {
    let run = control.attached.borrow().get(&id).copied();
    if let Some(run) = run {
        stop_run(shared, run);
    }
    control.gone.notify_waiters();
}

fn stop_run(shared: &Shared, run: RunId) {
    shared.borrow_mut().event(|relay, out| relay.end(run, Outcome::Stopped, out));
    settle(shared);
}

/// `ctl.stdin`: answered when the program's pipe has taken it, which is what holds a fast writer back.
pub fn stdin(shared: &Shared, control: &Rc<Control>, request: &Request) {
    let id = request.id;
    let run = match named(&shared.borrow(), request) {
        Ok(run) => run,
        Err(failure) => return control.answer(id, Err::<(), _>(failure)),
    };
    let pipe = shared.borrow_mut().runs.get_mut(&run).and_then(|live| match request.data {
        [] => {
            live.stdin = None;
            None
        }
        _ => live.stdin.clone(),
    });
    let Some(pipe) = pipe else { return control.answer(id, Ok(())) };
    let (control, data) = (Rc::clone(control), request.data.to_vec());
    spawn_local(async move {
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            if pipe.writable().await.is_err() {
                break;
            }
            match pipe.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                // The program has closed its input; what is left is nobody's.
                Err(_) => break,
            }
        }
        control.answer(id, Ok(()));
    });
}

/// `ctl.ps`.
pub fn list(kernel: &Kernel) -> Vec<RunSummary> {
    let mut runs: Vec<RunSummary> = kernel.runs.keys().filter_map(|run| kernel.summary(*run)).collect();
    runs.sort_by_key(|run| (run.started_ms, run.run));
    runs
}

/// `ctl.inspect`.
pub fn inspect(kernel: &Kernel, request: &Request) -> Result<RunDetail, Failure> {
    let run = named(kernel, request)?;
    let gone = || {
        Failure::new("no_such_run", format!("run {run} is not in memory any more"))
            .hint("pawang timeline RUN reads the log")
    };
    let live = kernel.runs.get(&run).ok_or_else(gone)?;
    let summary = kernel.summary(run).ok_or_else(gone)?;
    let contract = records::payload_of(&kernel.settings.audit, summary.contract).unwrap_or_default();
    Ok(RunDetail {
        contract: serde_json::from_str(&contract).unwrap_or_default(),
        walls: live.process.as_ref().map(|process| words(process.walls)).unwrap_or_default(),
        processes: live.processes().map(crate::run::Process::detail).collect(),
        cpu_ms: kernel.relay.figures(run).map_or(0, |figures| figures.cpu_ms),
        summary,
    })
}

/// `ctl.stop`: answered when nothing of the run is left.
pub fn stop(shared: &Shared, control: &Rc<Control>, request: &Request) {
    let id = request.id;
    let run = match named(&shared.borrow(), request) {
        Ok(run) => run,
        Err(failure) => return control.answer(id, Err::<(), _>(failure)),
    };
    stop_run(shared, run);
    let (shared, control) = (Rc::clone(shared), Rc::clone(control));
    spawn_local(async move {
        while !is_over(&shared.borrow(), run) {
            changed_or(&shared, run, FOLLOW).await;
        }
        let summary = shared.borrow().summary(run);
        control
            .answer(id, summary.ok_or_else(|| Failure::new("no_such_run", "the run is over and forgotten")));
    });
}

/// `ctl.logs`.
pub fn logs(shared: &Shared, control: &Rc<Control>, request: &Request) {
    let id = request.id;
    let wanted: Result<LogsRequest, Failure> = args(request);
    let found = wanted.and_then(|wanted| {
        let kernel = shared.borrow();
        let run = find(&kernel, &wanted.run)?;
        let dir = kernel.runs.get(&run).map(|live| live.dir.clone());
        let dir = dir.ok_or_else(|| {
            Failure::new("no_such_run", format!("the output of run {run} is not kept any more"))
        })?;
        Ok((wanted.follow, run, output::kept(&dir)))
    });
    let (follow, run, path) = match found {
        Ok(found) => found,
        Err(failure) => return control.answer(id, Err::<(), _>(failure)),
    };
    let (shared, control) = (Rc::clone(shared), Rc::clone(control));
    spawn_local(async move {
        let mut at = 0;
        loop {
            let is_over = is_over(&shared.borrow(), run);
            for (fd, bytes) in records::output_chunks(&path, &mut at) {
                control.more(id, &OutputChunk { fd }, &bytes);
                control.room().await;
            }
            if is_over || !follow || control.is_gone.get() {
                break;
            }
            changed_or(&shared, run, FOLLOW).await;
        }
        control.answer(id, Ok(()));
    });
}

/// `ctl.timeline`.
pub fn timeline(shared: &Shared, control: &Rc<Control>, request: &Request) {
    let id = request.id;
    let wanted: TimelineRequest = match args(request) {
        Ok(wanted) => wanted,
        Err(failure) => return control.answer(id, Err::<(), _>(failure)),
    };
    let (shared, control) = (Rc::clone(shared), Rc::clone(control));
    spawn_local(async move {
        let dir = shared.borrow().settings.audit.clone();
        let live = find(&shared.borrow(), &wanted.run).ok();
        let mut cursor = records::Cursor::new(&dir, &wanted.run);
        loop {
            let is_over = live.is_none_or(|run| is_over(&shared.borrow(), run));
            let (records, back) = match tokio::task::spawn_blocking(move || cursor.read()).await {
                Ok(read) => read,
                Err(error) => {
                    return control
                        .answer(id, Err::<(), _>(Failure::new("log_unreadable", error.to_string())));
                }
            };
            cursor = back;
            let records = match records {
                Ok(records) => records,
                Err(failure) => return control.answer(id, Err::<(), _>(failure)),
            };
            let is_caught_up = records.is_empty();
            for line in records {
                control.reply(
                    id,
                    pawang_protocol::Status::Ok,
                    true,
                    crate::kernel::Content { args: &line, data: &[] },
                );
                control.room().await;
            }
            if control.is_gone.get() || (is_caught_up && (is_over || !wanted.follow)) {
                break;
            }
            if is_caught_up && let Some(run) = live {
                changed_or(&shared, run, FOLLOW).await;
            }
        }
        if cursor.has_found() {
            control.answer(id, Ok(()));
        } else {
            let what = format!("no run {} is in the log", wanted.run);
            control.answer(id, Err::<(), _>(Failure::new("no_such_run", what).hint("pawang ps")));
        }
    });
}

fn is_over(kernel: &Kernel, run: RunId) -> bool {
    kernel.runs.get(&run).is_none_or(|live| live.ended.is_some())
}

async fn changed_or(shared: &Shared, run: RunId, wait: Duration) {
    let changed = shared.borrow().runs.get(&run).map(|live| Rc::clone(&live.changed));
    if let Some(changed) = changed {
        // Either is reason enough to look again.
        let _ = tokio::time::timeout(wait, changed.notified()).await;
    }
}

fn named(kernel: &Kernel, request: &Request) -> Result<RunId, Failure> {
    let wanted: RunRef = args(request)?;
    find(kernel, &wanted.run)
}

/// The run that a whole id or a prefix names.
fn find(kernel: &Kernel, text: &str) -> Result<RunId, Failure> {
    let mut found = kernel.runs.keys().filter(|run| !text.is_empty() && run.to_string().starts_with(text));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(*run),
        (Some(_), Some(_)) => Err(Failure::new("ambiguous", format!("several runs begin with {text}"))),
        (None, _) => Err(Failure::new("no_such_run", format!("no run {text}")).hint("pawang ps")),
    }
}
