//! Origins: scheme, host and port, the second wall around where this tool goes.

use http::Uri;
use http::uri::Scheme;
use pawang_sdk::Failure;

/// Scheme, host and port, all spelt out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of a URL, or of a text that is nothing but an origin.
    ///
    /// # Errors
    /// The reason: another scheme, no host, a user name, port 0.
    pub fn of(uri: &Uri) -> Result<Self, &'static str> {
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err("its scheme is neither http nor https"),
        };
        let authority = uri.authority().ok_or("it has no host")?.as_str();
        if authority.contains('@') {
            return Err("it has a user name");
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it has no host")?;
        let port = match uri.port() {
            None if authority.len() != host.len() => return Err("its port cannot be read"),
            None if is_https => 443,
            None => 80,
            Some(port) if port.as_u16() == 0 => return Err("its port is 0"),
            Some(port) => port.as_u16(),
        };
        Ok(Self { is_https, host: host.to_ascii_lowercase(), port })
    }

    /// Reads one entry of the setup.
    ///
    /// # Errors
    /// `bad_setup`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| Failure::new("bad_setup", format!("origin {text}: {why}"));
        let uri: Uri = text.parse().map_err(|_| bad("it is no origin"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("it has a path"));
        }
        Self::of(&uri).map_err(bad)
    }

    /// Whether the connection is encrypted.
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// The port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn one_origin_has_one_form() {
        let same = [
            ("https://a.example", "https://a.example:443"),
            ("http://a.example/", "http://A.example:80"),
            ("https://[::1]:8443", "https://[::1]:8443/"),
        ];
        for (one, other) in same {
            assert_eq!(Origin::parse(one).unwrap(), Origin::parse(other).unwrap());
        }
        let differ =
            [("http://a.example", "https://a.example"), ("https://a.example", "https://a.example.evil")];
        for (one, other) in differ {
            assert_ne!(Origin::parse(one).unwrap(), Origin::parse(other).unwrap());
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        let bad = [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https://u@a.example",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example:",
            "https://a.example/x",
            "https://a.example?x",
        ];
        for text in bad {
            assert_eq!(Origin::parse(text).unwrap_err().code, "bad_setup", "{text}");
        }
    }
}
