//! Absolute paths with one spelling: no empty, `.` or `..` segment, no slash at the end, no control character.
//!
//! UTF-8 only. Compared byte by byte: two normal forms of one accented letter are two paths, as they are to Linux.

use super::{PATH_BYTES_MAX, ResourceError, SEGMENT_BYTES_MAX, bounded};

/// An absolute path in canonical form. `/` alone is the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathResource(String);

/// Two absolute paths in canonical form: what is moved, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPairResource {
    text: String,
    from_len: usize,
}

impl PathResource {
    /// # Errors
    /// [`ResourceError`] for anything that is not canonical.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PathPairResource {
    /// # Errors
    /// [`ResourceError`] for anything but two canonical paths with one NUL between.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let (from, to) = text.split_once('\0').ok_or(ResourceError::NotAPair)?;
        check(from)?;
        check(to)?;
        Ok(Self { text: text.to_owned(), from_len: from.len() })
    }

    /// Both, with a NUL between.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is moved.
    #[must_use]
    pub fn from(&self) -> &str {
        self.text.get(..self.from_len).unwrap_or_default()
    }

    /// Where to.
    #[must_use]
    pub fn to(&self) -> &str {
        self.text.get(self.from_len.saturating_add(1)..).unwrap_or_default()
    }
}

/// The segments of a canonical path; none for the root.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// `path` is `base` or lies below it. Both canonical; whole segments are compared, so `/ab` is not below `/a`.
pub(crate) fn at_or_below(path: &str, base: &str) -> bool {
    base == "/" || path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `text` is a canonical absolute path.
pub(crate) fn check(text: &str) -> Result<(), ResourceError> {
    bounded(text, PATH_BYTES_MAX)?;
    if text.chars().any(char::is_control) {
        return Err(ResourceError::ControlCharacter);
    }
    let relative = text.strip_prefix('/').ok_or(ResourceError::NotAbsolute)?;
    if relative.is_empty() { Ok(()) } else { relative.split('/').try_for_each(check_segment) }
}

const fn check_segment(segment: &str) -> Result<(), ResourceError> {
    match segment.as_bytes() {
        [] => Err(ResourceError::EmptySegment),
        [b'.'] | [b'.', b'.'] => Err(ResourceError::DotSegment),
        long if long.len() > SEGMENT_BYTES_MAX => Err(ResourceError::SegmentTooLong(long.len())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{PathPairResource, PathResource, ResourceError, at_or_below};

    #[test]
    fn a_canonical_path_is_kept_as_it_is() {
        let long = format!("/{}", "a".repeat(255));
        for text in ["/", "/a", "/a/b.txt", "/...", "/..a", "/ä ö/…", "/a b", "/-", long.as_str()] {
            assert_eq!(PathResource::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_for_its_reason() {
        let deep = "/a".repeat(2_048);
        let table: &[(&str, ResourceError)] = &[
            ("", ResourceError::NotAbsolute),
            ("a", ResourceError::NotAbsolute),
            ("~/a", ResourceError::NotAbsolute),
            ("file:///a", ResourceError::NotAbsolute),
            ("//", ResourceError::EmptySegment),
            ("//a", ResourceError::EmptySegment),
            ("/a//b", ResourceError::EmptySegment),
            ("/a/", ResourceError::EmptySegment),
            ("/.", ResourceError::DotSegment),
            ("/..", ResourceError::DotSegment),
            ("/a/./b", ResourceError::DotSegment),
            ("/a/../b", ResourceError::DotSegment),
            ("/a/..", ResourceError::DotSegment),
            ("/a\0b", ResourceError::ControlCharacter),
            ("/a\nb", ResourceError::ControlCharacter),
            ("/a\u{7f}", ResourceError::ControlCharacter),
            ("/a\u{85}", ResourceError::ControlCharacter),
            (&deep, ResourceError::TooLong { len: 4_096, max: 4_095 }),
        ];
        for (text, error) in table {
            assert_eq!(PathResource::parse(text).as_ref(), Err(error), "{text:?}");
        }
        let segment = format!("/{}", "a".repeat(256));
        assert_eq!(PathResource::parse(&segment), Err(ResourceError::SegmentTooLong(256)));
    }

    #[test]
    fn a_pair_is_exactly_two_paths() {
        let pair = PathPairResource::parse("/a/b\0/c").unwrap();
        assert_eq!((pair.from(), pair.to()), ("/a/b", "/c"));
        assert_eq!(PathPairResource::parse("/a"), Err(ResourceError::NotAPair));
        assert_eq!(PathPairResource::parse("/a\0b"), Err(ResourceError::NotAbsolute));
        assert_eq!(PathPairResource::parse("/a\0/b\0/c"), Err(ResourceError::ControlCharacter));
    }

    #[test]
    fn below_means_whole_segments() {
        for (path, base, expected) in [
            ("/a/b", "/a", true),
            ("/a", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/a/b", false),
            ("/", "/", true),
            ("/a", "/", true),
            ("/", "/a", false),
        ] {
            assert_eq!(at_or_below(path, base), expected, "{path} under {base}");
        }
    }
}
