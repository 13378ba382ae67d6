//! The automation's side: ask the kernel, get a result or the reason why not.
//!
//! One [`Kernel`] per process. Calls may overlap: [`Ask::start`] several, then read them in any order; replies to
//! the others are kept meanwhile, up to 64 MiB each.

use crate::book::Part;
use crate::error::{Error, Lost};
use crate::link::{Link, Request};
use pawang_protocol::limits::DATA_MAX;
use pawang_protocol::{Failure, Gas, Role};

/// The kernel, as an automation sees it.
pub struct Kernel {
    link: Link,
    run: String,
}

/// A call in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

/// A call being put together. Nothing is sent before [`Self::start`] or [`Self::wait`].
#[must_use = "nothing is sent before `start` or `wait`"]
pub struct Ask<'a> {
    kernel: &'a mut Kernel,
    method: &'a str,
    resource: &'a str,
    args: Result<Vec<u8>, Failure>,
    data: &'a [u8],
    deadline_ms: u32,
    gas_max: Gas,
}

/// All parts of an answer put together.
#[derive(Debug, Default)]
pub struct Answer {
    /// JSON of the last part that had any: the head of an HTTP reply, the exit of a program.
    pub args: Vec<u8>,
    /// The content of all parts.
    pub data: Vec<u8>,
    /// Gas charged.
    pub gas: Gas,
}

/// Opens the channel to the kernel. Once per process.
///
/// # Errors
/// [`Lost::NoChannel`] where the process was not started by Pawang; other [`Lost`] where the kernel and this
/// library do not understand each other.
pub fn connect() -> Result<Kernel, Lost> {
    let client = format!("pawang-sdk {}", env!("CARGO_PKG_VERSION"));
    let (link, hello) = Link::open(Role::Automation, &client, None)?;
    link.out.flush()?;
    Ok(Kernel { link, run: hello.run })
}

impl Kernel {
    /// Id of the run this process belongs to.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Begins a call of `method`, such as `fs.read`, on `resource`.
    pub fn call<'a>(&'a mut self, method: &'a str, resource: &'a str) -> Ask<'a> {
        Ask {
            kernel: self,
            method,
            resource,
            args: Ok(Vec::new()),
            data: b"",
            deadline_ms: 0,
            gas_max: Gas::ZERO,
        }
    }

    /// Waits for the next part of an answer; the last one says so in [`Part::more`].
    ///
    /// # Errors
    /// How the call ended, if not well; `not_in_flight` where it ended before.
    pub fn next(&mut self, call: CallId) -> Result<Part, Error> {
        loop {
            if let Some(part) = self.link.part(call.0)? {
                return Ok(part);
            }
            self.link.wait()?;
        }
    }

    /// Waits for the whole answer, which is kept in memory. Use [`Self::next`] for what may be large.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn wait(&mut self, call: CallId) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        loop {
            let part = self.next(call)?;
            if !part.args.is_empty() {
                answer.args = part.args;
            }
            answer.data.extend_from_slice(&part.data);
            if !part.more {
                answer.gas = part.gas;
                return Ok(answer);
            }
        }
    }

    /// Gives a call up.
    ///
    /// # Errors
    /// [`Lost`] where the channel is gone.
    pub fn cancel(&mut self, call: CallId) -> Result<(), Lost> {
        self.link.cancel(call.0)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`Error::Denied`] without a grant of `fs.read`; [`Error::Failed`] such as `not_found`.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        self.call("fs.read", path).wait().map(|answer| answer.data)
    }

    /// Creates or replaces a file. Content above 256 KiB is appended in pieces, which needs `fs.append` too.
    ///
    /// # Errors
    /// As [`Self::read`]. After a failure the file may hold a part of the content.
    pub fn write(&mut self, path: &str, content: &[u8]) -> Result<(), Error> {
        let (first, rest) = content.split_at(content.len().min(DATA_MAX));
        self.call("fs.write", path).data(first).wait()?;
        rest.chunks(DATA_MAX).try_for_each(|piece| self.call("fs.append", path).data(piece).wait().map(drop))
    }
}

impl<'a> Ask<'a> {
    /// Arguments, sent as JSON.
    pub fn args<T: serde::Serialize>(mut self, args: &T) -> Self {
        self.args = serde_json::to_vec(args)
            .map_err(|e| Failure::new("bad_arguments", format!("the arguments have no JSON form: {e}")));
        self
    }

    /// Raw content, up to 256 KiB.
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }

    /// Waits at most this long, in ms.
    pub fn deadline_ms(mut self, deadline_ms: u32) -> Self {
        self.deadline_ms = deadline_ms;
        self
    }

    /// Spends at most this much gas.
    pub fn gas_max(mut self, gas_max: Gas) -> Self {
        self.gas_max = gas_max;
        self
    }

    /// Sends the call and returns at once.
    ///
    /// # Errors
    /// [`Error::Failed`] where it cannot be sent: `unknown_method`, `too_large`, `too_many_in_flight`.
    pub fn start(self) -> Result<CallId, Error> {
        let Self { kernel, method, resource, args, data, deadline_ms, gas_max } = self;
        let call =
            Ask { kernel: &mut *kernel, method, resource, args, data, deadline_ms, gas_max }.queue()?;
        kernel.link.out.flush()?;
        Ok(call)
    }

    /// As [`Self::start`], but leaves with the next call that is sent or the next wait, in one write.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn queue(self) -> Result<CallId, Error> {
        let args = self.args.map_err(Error::Failed)?;
        let request = Request {
            parent: 0,
            method: self.method,
            resource: self.resource,
            args: &args,
            data: self.data,
            deadline_ms: self.deadline_ms,
            gas_max: self.gas_max,
        };
        self.kernel.link.start(&request).map(CallId)
    }

    /// Sends the call and waits for the whole answer.
    ///
    /// # Errors
    /// As [`Self::start`] and [`Kernel::wait`].
    pub fn wait(self) -> Result<Answer, Error> {
        let Self { kernel, method, resource, args, data, deadline_ms, gas_max } = self;
        let call =
            Ask { kernel: &mut *kernel, method, resource, args, data, deadline_ms, gas_max }.queue()?;
        kernel.wait(call)
    }
}
