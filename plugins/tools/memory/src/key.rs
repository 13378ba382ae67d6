//! Keys as file names, one to one.
//!
//! A key is segments `[a-z0-9][a-z0-9_-]*` with `/` between. The dot is in no key, so it stands for the slash; and no
//! key begins with it, so the store's own files do.

use pawang_sdk::Failure;
use pawang_sdk::protocol::name::is_segment;

/// Longest key, in bytes: the longest file name Linux file systems take.
const KEY_MAX: usize = 255;

/// The file name of a key.
///
/// # Errors
/// `bad_key` where it is not one.
pub fn to_file_name(key: &str) -> Result<String, Failure> {
    if key.len() > KEY_MAX {
        return Err(Failure::new(
            "bad_key",
            format!("key of {} bytes; at most {KEY_MAX} are allowed", key.len()),
        ));
    }
    if key.split('/').all(is_segment) {
        Ok(key.replace('/', "."))
    } else {
        Err(Failure::new("bad_key", "not a key; expected lower-case words such as notes/today"))
    }
}

/// The key of a file name; `None` for the store's own files and anything strange.
pub fn from_file_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    name.split('.').all(is_segment).then(|| name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::{KEY_MAX, from_file_name, to_file_name};

    #[test]
    fn keys_and_file_names_are_one_to_one() {
        for key in ["a", "notes/today", "a/b/c-d_e", "0"] {
            assert_eq!(from_file_name(to_file_name(key).unwrap().as_bytes()).as_deref(), Some(key));
        }
        for own in [".lock", ".new", "", "A", "a..b", "a/b"] {
            assert_eq!(from_file_name(own.as_bytes()), None, "{own}");
        }
        assert_eq!(from_file_name(b"\xff"), None);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "/", "a/", "/a", "a//b", "A", "a.b", "..", ".lock", "a\0b", "é", "-a"] {
            assert!(to_file_name(bad).is_err(), "{bad:?}");
        }
        assert!(to_file_name(&"k".repeat(KEY_MAX)).is_ok());
        assert!(to_file_name(&"k".repeat(KEY_MAX + 1)).is_err());
    }
}
