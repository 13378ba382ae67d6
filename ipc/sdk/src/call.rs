//! A call as a tool sees it, and the ways to end it.

use crate::error::{Error, Lost};
use pawang_protocol::hello::PutIn;
use pawang_protocol::{Failure, Gas};
use serde::de::DeserializeOwned;
use std::fmt;

/// What the kernel asks a tool to do. Already permitted, charged and recorded.
pub struct Call {
    /// Identifies the call on this channel.
    pub id: u64,
    /// What it is about, in the canonical form that was decided on. Act on this and never on anything in `args`.
    pub resource: String,
    /// Raw content, up to 256 KiB.
    pub data: Vec<u8>,
    /// How long the caller waits, in ms; 0 where the kernel keeps the time by itself.
    pub deadline_ms: u32,
    /// Most gas the call may use; 0 where the kernel keeps the account by itself.
    pub gas_max: Gas,
    pub(crate) method: u32,
    pub(crate) args: Vec<u8>,
    pub(crate) secrets: Vec<u8>,
}

/// What a finished call returns.
#[derive(Debug, Default)]
pub struct Done {
    pub(crate) args: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) gas: Gas,
}

/// Why a call returns nothing.
#[derive(Debug)]
pub enum Unfinished {
    /// It went wrong.
    Failed(Failure),
    /// The caller no longer wants it.
    Cancelled,
    /// The channel is gone; the process ends.
    Lost(Lost),
}

/// What a method returns.
pub type Outcome = Result<Done, Unfinished>;

impl Call {
    /// The arguments, read as `T`. No arguments at all are read as `{}`.
    ///
    /// # Errors
    /// `bad_arguments`, naming the field, where they are not a `T`. Derive `T` with `deny_unknown_fields`, so
    /// that a misspelt option is an error and not ignored.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let text: &[u8] = if self.args.is_empty() { b"{}" } else { &self.args };
        serde_json::from_slice(text).map_err(|e| {
            Failure::new("bad_arguments", format!("the arguments are not what this method takes: {e}"))
        })
    }

    /// The secrets the kernel put in for this call. Never log them.
    ///
    /// # Errors
    /// `bad_arguments` where the list is not one; its text holds nothing of the content.
    pub fn secrets(&self) -> Result<Vec<PutIn>, Failure> {
        if self.secrets.is_empty() {
            return Ok(Vec::new());
        }
        // The parser's own message could quote what it read.
        serde_json::from_slice(&self.secrets)
            .map_err(|_| Failure::new("bad_arguments", "the list of secrets cannot be read"))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id)
            .field("resource", &self.resource)
            .field("args", &format_args!("[{} bytes]", self.args.len()))
            .field("data", &format_args!("[{} bytes]", self.data.len()))
            .field("secrets", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl Done {
    /// Nothing to return but success.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Raw content, up to 256 KiB; longer content is streamed with [`crate::Replies::data`].
    #[must_use]
    pub fn data(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// A value, returned as JSON.
    ///
    /// # Errors
    /// `internal` where the value has no JSON form, such as a map with keys that are not strings.
    pub fn json<T: serde::Serialize>(value: &T) -> Result<Self, Failure> {
        let args = serde_json::to_vec(value)
            .map_err(|e| Failure::new("internal", format!("the result has no JSON form: {e}")))?;
        Ok(Self { args, ..Self::default() })
    }

    /// JSON that exists already, passed on as it is.
    #[must_use]
    pub fn raw(args: impl Into<Vec<u8>>) -> Self {
        Self { args: args.into(), ..Self::default() }
    }

    /// The same, with raw content beside it.
    #[must_use]
    pub fn and_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// The same, declaring gas on top of what the kernel measures: model tokens, for example.
    #[must_use]
    pub fn gas(mut self, gas: Gas) -> Self {
        self.gas = gas;
        self
    }
}

impl From<Failure> for Unfinished {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Lost> for Unfinished {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<Error> for Unfinished {
    /// A nested call's end as the end of the call it was made for. A denial of the tool's own request is, to
    /// the tool's caller, a failure: the caller's contract did not refuse anything.
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(denial) => {
                Self::Failed(Failure::new("denied", format!("a call the tool needs was refused: {denial}")))
            }
            Error::Failed(failure) => Self::Failed(failure),
            Error::Cancelled => Self::Cancelled,
            Error::Lost(lost) => Self::Lost(lost),
        }
    }
}
