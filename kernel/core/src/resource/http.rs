//! Requests: `METHOD URL`, with one spelling for one URL.
//!
//! The WHATWG parser (crate `url`) says what a client would dial. A URL that it would change in any way is refused,
//! and so is what it leaves alone and servers read in different ways: user names, fragments, encoded slashes, dots,
//! controls and double encodings, empty segments, `;` parameters, hosts that are another spelling of an address.
//! What is left can be compared as text, segment by segment, and reaches the host it names.
//!
//! Does not judge addresses: whether `127.0.0.1` may be dialled is the grant's and the http tool's matter.

use super::{ResourceError, URL_BYTES_MAX, bounded};
use url::{Host, Url};

/// Longest method, in bytes. No registered one is longer than `UPDATEREDIRECTREF` would need; none of those is used.
const METHOD_BYTES_MAX: usize = 16;
/// Longest DNS name and label, in bytes (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// Methods with a meaning of their own to a connection or a proxy, which a request for a resource never needs.
const METHODS_NOT_OFFERED: [&str; 4] = ["CONNECT", "TRACE", "TRACK", "PRI"];

/// A request in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResource {
    text: String,
    /// Where the parts end in `text`: the method, the origin, the path.
    method_end: usize,
    origin_end: usize,
    path_end: usize,
}

impl HttpResource {
    /// # Errors
    /// [`ResourceError`] for anything that is not canonical.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let (method, url) = text.split_once(' ').ok_or(ResourceError::HttpMethod)?;
        check_method(method)?;
        check_url(url)?;
        let url_start = method.len().saturating_add(1);
        let (origin, path, _) = split_url(url);
        let origin_end = url_start.saturating_add(origin.len());
        let path_end = origin_end.saturating_add(path.len());
        Ok(Self { text: text.to_owned(), method_end: method.len(), origin_end, path_end })
    }

    /// Method, space, URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The method, in capitals.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text.get(..self.method_end).unwrap_or_default()
    }

    /// The whole URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.text.get(self.method_end.saturating_add(1)..).unwrap_or_default()
    }

    /// Scheme, host and, where it is not the scheme's own, port: `https://api.example.com:8443`.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.text.get(self.method_end.saturating_add(1)..self.origin_end).unwrap_or_default()
    }

    /// The path, which begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.origin_end..self.path_end).unwrap_or_default()
    }

    /// The query without its `?`, if there is one. Never empty.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_end.saturating_add(1)..).filter(|query| !query.is_empty())
    }
}

/// Origin, path, and query without its `?`, of a canonical URL.
pub(crate) fn split_url(url: &str) -> (&str, &str, Option<&str>) {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    let after_scheme = address.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = address.get(after_scheme..).and_then(|rest| rest.find('/'));
    let origin_len = slash.map_or(address.len(), |at| after_scheme.saturating_add(at));
    let (origin, path) = address.split_at_checked(origin_len).unwrap_or((address, ""));
    (origin, path, query)
}

/// `method` is a token in capitals that is offered.
pub(crate) fn check_method(method: &str) -> Result<(), ResourceError> {
    let is_token =
        (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase());
    if is_token && !METHODS_NOT_OFFERED.contains(&method) { Ok(()) } else { Err(ResourceError::HttpMethod) }
}

/// `text` is a URL in its one spelling.
pub(crate) fn check_url(text: &str) -> Result<(), ResourceError> {
    check_characters(text)?;
    let url = Url::parse(text).map_err(|error| ResourceError::NotAUrl(error.to_string()))?;
    check_host(&url)?;
    if url.port() == Some(0) {
        return Err(ResourceError::PortZero);
    }
    if url.as_str() != text {
        return Err(ResourceError::NotCanonical(suggestion(&url)));
    }
    check_path(url.path())?;
    url.query().map_or(Ok(()), check_query)
}

/// What can be refused by looking at single characters, before anything is parsed.
fn check_characters(text: &str) -> Result<(), ResourceError> {
    bounded(text, URL_BYTES_MAX)?;
    if text.bytes().any(|b| b.is_ascii_control()) {
        return Err(ResourceError::ControlCharacter);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ResourceError::NotAscii);
    }
    if text.contains('\\') {
        return Err(ResourceError::Backslash);
    }
    if text.contains('#') {
        return Err(ResourceError::Fragment);
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.ok_or(ResourceError::Scheme)?.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') { Err(ResourceError::UserInfo) } else { Ok(()) }
}

