//! The one room with cryptography: encrypts what is confidential, makes lookup hashes and link signatures, draws secrets.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const NONCE_LENGTH: usize = 24;
/// First byte of what a key derived from `privacy.encryption_key` sealed.
const BY_VAULT: u8 = 1;
/// First byte of what the data key of a payer sealed.
const BY_DATA_KEY: u8 = 2;

/// Bytes from the operating system's generator. A machine that has none cannot run this service at all.
#[expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "the one place that draws random bytes; without them no id and no secret is safe"
)]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no random numbers: {error}");
    }
    bytes
}

/// SHA-256 over the parts, each preceded by its length so that parts cannot run into each other.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// HMAC-SHA256.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length; the fallback keeps the type total.
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(message);
            mac.finalize().into_bytes().into()
        }
        Err(_) => digest(&[key, message]),
    }
}

/// Compares without telling by its time where the difference is.
pub fn equal_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// A 256-bit secret as 43 characters safe in headers and addresses.
pub fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<32>())
}

/// Standard base64 of bytes.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard base64.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Base64 for addresses, without padding.
pub fn base64_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64 for addresses.
pub fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Keys derived from `privacy.encryption_key`: one to encrypt, one to search, one to sign links.
pub struct Vault {
    ciphers: Vec<XChaCha20Poly1305>,
    /// The current one first, as in `ciphers`.
    search_keys: Vec<[u8; 32]>,
    link_keys: Vec<[u8; 32]>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// A sealed value that cannot be opened: another key, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealed value cannot be opened: privacy.encryption_key is not the one it was sealed with, or the bytes were changed"
)]
pub struct CannotOpen;

impl Vault {
    /// `current` seals; `current` and `previous` open.
    pub fn new(current: &[u8; 32], previous: &[[u8; 32]]) -> Vault {
        let derived = |label: &[u8]| -> Vec<[u8; 32]> {
            std::iter::once(current).chain(previous).map(|key| hmac_sha256(key, label)).collect()
        };
        let seal_keys = derived(b"kmic-payments/seal/1");
        Vault {
            ciphers: seal_keys.iter().map(|key| XChaCha20Poly1305::new(&(*key).into())).collect(),
            search_keys: derived(b"kmic-payments/search/1"),
            link_keys: derived(b"kmic-payments/link/1"),
        }
    }

    /// Encrypts for the place named by `context` (table, column, row); the value opens nowhere else.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        self.ciphers.first().map(|cipher| seal(cipher, BY_VAULT, context, plain)).unwrap_or_default()
    }

    /// Decrypts what [`Vault::seal`] made for the same `context`.
    ///
    /// # Errors
    /// When no key fits or a byte was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        self.ciphers.iter().find_map(|cipher| open(cipher, BY_VAULT, context, sealed).ok()).ok_or(CannotOpen)
    }

    /// What [`Vault::seal`] made with a key that was used before, sealed with the current one; `None` for what the
    /// current key sealed.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn reseal(&self, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, CannotOpen> {
        if self.ciphers.first().is_some_and(|cipher| open(cipher, BY_VAULT, context, sealed).is_ok()) {
            return Ok(None);
        }
        let plain = Zeroizing::new(self.open(context, sealed)?);
        Ok(Some(self.seal(context, &plain)))
    }

    /// A new data key, and how it is kept: sealed by the current key for `context`.
    pub fn new_data_key(&self, context: &str) -> (DataKey, Vec<u8>) {
        let bytes = Zeroizing::new(random_bytes::<32>());
        (DataKey::from_bytes(&bytes), self.seal(context, bytes.as_slice()))
    }

    /// The data key that [`Vault::new_data_key`] made for the same `context`.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_data_key(&self, context: &str, wrapped: &[u8]) -> Result<DataKey, CannotOpen> {
        let bytes = Zeroizing::new(self.open(context, wrapped)?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| CannotOpen)?;
        Ok(DataKey::from_bytes(bytes))
    }

    /// A hash by which a confidential value can be found again without being stored.
    pub fn search_hash(&self, kind: &str, value: &str) -> String {
        self.search_hashes(kind, value).into_iter().next().unwrap_or_default()
    }

    /// The hashes under which a value may have been stored, before and after a change of keys.
    pub fn search_hashes(&self, kind: &str, value: &str) -> Vec<String> {
        let message = digest(&[kind.as_bytes(), value.as_bytes()]);
        self.search_keys.iter().map(|key| base64_url(&hmac_sha256(key, &message))).collect()
    }

    /// Digests by which equal values are recognised, although nobody without the key can try out what they are of: with
    /// the current key first, then with those that were used before.
    pub fn keyed_digests(&self, kind: &str, value: &[u8]) -> Vec<[u8; 32]> {
        let message = digest(&[kind.as_bytes(), value]);
        self.search_keys.iter().map(|key| hmac_sha256(key, &message)).collect()
    }

    /// The signature of a link of ours, for `purpose` and `subject`.
    pub fn sign_link(&self, purpose: &str, subject: &str) -> String {
        self.link_keys.first().map(|key| link_signature(key, purpose, subject)).unwrap_or_default()
    }

    /// Whether `signature` is what [`Vault::sign_link`] made, with the current key or one before: a payer who is at the
    /// bank during a change of keys comes back with the old one.
    pub fn link_holds(&self, purpose: &str, subject: &str, signature: &str) -> bool {
        self.link_keys
            .iter()
            .any(|key| equal_in_constant_time(link_signature(key, purpose, subject).as_bytes(), signature.as_bytes()))
    }
}

