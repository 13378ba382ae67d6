//! Command lines and plain names.
//!
//! A command line is its words with a NUL between each; there is no shell, no quoting and no expansion. What an
//! argument makes a program do is beyond any pattern: the program's own jail is the boundary.

use super::{ARGV_WORDS_MAX, NAME_BYTES_MAX, ResourceError, bounded};
use pawang_protocol::name::is_segment;

/// A command line: at least a program, at most [`ARGV_WORDS_MAX`] words; later words may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgvResource(String);

/// Segments `[a-z0-9][a-z0-9_-]*` with `/` between: a memory key, a model, a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameResource(String);

impl ArgvResource {
    /// # Errors
    /// [`ResourceError::NoProgram`] or [`ResourceError::TooManyWords`].
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let words = text.split('\0').count();
        if text.is_empty() || text.starts_with('\0') {
            return Err(ResourceError::NoProgram);
        }
        if words > ARGV_WORDS_MAX {
            return Err(ResourceError::TooManyWords(words));
        }
        Ok(Self(text.to_owned()))
    }

    /// The words with a NUL between each.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words in order; the first is the program.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split('\0')
    }
}

impl NameResource {
    /// # Errors
    /// [`ResourceError::NotAName`] or [`ResourceError::TooLong`].
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text` is a name in canonical form.
pub(crate) fn check_name(text: &str) -> Result<(), ResourceError> {
    bounded(text, NAME_BYTES_MAX)?;
    if text.split('/').all(is_segment) { Ok(()) } else { Err(ResourceError::NotAName) }
}

#[cfg(test)]
mod tests {
    use super::{ARGV_WORDS_MAX, ArgvResource, NAME_BYTES_MAX, NameResource, ResourceError};

    #[test]
    fn a_command_line_has_a_program_and_bounded_words() {
        assert_eq!(
            ArgvResource::parse("git\0log\0").unwrap().words().collect::<Vec<_>>(),
            ["git", "log", ""]
        );
        assert_eq!(ArgvResource::parse(""), Err(ResourceError::NoProgram));
        assert_eq!(ArgvResource::parse("\0git"), Err(ResourceError::NoProgram));
        assert!(ArgvResource::parse(&vec!["a"; ARGV_WORDS_MAX].join("\0")).is_ok());
        let many = vec!["a"; ARGV_WORDS_MAX + 1].join("\0");
        assert_eq!(ArgvResource::parse(&many), Err(ResourceError::TooManyWords(ARGV_WORDS_MAX + 1)));
    }

    #[test]
    fn a_name_is_segments_in_lower_case() {
        for good in ["a", "notes/today", "x_1/y-2/3", &"a".repeat(NAME_BYTES_MAX)] {
            assert!(NameResource::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "A", "a b", ".", "..", "a/../b", "a\0", "é", "-a", "_a", "**"]
        {
            assert_eq!(NameResource::parse(bad), Err(ResourceError::NotAName), "{bad:?}");
        }
        assert!(NameResource::parse(&"a".repeat(NAME_BYTES_MAX + 1)).is_err());
    }
}