/// A DNS name of plain labels, or an address in its one spelling.
fn check_host(url: &Url) -> Result<(), ResourceError> {
    match url.host() {
        None => Err(ResourceError::Host("there is none")),
        Some(Host::Ipv4(_)) => Ok(()),
        Some(Host::Ipv6(address)) => match address.segments() {
            // ::ffff:a.b.c.d and ::a.b.c.d reach a.b.c.d, which has a spelling already. ::1 has none but its own.
            [0, 0, 0, 0, 0, 0xffff, ..] => {
                Err(ResourceError::Host("an IPv4 address in IPv6 form; write it as IPv4"))
            }
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => {
                Err(ResourceError::Host("an IPv4 address in IPv6 form; write it as IPv4"))
            }
            _ => Ok(()),
        },
        Some(Host::Domain(name)) if name.len() > HOST_BYTES_MAX => {
            Err(ResourceError::Host("longer than 253 bytes"))
        }
        Some(Host::Domain(name)) if name.split('.').all(is_label) => Ok(()),
        Some(Host::Domain(_)) => {
            Err(ResourceError::Host("not labels of letters, digits and hyphens with single dots between"))
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// `path` begins with `/`, has no empty segment but the last, and encodes only what must be encoded, once.
fn check_path(path: &str) -> Result<(), ResourceError> {
    if path.contains("//") {
        return Err(ResourceError::EmptySegment);
    }
    if path.contains(';') {
        return Err(ResourceError::PathParameter);
    }
    let decoded = decode(path, Part::Path)?;
    if decoded.chars().any(char::is_control) {
        return Err(ResourceError::Encoding("an encoded control character".to_owned()));
    }
    if has_encoding(&decoded) {
        return Err(ResourceError::Encoding("a double encoding (%25 before two hex digits)".to_owned()));
    }
    Ok(())
}

/// `query` is not empty and encodes no letter, digit, `-`, `.`, `_` or `~`. Encoded separators are data there.
fn check_query(query: &str) -> Result<(), ResourceError> {
    if query.is_empty() {
        return Err(ResourceError::EmptyQuery);
    }
    decode(query, Part::Query).map(|_| ())
}

/// Decodes each `%XX` once, and refuses a second spelling of anything: see [`Part`].
fn decode(text: &str, part: Part) -> Result<String, ResourceError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let value = match byte {
            b'%' => encoded_byte(bytes.next(), bytes.next(), part)?,
            raw if part.may_be_raw(raw) => raw,
            bare => return Err(ResourceError::NotEncoded(char::from(bare))),
        };
        decoded.push(value);
    }
    String::from_utf8(decoded)
        .map_err(|_| ResourceError::Encoding("an encoding that is not UTF-8".to_owned()))
}

/// The byte that `%` and two digits stand for.
fn encoded_byte(high: Option<u8>, low: Option<u8>, part: Part) -> Result<u8, ResourceError> {
    let (Some(high), Some(low)) = (high.and_then(upper_hex), low.and_then(upper_hex)) else {
        return Err(ResourceError::Encoding("a % without two capital hex digits".to_owned()));
    };
    let value = (high << 4) | low;
    if part.is_ambiguous(value) {
        return Err(ResourceError::Encoding(format!("%{value:02X}")));
    }
    if part.needs_no_encoding(value) {
        Err(ResourceError::NeedlessEncoding(char::from(value)))
    } else {
        Ok(value)
    }
}

/// The two parts of a URL that are percent-encoded, and what each allows.
#[derive(Clone, Copy)]
enum Part {
    Path,
    Query,
}

impl Part {
    /// What may stand there as itself.
    const fn may_be_raw(self, byte: u8) -> bool {
        match self {
            Self::Path => is_path_byte(byte) || byte == b'/',
            // The WHATWG parser encodes ' in queries.
            Self::Query => (is_path_byte(byte) && byte != b'\'') || matches!(byte, b'/' | b'?' | b';'),
        }
    }

    /// What means the same when it is encoded, so that one of the two spellings has to go.
    const fn needs_no_encoding(self, byte: u8) -> bool {
        match self {
            Self::Path => is_path_byte(byte),
            // Separators such as & and = are data when they are encoded in a query.
            Self::Query => is_unreserved(byte),
        }
    }

    /// What some servers decode before they look for segments, and others after.
    const fn is_ambiguous(self, byte: u8) -> bool {
        match self {
            Self::Path => matches!(byte, b'/' | b'\\' | b';') || byte.is_ascii_control(),
            Self::Query => byte == 0,
        }
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand unencoded in a path segment: RFC 3986 `pchar` without `;`.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

const fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A `%` before two hex digits of either case.
fn has_encoding(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|w| matches!(w, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// The spelling the parser would have made, if that one is acceptable.
fn suggestion(url: &Url) -> Option<String> {
    let text = url.as_str();
    (check_characters(text).is_ok()
        && check_path(url.path()).is_ok()
        && url.query().is_none_or(|q| check_query(q).is_ok()))
    .then(|| text.to_owned())
}
