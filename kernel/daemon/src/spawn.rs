//! The thread that starts processes.
//!
//! One thread for as long as the daemon lives: the kernel kills a child when the thread it descends from ends
//! (`PR_SET_PDEATHSIG` is per thread), and a launch blocks for a fraction of a ms. The launcher is started
//! again where it died; processes it started before live on, as they are the daemon's own children.

use pawang_protocol::Failure;
use pawang_sandbox::{Jail, LaunchError, Launched, Launcher, Machine, Stdio, Walls};
use std::path::Path;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Asks the thread.
#[derive(Clone)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
    walls: Walls,
}

struct Job {
    jail: Jail,
    stdio: Stdio,
    answer: oneshot::Sender<Result<Launched, Failure>>,
}

impl Spawner {
    /// Starts the thread and the launcher in it.
    ///
    /// # Errors
    /// Where the launcher cannot be started, or says that this machine lacks the floor.
    pub fn start(launcher: &Path) -> Result<Self, Failure> {
        let (jobs, queue) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let path = launcher.to_owned();
        std::thread::Builder::new()
            .name("pawang-spawn".to_owned())
            .spawn(move || spawn_loop(&path, &queue, &ready))
            .map_err(|error| Failure::new("no_thread", error.to_string()))?;
        let ended = |_| Failure::new("launcher", "the thread that starts processes has ended");
        let walls = is_ready.recv().map_err(ended)??;
        Ok(Self { jobs, walls })
    }

    /// What this machine can put up.
    pub fn walls(&self) -> Walls {
        self.walls
    }

    /// What will be put up around a jail: the launch proves it, or fails.
    pub fn planned(&self, jail: &Jail) -> Walls {
        jail.walls.and(self.walls)
    }

    /// Starts a process.
    ///
    /// # Errors
    /// What stood in the way, in words.
    pub async fn launch(&self, jail: Jail, stdio: Stdio) -> Result<Launched, Failure> {
        let (answer, launched) = oneshot::channel();
        let gone = || Failure::new("launcher", "the thread that starts processes has ended");
        self.jobs.send(Job { jail, stdio, answer }).map_err(|_| gone())?;
        launched.await.map_err(|_| gone())?
    }
}

fn spawn_loop(path: &Path, queue: &mpsc::Receiver<Job>, ready: &mpsc::Sender<Result<Walls, Failure>>) {
    let mut launcher = match Launcher::start(path) {
        Ok(launcher) => launcher,
        Err(error) => {
            let _ = ready.send(Err(failure(&error)));
            return;
        }
    };
    let _ = ready.send(Ok(Machine::of(&launcher).walls));
    while let Ok(Job { jail, stdio, answer }) = queue.recv() {
        let outcome = launcher.launch(&jail, stdio);
        if let Err(LaunchError::Lost(_)) = &outcome {
            match Launcher::start(path) {
                Ok(started) => launcher = started,
                Err(error) => eprintln!(
                    "pawangd: level=error what=\"the launcher cannot be started\" error=\"{error}\""
                ),
            }
        }
        // A caller that is gone has no use for the process: dropping its channel ends it.
        let _ = answer.send(outcome.map_err(|error| failure(&error)));
    }
}

fn failure(error: &LaunchError) -> Failure {
    Failure::new("launch_failed", error.to_string()).hint("pawang doctor")
}
