//! What a call is about, in canonical form: read once, decided on, and passed to the tool as the same text.
//!
//! Promises: each thing has one spelling; anything else is refused with the reason, never repaired. So
//! `parse(kind, r.canonical())` is `r` again, and two texts that differ are two resources. The text a tool gets is
//! [`Resource::canonical`], byte for byte what was decided on.
//!
//! Does not: look at the file system or resolve names. A path may still pass through a symbolic link and a host may
//! still resolve to a private address; the tools guard against both with the means only they have.

mod http;
mod path;
mod words;

pub use http::HttpResource;
pub use path::{PathPairResource, PathResource};
pub use words::{ArgvResource, NameResource};

pub(crate) use http::{check_method, check_url, split_url};
pub(crate) use path::{at_or_below, check as check_path, segments as path_segments};
pub(crate) use words::check_name;

use crate::method::ResourceKind;
use core::fmt;
use pawang_protocol::limits::RESOURCE_MAX;

/// Longest path, in bytes: `PATH_MAX` of Linux, which counts the closing NUL.
pub const PATH_BYTES_MAX: usize = 4_095;
/// Longest segment of a path, in bytes: `NAME_MAX` of Linux file systems.
pub const SEGMENT_BYTES_MAX: usize = 255;
/// Longest URL, in bytes: what common servers take as a request line.
pub const URL_BYTES_MAX: usize = 8_192;
/// Most words of a command line. The bytes are bounded by the protocol's `RESOURCE_MAX`.
pub const ARGV_WORDS_MAX: usize = 256;
/// Longest plain name with all its segments, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// A resource in canonical form. [`Resource::parse`] is the only way to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// An absolute path.
    Path(PathResource),
    /// Two absolute paths, from and to.
    PathPair(PathPairResource),
    /// A request: method and URL.
    Http(HttpResource),
    /// A command line.
    Argv(ArgvResource),
    /// A plain name.
    Name(NameResource),
    /// Nothing: the method is about no resource.
    None,
}

/// Why a text is not a resource in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceError {
    /// More bytes than this kind may have.
    TooLong {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A NUL or another control character.
    ControlCharacter,
    /// A path that does not begin with `/`.
    NotAbsolute,
    /// `//`, or a slash at the end of a path.
    EmptySegment,
    /// A segment `.` or `..`.
    DotSegment,
    /// A path segment of more than [`SEGMENT_BYTES_MAX`] bytes.
    SegmentTooLong(usize),
    /// Not two paths with one NUL between.
    NotAPair,
    /// Not `METHOD URL`, or a method that is not offered (CONNECT, TRACE).
    HttpMethod,
    /// Neither `http://` nor `https://`, in lower case.
    Scheme,
    /// A space or a byte outside ASCII in a URL.
    NotAscii,
    /// A backslash in a URL.
    Backslash,
    /// A user name or password in a URL.
    UserInfo,
    /// A fragment (`#`) in a URL.
    Fragment,
    /// Not a URL at all; carries the parser's reason.
    NotAUrl(String),
    /// A host that is no plain DNS name or address; carries what is wrong.
    Host(&'static str),
    /// Port 0.
    PortZero,
    /// A `;` parameter in a URL path, which some servers cut off before they route.
    PathParameter,
    /// A percent-encoding that servers disagree on; carries it.
    Encoding(String),
    /// A percent-encoding of a character that stands for itself.
    NeedlessEncoding(char),
    /// A character that has to be percent-encoded.
    NotEncoded(char),
    /// A `?` with nothing after it.
    EmptyQuery,
    /// Readable, but not the one spelling; carries that spelling where it is safe to name.
    NotCanonical(Option<String>),
    /// A command line without a program.
    NoProgram,
    /// More words than [`ARGV_WORDS_MAX`].
    TooManyWords(usize),
    /// Not segments `[a-z0-9][a-z0-9_-]*` with `/` between.
    NotAName,
    /// The method takes no resource, and one was given.
    NotEmpty,
}

impl Resource {
    /// Reads `text`, which must already be canonical.
    ///
    /// # Errors
    /// [`ResourceError`]: what is wrong; for a URL with a safe canonical spelling, that spelling.
    pub fn parse(kind: ResourceKind, text: &str) -> Result<Self, ResourceError> {
        bounded(text, RESOURCE_MAX)?;
        match kind {
            ResourceKind::Path => PathResource::parse(text).map(Self::Path),
            ResourceKind::PathPair => PathPairResource::parse(text).map(Self::PathPair),
            ResourceKind::Http => HttpResource::parse(text).map(Self::Http),
            ResourceKind::Argv => ArgvResource::parse(text).map(Self::Argv),
            ResourceKind::Name => NameResource::parse(text).map(Self::Name),
            ResourceKind::None if text.is_empty() => Ok(Self::None),
            ResourceKind::None => Err(ResourceError::NotEmpty),
        }
    }

    /// Exactly the text the tool gets.
    #[must_use]
    pub fn canonical(&self) -> &str {
        match self {
            Self::Path(path) => path.as_str(),
            Self::PathPair(pair) => pair.as_str(),
            Self::Http(request) => request.as_str(),
            Self::Argv(argv) => argv.as_str(),
            Self::Name(name) => name.as_str(),
            Self::None => "",
        }
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Path(_) => ResourceKind::Path,
            Self::PathPair(_) => ResourceKind::PathPair,
            Self::Http(_) => ResourceKind::Http,
            Self::Argv(_) => ResourceKind::Argv,
            Self::Name(_) => ResourceKind::Name,
            Self::None => ResourceKind::None,
        }
    }
}

