//! One secret and its name.
//!
//! A [`Secret`] exists only with a length that redaction can deal with, is wiped when dropped, cannot be cloned,
//! compared or serialised, and shows itself as `[redacted]`. It does not know where it may be sent: that is written
//! in the contract.

use super::VaultError;
use core::fmt;
use zeroize::Zeroizing;

/// Shortest secret, in bytes. A shorter one would occur in ordinary text by accident, so that redacting it would
/// destroy replies, and could be found by trying.
pub const SECRET_MIN: usize = 8;
/// Longest secret, in bytes. A service account in JSON with its private key is below 4 KiB; sixteen of these.
pub const SECRET_MAX: usize = 64 << 10;
/// Longest name of a secret, in bytes.
pub const SECRET_NAME_MAX: usize = 64;

/// The name of a secret: 1 to 64 of `A-Z a-z 0-9 _ -`, such as `OPENAI_API_KEY`. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

/// The bytes of a secret, 8 bytes to 64 KiB of them, wiped when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl SecretName {
    /// Accepts a name of the form above.
    ///
    /// # Errors
    /// [`VaultError::Name`] for anything else.
    pub fn new(text: &str) -> Result<Self, VaultError> {
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if text.is_empty() || text.len() > SECRET_NAME_MAX || !is_plain {
            return Err(VaultError::Name);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Secret {
    /// Takes the bytes over; they are wiped also where they are refused.
    ///
    /// # Errors
    /// [`VaultError::TooShort`] below [`SECRET_MIN`], [`VaultError::TooLong`] above [`SECRET_MAX`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            found if found < SECRET_MIN => Err(VaultError::TooShort { found }),
            found if found > SECRET_MAX => Err(VaultError::TooLong { found }),
            _ => Ok(Self(bytes)),
        }
    }

    /// The bytes themselves. Each use of this is a place where the secret can leak: keep them few.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as it may stand in the value of an HTTP header: visible ASCII and blanks, no line end that would
    /// start a header of its own (RFC 9110 §5.5). `None` where the bytes are anything else.
    #[must_use]
    pub fn as_header_text(&self) -> Option<&str> {
        let is_safe = self.0.iter().all(|&b| b == b'\t' || (b' '..=b'~').contains(&b));
        if is_safe { core::str::from_utf8(&self.0).ok() } else { None }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::{SECRET_MAX, SECRET_MIN, Secret, SecretName, VaultError};

    #[test]
    fn names_are_plain_ascii_of_1_to_64() {
        let longest = "k".repeat(64);
        for good in ["A", "OPENAI_API_KEY", "open-ai_2", longest.as_str()] {
            assert_eq!(SecretName::new(good).unwrap().as_str(), good);
        }
        let over = "k".repeat(65);
        for bad in ["", "a b", "a/b", "a.b", "clé", "a\0", over.as_str()] {
            assert_eq!(SecretName::new(bad), Err(VaultError::Name), "{bad:?}");
        }
    }

    #[test]
    fn length_is_held_at_both_limits() {
        for length in [SECRET_MIN, SECRET_MAX] {
            assert_eq!(Secret::new(vec![b'k'; length]).unwrap().expose().len(), length);
        }
        let short = Secret::new(vec![b'k'; SECRET_MIN - 1]).unwrap_err();
        assert_eq!(short, VaultError::TooShort { found: 7 });
        assert!(short.to_string().contains("ordinary text"), "{short}");
        let long = Secret::new(vec![b'k'; SECRET_MAX + 1]).unwrap_err();
        assert_eq!(long, VaultError::TooLong { found: 65_537 });
    }

    #[test]
    fn f44_debug_shows_nothing_of_the_secret() {
        let secret = Secret::new(b"canary-5ca1ab1e".to_vec()).unwrap();
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([redacted])");
    }

    #[test]
    fn f35_header_text_never_holds_a_line_end() {
        for (bytes, is_text) in [
            (&b"sk-0123456789"[..], true),
            (b"two words\there", true),
            (b"abc\r\nx-admin: 1", false),
            (b"abcdefgh\0", false),
            ("schlüssel".as_bytes(), false),
        ] {
            let secret = Secret::new(bytes.to_vec()).unwrap();
            assert_eq!(secret.as_header_text().is_some(), is_text, "{bytes:?}");
        }
    }
}