/// The key of one payer. Whoever destroys its wrapped form destroys all that it sealed. Wiped from memory when dropped.
#[derive(Clone)]
pub struct DataKey(XChaCha20Poly1305);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl DataKey {
    fn from_bytes(bytes: &[u8; 32]) -> DataKey {
        DataKey(XChaCha20Poly1305::new(bytes.into()))
    }

    /// Encrypts for the place named by `context`; the value opens nowhere else.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        seal(&self.0, BY_DATA_KEY, context, plain)
    }

    /// Decrypts what [`DataKey::seal`] made for the same `context`.
    ///
    /// # Errors
    /// When the key does not fit or a byte was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        open(&self.0, BY_DATA_KEY, context, sealed)
    }
}

/// Whether a value was sealed by the vault itself, as everything was before payers had keys of their own.
pub fn is_sealed_by_vault(sealed: &[u8]) -> bool {
    sealed.first() == Some(&BY_VAULT)
}

fn seal(cipher: &XChaCha20Poly1305, format: u8, context: &str, plain: &[u8]) -> Vec<u8> {
    let nonce = random_bytes::<NONCE_LENGTH>();
    let payload = Payload { msg: plain, aad: context.as_bytes() };
    // Encryption fails only for messages beyond 256 GiB, which no body limit lets in.
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
    let mut bytes = Vec::with_capacity(1 + NONCE_LENGTH + sealed.len());
    bytes.push(format);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    bytes
}

fn open(cipher: &XChaCha20Poly1305, format: u8, context: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
    let rest = sealed.strip_prefix(&[format]).ok_or(CannotOpen)?;
    let (nonce, message) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or(CannotOpen)?;
    let payload = Payload { msg: message, aad: context.as_bytes() };
    cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| CannotOpen)
}

fn link_signature(key: &[u8; 32], purpose: &str, subject: &str) -> String {
    base64_url(&hmac_sha256(key, &digest(&[purpose.as_bytes(), subject.as_bytes()])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_place_and_unchanged() {
        let vault = Vault::new(&[7; 32], &[]);
        let sealed = vault.seal("payers/pay_1", b"secret");
        assert_eq!(vault.open("payers/pay_1", &sealed).unwrap(), b"secret");
        assert_eq!(vault.open("payers/pay_2", &sealed), Err(CannotOpen));
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(vault.open("payers/pay_1", &changed), Err(CannotOpen));
        }
        let rotated = Vault::new(&[8; 32], &[[7; 32]]);
        assert_eq!(rotated.open("payers/pay_1", &sealed).unwrap(), b"secret");
        assert!(vault.open("x", &[]).is_err());
        assert!(rotated.link_holds("three_ds", "pay_1", &vault.sign_link("three_ds", "pay_1")));
        assert!(!vault.link_holds("three_ds", "pay_1", &rotated.sign_link("three_ds", "pay_1")));
        assert!(rotated.search_hashes("account_id", "a").contains(&vault.search_hash("account_id", "a")));
    }

    #[test]
    fn a_change_of_keys_leaves_nothing_to_the_old_one() {
        let (old, both, new) = (Vault::new(&[7; 32], &[]), Vault::new(&[8; 32], &[[7; 32]]), Vault::new(&[8; 32], &[]));
        let sealed = old.seal("x", b"secret");
        assert_eq!(new.open("x", &sealed), Err(CannotOpen));
        let moved = both.reseal("x", &sealed).unwrap().unwrap();
        assert_eq!(new.open("x", &moved).unwrap(), b"secret");
        assert_eq!(both.reseal("x", &moved), Ok(None));
        assert_eq!(both.reseal("y", &sealed), Err(CannotOpen));
    }

    #[test]
    fn what_a_data_key_sealed_opens_by_it_alone() {
        let vault = Vault::new(&[7; 32], &[]);
        let (key, wrapped) = vault.new_data_key("payer_keys/pay_1");
        let sealed = key.seal("payments/pay_1", b"secret");
        assert_eq!(vault.open("payments/pay_1", &sealed), Err(CannotOpen));
        assert!(!is_sealed_by_vault(&sealed) && is_sealed_by_vault(&wrapped));
        assert_eq!(key.open("payments/pay_2", &sealed), Err(CannotOpen));
        let again = vault.open_data_key("payer_keys/pay_1", &wrapped).unwrap();
        assert_eq!(again.open("payments/pay_1", &sealed).unwrap(), b"secret");
        let (other, _) = vault.new_data_key("payer_keys/pay_1");
        assert_eq!(other.open("payments/pay_1", &sealed), Err(CannotOpen));
        assert!(vault.open_data_key("payer_keys/pay_2", &wrapped).is_err());
    }
}
