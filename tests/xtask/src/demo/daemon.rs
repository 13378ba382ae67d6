//! The two processes that a demo needs: a private daemon, and the service that its automation asks. Both end with it.

use super::place::Place;
use crate::trouble::Trouble;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const READY_S: u64 = 20;
const STOP_S: u64 = 15;
const POLL: Duration = Duration::from_millis(10);
const LOG_LINES: usize = 20;

/// A daemon with its state in the demo's folder.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

/// The service, `tests/demo/server.py`.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Daemon {
    /// Starts it and waits until its control socket answers.
    ///
    /// # Errors
    /// [`Trouble::System`] with what the daemon said, where it does not come up.
    pub fn start(prefix: &Path, place: &Place) -> Result<Self, Trouble> {
        let log = place.root.join("pawangd.log");
        let file = File::create(&log).map_err(|error| Trouble::file("write", &log, &error))?;
        let second = file.try_clone().map_err(|error| Trouble::file("write", &log, &error))?;
        let mut command = Command::new(prefix.join("bin/pawangd"));
        command.arg("--state").arg(&place.state).arg("--vault-key").arg(&place.vault_key);
        command.stdin(Stdio::null()).stdout(second).stderr(file).current_dir("/");
        // A group of its own: Ctrl-C is for the command in front, which needs its daemon until it has ended.
        let child = command.process_group(0).spawn();
        let child = child.map_err(|error| Trouble::file("start", &prefix.join("bin/pawangd"), &error))?;
        let mut daemon = Self { child, log };
        daemon.wait_ready(&place.state.join("control.sock"))?;
        Ok(daemon)
    }

    fn wait_ready(&mut self, socket: &Path) -> Result<(), Trouble> {
        let deadline = Instant::now() + Duration::from_secs(READY_S);
        while UnixStream::connect(socket).is_err() {
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            if has_ended || Instant::now() > deadline {
                return Err(Trouble::System {
                    what: "the daemon did not come up".to_owned(),
                    why: self.told(),
                });
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Stops it and returns the end of what it said.
    pub fn stop(mut self) -> String {
        end(&mut self.child);
        self.told()
    }

    fn told(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }
}

impl Server {
    /// Starts it with the key on its standard input and reads where it listens.
    ///
    /// # Errors
    /// [`Trouble::System`] where it does not come up.
    pub fn start(place: &Place, script: &Path) -> Result<Self, Trouble> {
        let trouble =
            |why: String| Trouble::System { what: "the demo's service did not come up".to_owned(), why };
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.process_group(0).spawn().map_err(|error| trouble(error.to_string()))?;
        let mut server = Self { child, url: String::new() };
        if let Some(mut stdin) = server.child.stdin.take() {
            writeln!(stdin, "{}", place.secret).map_err(|error| trouble(error.to_string()))?;
        }
        if let Some(stdout) = server.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut server.url).map_err(|error| trouble(error.to_string()))?;
        }
        server.url.truncate(server.url.trim_end().len());
        if server.url.starts_with("http://127.0.0.1:") {
            Ok(server)
        } else {
            Err(trouble(server.url.clone()))
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Asks it to end, and makes it after a while.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).map(Pid::from_raw);
    let deadline = Instant::now() + Duration::from_secs(STOP_S);
    if let (Ok(None), Ok(pid)) = (child.try_wait(), pid) {
        let _ = kill(pid, Signal::SIGTERM);
    }
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
        }
        sleep(POLL);
    }
}
