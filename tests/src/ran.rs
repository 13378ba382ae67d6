//! A run as its command line sees it, alive and over.

use crate::control::Control;
use pawang_core::control::RunRequest;
use pawang_protocol::Failure;
use serde_json::{Value, json};
use std::io;

/// A run under way.
pub struct Live {
    /// Its connection.
    pub control: Control,
    call: u64,
    /// Its id.
    pub id: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    notices: Vec<Value>,
    end: Option<Value>,
}

/// A run that is over.
pub struct Ran {
    /// Its id.
    pub id: String,
    /// `done`, `out_of_gas` …
    pub outcome: String,
    /// Exit status of the program.
    pub exit: Option<i64>,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote.
    pub stderr: Vec<u8>,
    /// Records that were told as they happened.
    pub notices: Vec<Value>,
    /// The last line of `ps` about it.
    pub summary: Value,
}

impl Live {
    /// Starts a run.
    ///
    /// # Errors
    /// Why the daemon does not.
    pub fn start(mut control: Control, request: &RunRequest) -> Result<Self, Failure> {
        let call = control.call("ctl.run", &serde_json::to_value(request).unwrap(), &[]).unwrap();
        let reply = control.read().unwrap();
        let event = reply.outcome()?;
        let id = event["run"]["run"].as_str().unwrap().to_owned();
        let (stdout, stderr, notices) = Default::default();
        Ok(Self { control, call, id, stdout, stderr, notices, end: None })
    }

    /// Reads until the program has written this text on its standard output.
    ///
    /// # Panics
    /// Where the run ends before.
    pub fn until_says(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.stdout).contains(text) {
            assert!(self.end.is_none(), "it ended without saying {text:?}: {self:?}");
            self.step().unwrap();
        }
    }

    /// What it has written so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// No longer wants it.
    pub fn cancel(&mut self) {
        self.control.cancel(self.call).unwrap();
    }

    /// Reads to its end.
    #[must_use]
    pub fn end(mut self) -> Ran {
        while self.end.is_none() {
            self.step().unwrap();
        }
        let summary = self.end.take().unwrap();
        Ran {
            id: self.id,
            outcome: summary["outcome"].as_str().unwrap_or_default().to_owned(),
            exit: summary["exit"].as_i64(),
            stdout: self.stdout,
            stderr: self.stderr,
            notices: self.notices,
            summary,
        }
    }

    /// Reads one event.
    ///
    /// # Errors
    /// Where the daemon is gone.
    pub fn step(&mut self) -> io::Result<()> {
        let reply = self.control.read()?;
        if reply.id != self.call {
            return Ok(());
        }
        match reply.args["event"].as_str() {
            Some("output") if reply.args["fd"] == json!(1) => self.stdout.extend(reply.data),
            Some("output") => self.stderr.extend(reply.data),
            Some("notice") => self.notices.push(reply.args["record"].clone()),
            Some("ended") => self.end = Some(reply.args["run"].clone()),
            _ => panic!("unexpected: {reply:?}"),
        }
        Ok(())
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stderr = String::from_utf8_lossy(&self.stderr);
        f.debug_struct("Live")
            .field("id", &self.id)
            .field("stdout", &self.stdout())
            .field("stderr", &stderr)
            .finish()
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, outcome, exit, .. } = self;
        write!(f, "run {id}: {outcome} {exit:?}\n{}{}", self.text(), self.errors())
    }
}

impl Ran {
    /// Its standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Holds that it ended by itself, with status 0, and said exactly this.
    #[track_caller]
    pub fn expect(&self, stdout: &str) {
        let found = (self.outcome.as_str(), self.exit, self.text());
        assert_eq!(found, ("done", Some(0), stdout.to_owned()), "{}", self.errors());
    }

    /// Holds that it ended this way.
    #[track_caller]
    pub fn expect_outcome(&self, outcome: &str) {
        assert_eq!(self.outcome, outcome, "stdout {:?} stderr {:?}", self.text(), self.errors());
    }

    /// Gas it spent.
    #[must_use]
    pub fn gas(&self) -> u64 {
        self.summary["gas_spent"].as_u64().unwrap()
    }
}
