//! A tool: named methods over one state, served until the kernel closes the channel.
//!
//! Calls are served in the order they came. Answers to calls that arrived together leave together, in one write.
//! A tool that cannot start (its setup is wrong, a directory is missing) does not fall silent: it answers every
//! call with the reason.

use crate::call::{Call, Outcome, Unfinished};
use crate::detached::Detached;
use crate::error::Lost;
use crate::link::Link;
use crate::replies::Replies;
use pawang_protocol::{Failure, Role};
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// A tool with state `S`, put together from its methods.
pub struct Tool<S> {
    name: &'static str,
    version: &'static str,
    methods: Vec<(&'static str, Serve<S>)>,
}

enum Serve<S> {
    /// Quick: its answer may wait for those of the calls behind it.
    InTurn(fn(&mut S, &Call, &mut Replies<'_>) -> Outcome),
    /// Slow: what is waiting to be sent goes first.
    Slow(fn(&mut S, &Call, &mut Replies<'_>) -> Outcome),
    /// Goes on elsewhere while the next call is served.
    Detached(fn(&mut S, Call, Detached)),
}

impl<S> Tool<S> {
    /// A tool without methods. `name` is the name in its manifest; the kernel compares.
    #[must_use]
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, methods: Vec::new() }
    }

    /// Adds a method that answers quickly (well below a millisecond) or streams.
    #[must_use]
    pub fn method(
        mut self,
        name: &'static str,
        serve: fn(&mut S, &Call, &mut Replies<'_>) -> Outcome,
    ) -> Self {
        self.methods.push((name, Serve::InTurn(serve)));
        self
    }

    /// Adds a method that may take longer: earlier answers are sent before it begins.
    #[must_use]
    pub fn slow_method(
        mut self,
        name: &'static str,
        serve: fn(&mut S, &Call, &mut Replies<'_>) -> Outcome,
    ) -> Self {
        self.methods.push((name, Serve::Slow(serve)));
        self
    }

    /// Adds a method that only starts the work and lets it go on in another thread or task.
    #[must_use]
    pub fn detached_method(mut self, name: &'static str, serve: fn(&mut S, Call, Detached)) -> Self {
        self.methods.push((name, Serve::Detached(serve)));
        self
    }

    /// Serves until the kernel closes the channel. `open` makes the state from the setup the kernel sends.
    ///
    /// Exit code 0 after a close by the kernel, 1 with one line on standard error after anything else.
    pub fn serve_with<T: DeserializeOwned>(self, open: impl FnOnce(T) -> Result<S, Failure>) -> ExitCode {
        match self.run(open) {
            Err(Lost::Closed) => ExitCode::SUCCESS,
            Ok(()) => ExitCode::SUCCESS,
            Err(lost) => {
                eprintln!("{lost}");
                ExitCode::FAILURE
            }
        }
    }

    fn run<T: DeserializeOwned>(self, open: impl FnOnce(T) -> Result<S, Failure>) -> Result<(), Lost> {
        let client = format!("pawang-sdk {} {} {}", env!("CARGO_PKG_VERSION"), self.name, self.version);
        let (mut link, hello) = Link::open(Role::Tool, &client, Some(self.name))?;
        let mut state = serde_json::from_value(hello.setup)
            .map_err(|e| Failure::new("bad_setup", format!("the tool does not understand its setup: {e}")))
            .and_then(open);
        loop {
            while let Some((call, cancelled)) = link.book.next_call() {
                self.answer(&mut link, &mut state, call, cancelled)?;
            }
            link.wait()?;
        }
    }

    fn answer(
        &self,
        link: &mut Link,
        state: &mut Result<S, Failure>,
        call: Call,
        cancelled: bool,
    ) -> Result<(), Lost> {
        let failed = |link: &mut Link, call: &Call, why: Unfinished| Replies::new(link, call).end(Err(why));
        if cancelled {
            return failed(link, &call, Unfinished::Cancelled);
        }
        let state = match state {
            Ok(state) => state,
            Err(failure) => return failed(link, &call, failure.clone().into()),
        };
        match self.find(link, call.method) {
            None => {
                let failure = Failure::new("unknown_method", format!("{} does not serve this", self.name));
                failed(link, &call, failure.into())
            }
            Some(Serve::Detached(serve)) => {
                let flag = link.book.detach(call.id);
                let detached = Detached::new(link.out.clone(), call.id, flag);
                serve(state, call, detached);
                Ok(())
            }
            Some(Serve::Slow(serve)) => {
                link.out.flush()?;
                in_turn(*serve, link, state, &call)
            }
            Some(Serve::InTurn(serve)) => in_turn(*serve, link, state, &call),
        }
    }

    fn find(&self, link: &Link, method: u32) -> Option<&Serve<S>> {
        let entry = link.methods.iter().find(|entry| entry.id == method)?;
        self.methods.iter().find(|(name, _)| *name == entry.name.as_str()).map(|(_, serve)| serve)
    }
}

impl Tool<()> {
    /// Serves a tool that has no state and takes no setup.
    pub fn serve(self) -> ExitCode {
        self.serve_with(|_: serde::de::IgnoredAny| Ok(()))
    }
}

fn in_turn<S>(
    serve: fn(&mut S, &Call, &mut Replies<'_>) -> Outcome,
    link: &mut Link,
    state: &mut S,
    call: &Call,
) -> Result<(), Lost> {
    let mut replies = Replies::new(link, call);
    let outcome = serve(state, call, &mut replies);
    replies.end(outcome)
}
