//! A call as the request that is sent: method and URL from the resource, headers from arguments and secrets.
//!
//! Headers that frame the message, name the host or speak to the connection belong to this tool and are refused. A
//! secret replaces what the caller gave under the same name.

use crate::origin::Origin;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use pawang_sdk::{Call, Failure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most headers of a request, and their size together in bytes: what common servers take.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Largest answer where the caller names no limit, and the largest limit that can be named, in bytes.
const BODY_DEFAULT: u64 = 8 << 20;
const BODY_MAX: u64 = 1 << 30;
/// Longest wait for the head and for each further piece, where the caller names none and at most, in ms.
const TIMEOUT_DEFAULT_MS: u32 = 30_000;
const TIMEOUT_MAX_MS: u32 = 600_000;
/// Headers that are this tool's own business; so is everything that begins with `proxy-`.
const OWN_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One request, ready to be sent.
pub struct Fetch {
    pub request: Request<Full<Bytes>>,
    pub origin: Origin,
    /// Longest wait for the head and for each further piece.
    pub timeout: Duration,
    /// Largest body of the answer, in bytes.
    pub body_max: u64,
    /// Whether secrets are in it.
    pub has_secrets: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchArgs {
    #[serde(default)]
    headers: Headers,
    timeout_ms: Option<u32>,
    max_bytes: Option<u64>,
}

/// As an object or as a list of pairs.
#[derive(Deserialize)]
#[serde(untagged)]
enum Headers {
    List(Vec<(String, String)>),
    Map(BTreeMap<String, String>),
}

impl Fetch {
    /// Reads a call.
    ///
    /// # Errors
    /// `bad_resource` where the resource is no request; `bad_arguments` for headers or limits that are refused.
    pub fn read(call: &mut Call) -> Result<Self, Failure> {
        let args: FetchArgs = call.args()?;
        let (method, uri) = read_resource(&call.resource)?;
        let origin = Origin::of(&uri).map_err(|why| Failure::new("bad_resource", why))?;
        let timeout_ms =
            within("timeout_ms", args.timeout_ms.unwrap_or(TIMEOUT_DEFAULT_MS), 1, TIMEOUT_MAX_MS)?;
        let body_max = within("max_bytes", args.max_bytes.unwrap_or(BODY_DEFAULT), 0, BODY_MAX)?;
        let mut request = Request::new(Full::new(Bytes::from(std::mem::take(&mut call.data))));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = read_headers(args.headers)?;
        let has_secrets = put_in_secrets(request.headers_mut(), call)?;
        // One request per HTTP/1 connection: what a server sends beyond its answer can then never be taken for the
        // next one, and no request meets a connection that is just being closed. HTTP/2 frames prevent both; there
        // the header is left out and connections are shared.
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(Self { request, origin, timeout: Duration::from_millis(timeout_ms.into()), body_max, has_secrets })
    }
}

fn read_resource(resource: &str) -> Result<(Method, Uri), Failure> {
    let bad = |why: &str| Failure::new("bad_resource", format!("not a request this tool sends: {why}"));
    let (method, url) = resource.split_once(' ').ok_or_else(|| bad("no method"))?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("bad method"))?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(bad("CONNECT and TRACE are not offered"));
    }
    let uri: Uri = url.parse().map_err(|_| bad("bad URL"))?;
    Ok((method, uri))
}

fn read_headers(headers: Headers) -> Result<HeaderMap, Failure> {
    let pairs: Vec<(String, String)> = match headers {
        Headers::List(pairs) => pairs,
        Headers::Map(map) => map.into_iter().collect(),
    };
    let bytes = pairs
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .fold(0, usize::saturating_add);
    if pairs.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(bad_arguments(format!(
            "{} headers of {bytes} bytes; at most {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes are allowed",
            pairs.len()
        )));
    }
    let mut map = HeaderMap::with_capacity(pairs.len().saturating_add(2));
    for (name, value) in &pairs {
        let name = read_name(name)?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| bad_arguments(format!("the value of header {name} has a control character")))?;
        map.append(name, value);
    }
    let agent = concat!("pawang-http/", env!("CARGO_PKG_VERSION"));
    map.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(agent));
    Ok(map)
}

/// Puts in what the kernel sent for this request, and says whether that was anything.
fn put_in_secrets(headers: &mut HeaderMap, call: &Call) -> Result<bool, Failure> {
    let secrets = call.secrets()?;
    let has_secrets = !secrets.is_empty();
    if has_secrets {
        // The kernel finds a secret that the server sends back only where it stands in plain bytes.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    for secret in secrets {
        let name = read_name(&secret.header)?;
        let mut value = HeaderValue::from_bytes(secret.value.as_bytes())
            .map_err(|_| bad_arguments(format!("the secret for header {name} has a control character")))?;
        // Kept out of debug output and out of header compression tables.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(has_secrets)
}

fn read_name(name: &str) -> Result<HeaderName, Failure> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| bad_arguments("a header's name is not one".to_owned()))?;
    if OWN_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
        return Err(bad_arguments(format!("header {parsed} is set by the tool and by nobody else")));
    }
    Ok(parsed)
}

fn within<T: PartialOrd + std::fmt::Display>(what: &str, value: T, min: T, max: T) -> Result<T, Failure> {
    if value < min || value > max {
        return Err(bad_arguments(format!("{what} is {value}; allowed are {min} to {max}")));
    }
    Ok(value)
}

fn bad_arguments(message: String) -> Failure {
    Failure::new("bad_arguments", message)
}

impl Default for Headers {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}
