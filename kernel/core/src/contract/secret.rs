//! Which secret the kernel puts into which requests, and where.
//!
//! A secret is bound to URLs by https, and is written into one header on the way to the http tool. Plain http is
//! accepted only for a literal loopback address: such a request never leaves the machine, and a demonstration or a
//! local model server has no certificate to show. A secret travels only with a request that a grant covers too.

use super::http_pattern::UrlPattern;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Longest name of a secret, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest header name and template, in bytes.
const HEADER_BYTES_MAX: usize = 64;
const TEMPLATE_BYTES_MAX: usize = 256;
/// Where the secret goes in a template.
const HOLE: &str = "{}";
/// Headers that say where a request goes, how long it is or what the connection becomes; the http tool writes them.
const HEADERS_REFUSED: [&str; 11] = [
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
    "via",
];

/// One secret of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// Its name in the vault, such as `OPENAI_API_KEY`.
    pub name: String,
    /// The URLs it may go to.
    pub to: UrlPattern,
    /// Where in the request it is written.
    #[serde(rename = "as")]
    pub placement: Placement,
}

/// `header:<name>=<template>`: a header, and its value with one `{}` for the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Placement {
    header: String,
    before: String,
    after: String,
}

/// What is wrong with a secret of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFault {
    /// The name is not of the form `[A-Z][A-Z0-9_]*`, or too long.
    Name,
    /// The placement is not of the form `header:<name>=<template with one {}>`.
    Placement,
    /// The header is one that only the http tool may write.
    Header,
    /// Neither https nor a literal loopback address.
    NotHttps,
    /// Any host.
    AnyHost,
    /// No grant of the contract reaches the URLs it is bound to.
    NeverSent,
    /// Another secret is written into the same header of the same request.
    SameHeader,
}

impl SecretRule {
    /// What can be checked of one secret alone.
    ///
    /// # Errors
    /// [`SecretFault`].
    pub fn check(&self) -> Result<(), SecretFault> {
        if !is_secret_name(&self.name) {
            return Err(SecretFault::Name);
        }
        match self.to.origin() {
            None => Err(SecretFault::AnyHost),
            Some(origin) if is_safe_transport(origin) => Ok(()),
            Some(_) => Err(SecretFault::NotHttps),
        }
    }

    /// Both would be written into one header of one request.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        self.placement.header == other.placement.header && self.to.overlaps(&other.to)
    }

    /// Everything that `other` allows to be sent, `self` allows too: same secret, same place, fewer URLs.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.name == other.name && self.placement == other.placement && self.to.covers(&other.to)
    }
}

impl Placement {
    /// Reads `header:authorization=Bearer {}`.
    ///
    /// # Errors
    /// [`SecretFault::Placement`] or [`SecretFault::Header`].
    pub fn new(text: &str) -> Result<Self, SecretFault> {
        let fault = SecretFault::Placement;
        let (header, template) =
            text.strip_prefix("header:").and_then(|rest| rest.split_once('=')).ok_or(fault)?;
        let (before, after) = template.split_once(HOLE).ok_or(fault)?;
        let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let header_ok = (1..=HEADER_BYTES_MAX).contains(&header.len()) && header.bytes().all(is_token);
        let template_ok = template.len() <= TEMPLATE_BYTES_MAX
            && template.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
            && !after.contains(HOLE);
        if !header_ok || !template_ok {
            return Err(fault);
        }
        if HEADERS_REFUSED.contains(&header) || header.starts_with("proxy-") {
            return Err(SecretFault::Header);
        }
        Ok(Self { header: header.to_owned(), before: before.to_owned(), after: after.to_owned() })
    }

    /// The header's name, in lower case.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The header's value before and after the secret. The caller joins the three in memory that it wipes.
    #[must_use]
    pub fn around(&self) -> (&str, &str) {
        (&self.before, &self.after)
    }
}

/// `[A-Z][A-Z0-9_]*`, at most 64 bytes.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// https, or http to 127.0.0.0/8 or ::1 written as an address. `localhost` is a name, and names can be pointed elsewhere.
fn is_safe_transport(origin: &str) -> bool {
    let Some(authority) = origin.strip_prefix("http://") else { return origin.starts_with("https://") };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "[::1]" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

impl TryFrom<String> for Placement {
    type Error = SecretFault;
    fn try_from(text: String) -> Result<Self, SecretFault> {
        Self::new(&text)
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.to_string()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header:{}={}{HOLE}{}", self.header, self.before, self.after)
    }
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a secret's name is capitals, digits and _, such as OPENAI_API_KEY",
            Self::Placement => {
                "`as` must be header:<name>=<value with one {}>, such as header:authorization=Bearer {}"
            }
            Self::Header => "this header is written by the http tool alone; choose another",
            Self::NotHttps => "a secret goes only to https://, or to http:// at a literal loopback address",
            Self::AnyHost => "a secret is bound to one host",
            Self::NeverSent => "no grant of http.fetch reaches this URL, so the secret would never be sent",
            Self::SameHeader => "another secret is written into the same header of the same request",
        })
    }
}

impl std::error::Error for SecretFault {}