/// For people: a pair as `from → to`, a command line with spaces. Not to be parsed, and still to be escaped.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PathPair(pair) => write!(f, "{} → {}", pair.from(), pair.to()),
            Self::Argv(argv) => f.write_str(&argv.as_str().replace('\0', " ")),
            other => f.write_str(other.canonical()),
        }
    }
}

/// `text` has at most `max` bytes.
pub(crate) const fn bounded(text: &str, max: usize) -> Result<(), ResourceError> {
    if text.len() > max { Err(ResourceError::TooLong { len: text.len(), max }) } else { Ok(()) }
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "{len} bytes long; at most {max} are allowed"),
            Self::ControlCharacter => f.write_str("contains a NUL or another control character"),
            Self::NotAbsolute => f.write_str("not an absolute path; begin it with /"),
            Self::EmptySegment => {
                f.write_str("has an empty segment (// or a slash at the end); leave it out")
            }
            Self::DotSegment => f.write_str("has a segment . or ..; resolve it before calling"),
            Self::SegmentTooLong(len) => {
                write!(f, "has a segment of {len} bytes; at most {SEGMENT_BYTES_MAX} are allowed")
            }
            Self::NotAPair => f.write_str("not two absolute paths with one NUL between"),
            Self::HttpMethod => f.write_str(
                "does not begin with a method in capitals and one space (CONNECT and TRACE are not offered)",
            ),
            Self::Scheme => f.write_str("URL does not begin with https:// or http://"),
            Self::NotAscii => f.write_str(
                "URL has a space or a character outside ASCII; percent-encode it, or give the host as xn--…",
            ),
            Self::Backslash => f.write_str("URL has a backslash; write %5C in a query, and none elsewhere"),
            Self::UserInfo => f.write_str("URL has a user name before the host; leave it out"),
            Self::Fragment => f.write_str("URL has a fragment (#…), which is never sent; leave it out"),
            Self::NotAUrl(why) => write!(f, "not a URL: {why}"),
            Self::Host(why) => write!(f, "host refused: {why}"),
            Self::PortZero => f.write_str("port 0 reaches nothing"),
            Self::PathParameter => {
                f.write_str("URL path has a ; parameter, which servers read in different ways")
            }
            Self::Encoding(found) => write!(f, "URL has {found}, which servers decode in different ways"),
            Self::NeedlessEncoding(c) => write!(f, "URL has %{:02X}; write {c} instead", u32::from(*c)),
            Self::NotEncoded(c) => write!(f, "URL has a bare {c}; write %{:02X} instead", u32::from(*c)),
            Self::EmptyQuery => f.write_str("URL has a ? with nothing after it; leave it out"),
            Self::NotCanonical(Some(canonical)) => {
                write!(f, "URL is not in its canonical spelling; write {canonical}")
            }
            Self::NotCanonical(None) => f.write_str("URL is not in its canonical spelling"),
            Self::NoProgram => f.write_str("command line has no program; the first word is empty"),
            Self::TooManyWords(words) => {
                write!(f, "command line of {words} words; at most {ARGV_WORDS_MAX} are allowed")
            }
            Self::NotAName => f.write_str("not a name; expected lower-case words such as notes/today"),
            Self::NotEmpty => f.write_str("this method takes no resource; leave it empty"),
        }
    }
}

impl std::error::Error for ResourceError {}
