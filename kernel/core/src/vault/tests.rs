//! Claims about the sealed file: what opens, what does not, and with which error.

use super::{
    HEADER_LEN, KeyCost, KeySource, SECRETS_MAX, Secret, SecretName, VAULT_FILE_MAX, Vault, VaultError,
    VaultKey,
};

const NONCE: [u8; 24] = [9; 24];

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

fn sample() -> Vault {
    let mut vault = Vault::new();
    vault.set(name("OPENAI_API_KEY"), secret("sk-canary-0001")).unwrap();
    vault.set(name("ann"), secret("canary-0002")).unwrap();
    vault
}

fn raw_key() -> VaultKey {
    VaultKey::from_raw(&[3; 32])
}

fn reopen(vault: &Vault, key: &VaultKey) -> Vec<(String, Vec<u8>)> {
    let opened = Vault::open(&vault.seal(key, NONCE).unwrap(), key).unwrap();
    opened.names().map(|n| (n.to_string(), opened.get(n).unwrap().expose().to_vec())).collect()
}

#[test]
fn what_was_sealed_is_what_opens() {
    let passphrase = VaultKey::from_passphrase(b"a passphrase", &[5; 16], KeyCost::LEAST).unwrap();
    for key in [raw_key(), passphrase] {
        let expected = vec![
            ("OPENAI_API_KEY".to_owned(), b"sk-canary-0001".to_vec()),
            ("ann".to_owned(), b"canary-0002".to_vec()),
        ];
        assert_eq!(reopen(&sample(), &key), expected);
        assert_eq!(reopen(&Vault::new(), &key), vec![]);
    }
}

#[test]
fn the_header_tells_which_key_to_ask_for() {
    let salt = [5; 16];
    let key = VaultKey::from_passphrase(b"a passphrase", &salt, KeyCost::LEAST).unwrap();
    let file = sample().seal(&key, NONCE).unwrap();
    assert_eq!(Vault::key_source(&file), Ok(KeySource::Passphrase { cost: KeyCost::LEAST, salt }));
    let Ok(KeySource::Passphrase { cost, salt }) = Vault::key_source(&file) else { panic!("a passphrase") };
    let again = VaultKey::from_passphrase(b"a passphrase", &salt, cost).unwrap();
    assert_eq!(Vault::open(&file, &again).unwrap().names().len(), 2);
}

#[test]
fn a_wrong_key_is_not_called_a_damaged_file() {
    let salt = [5; 16];
    let right = VaultKey::from_passphrase(b"right horse", &salt, KeyCost::LEAST).unwrap();
    let file = sample().seal(&right, NONCE).unwrap();
    let wrong = VaultKey::from_passphrase(b"wrong horse", &salt, KeyCost::LEAST).unwrap();
    for key in [wrong, raw_key()] {
        assert_eq!(Vault::open(&file, &key).unwrap_err(), VaultError::WrongKey);
    }
}

#[test]
fn every_single_bit_flip_is_refused_and_none_is_called_a_wrong_key() {
    let file = sample().seal(&raw_key(), NONCE).unwrap();
    for bit in 0..file.len() * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0..=6 => VaultError::NotAVault,
            7 => VaultError::Version,
            _ => VaultError::Damaged,
        };
        assert_eq!(Vault::open(&changed, &raw_key()).unwrap_err(), expected, "bit {bit}");
    }
}

#[test]
fn every_cut_and_every_added_byte_is_refused() {
    let file = sample().seal(&raw_key(), NONCE).unwrap();
    for length in 0..file.len() {
        assert_eq!(Vault::open(&file[..length], &raw_key()).unwrap_err(), VaultError::Damaged, "{length}");
    }
    let mut longer = file;
    longer.push(0);
    assert_eq!(Vault::open(&longer, &raw_key()).unwrap_err(), VaultError::Damaged);
}

#[test]
fn a_file_longer_than_any_vault_is_refused_unread() {
    let refused = Vault::open(&vec![0; VAULT_FILE_MAX + 1], &raw_key()).unwrap_err();
    assert_eq!(refused, VaultError::FileTooLong);
}

#[test]
fn f61_derivation_cost_of_a_manipulated_header_is_bounded() {
    let key = VaultKey::from_passphrase(b"a passphrase", &[5; 16], KeyCost::LEAST).unwrap();
    let mut file = sample().seal(&key, NONCE).unwrap();
    file[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = <sha2::Sha256 as sha2::Digest>::digest(&file[..HEADER_LEN - 8]);
    file[HEADER_LEN - 8..HEADER_LEN].copy_from_slice(&sum[..8]);
    assert_eq!(Vault::key_source(&file).unwrap_err(), VaultError::Cost);
}

#[test]
fn nothing_of_a_secret_or_a_name_is_in_the_file_and_nonces_change_all_of_it() {
    let first = sample().seal(&raw_key(), NONCE).unwrap();
    let second = sample().seal(&raw_key(), [10; 24]).unwrap();
    for needle in [&b"canary"[..], b"OPENAI", b"ann"] {
        assert!(!first.windows(needle.len()).any(|w| w == needle));
    }
    assert_ne!(first[HEADER_LEN..], second[HEADER_LEN..]);
}

#[test]
fn the_1025th_secret_is_refused_and_a_known_name_is_replaced() {
    let mut vault = Vault::new();
    for index in 0..SECRETS_MAX {
        assert_eq!(vault.set(name(&format!("K{index}")), secret("01234567")), Ok(false));
    }
    assert_eq!(vault.set(name("ONE_MORE"), secret("01234567")), Err(VaultError::Full));
    assert_eq!(vault.set(name("K0"), secret("76543210")), Ok(true));
    assert_eq!(reopen(&vault, &raw_key()).len(), SECRETS_MAX);
    assert!(vault.remove(&name("K0")));
    assert!(!vault.remove(&name("K0")));
}

#[test]
fn plain_bytes_out_of_order_doubled_or_with_a_rest_are_refused() {
    let one = |n: &str| {
        [&[u8::try_from(n.len()).unwrap()], n.as_bytes(), &8_u32.to_le_bytes(), b"01234567"].concat()
    };
    let plain = |count: u16, parts: &[Vec<u8>]| [count.to_le_bytes().to_vec(), parts.concat()].concat();
    assert!(Vault::decode(&plain(2, &[one("a"), one("b")])).is_ok());
    for bad in [
        plain(2, &[one("b"), one("a")]),
        plain(2, &[one("a"), one("a")]),
        plain(1, &[one("a"), vec![0]]),
        plain(3, &[one("a"), one("b")]),
        plain(1, &[one("a b")]),
        plain(1, &[vec![1, b'a', 255, 255, 255, 255]]),
        vec![],
    ] {
        assert_eq!(Vault::decode(&bad).unwrap_err(), VaultError::Damaged, "{bad:?}");
    }
}

#[test]
fn f44_debug_of_a_vault_shows_names_and_no_secret() {
    let text = format!("{:?}", sample());
    assert!(text.contains("OPENAI_API_KEY") && !text.contains("canary"), "{text}");
}
