//! Names: ASCII, lower case, one spelling each, so that comparing bytes is comparing names.

use crate::limits::NAME_MAX;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The method of a call: two segments, `plugin.verb`, such as `fs.read`. A segment is `[a-z0-9][a-z0-9_-]*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MethodName(String);

/// The name of a plugin, of a contract or of a memory key segment: one segment `[a-z0-9][a-z0-9_-]*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(String);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// Longer than [`NAME_MAX`] bytes; carries the length found.
    TooLong(usize),
    /// Not of the form the type asks for; carries that form.
    Malformed(&'static str),
}

/// Whether `text` is one segment: `[a-z0-9][a-z0-9_-]*`.
#[must_use]
pub fn is_segment(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

impl MethodName {
    /// Accepts `plugin.verb`.
    ///
    /// # Errors
    /// [`NameError`] for anything else.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        match text.split_once('.') {
            Some((plugin, verb)) if is_segment(plugin) && is_segment(verb) => Ok(Self(text.to_owned())),
            _ => Err(NameError::Malformed("plugin.verb in lower case, such as fs.read")),
        }
    }

    /// The whole name, `plugin.verb`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the dot: who serves it.
    #[must_use]
    pub fn plugin(&self) -> &str {
        self.0.split_once('.').map_or(self.0.as_str(), |(plugin, _)| plugin)
    }
}

impl PluginName {
    /// Accepts one segment.
    ///
    /// # Errors
    /// [`NameError`] for anything else.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if is_segment(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Malformed("lower-case letters, digits, '-' and '_', such as weather-report"))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "name of {len} bytes; at most {NAME_MAX} are allowed"),
            Self::Malformed(form) => write!(f, "not a name; expected {form}"),
        }
    }
}

impl std::error::Error for NameError {}

macro_rules! string_conversions {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}
string_conversions!(MethodName);
string_conversions!(PluginName);

#[cfg(test)]
mod tests {
    use super::{MethodName, NAME_MAX, PluginName};

    #[test]
    fn method_is_two_segments() {
        for good in ["fs.read", "http.fetch", "a.b", "x-1.y_2"] {
            assert!(MethodName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "fs",
            "fs.",
            ".read",
            "fs.read.x",
            "Fs.read",
            "fs.ré",
            "fs .read",
            "fs.read\0",
            "-a.b",
            "fs..x",
        ] {
            assert!(MethodName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn length_is_bounded_at_the_limit() {
        assert!(PluginName::new(&"a".repeat(NAME_MAX)).is_ok());
        assert!(PluginName::new(&"a".repeat(NAME_MAX + 1)).is_err());
    }
}
