//! The key pair that signs receipts: the secret half in a file of its owner, the public half in the trust file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::VerifyingKey;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What the line of a key file begins with: says what it is, also to scanners for secrets.
const MARK: &str = "assay-signing-key-v1:";

/// Longest key file that is read, in bytes.
const LONGEST: u64 = 1024;

/// Bits of a file's mode that would let strangers read it, or its group replace it. The group may read: that is how
/// Kubernetes hands a secret to a process that is not root (`fsGroup`).
const TOO_OPEN: u32 = 0o027;

/// A key's name: the first 16 hexadecimal digits of the SHA-256 of its public half.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// The name of the key with this public half.
    pub fn of(public_key: &[u8; 32]) -> Self {
        Self(hex::encode(&Digest::of(public_key).as_bytes()[..8]))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for KeyId {
    fn from(kid: &str) -> Self {
        Self(kid.to_owned())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key file cannot be used. No message quotes its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It cannot be read.
    #[error("the signing key {path} cannot be read; make one with `assay keys new --out {path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or replace it.
    #[error(
        "the signing key {path} has mode {mode:04o}, so that others can get at it: run `chmod 600 {path}`"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("{path} is no signing key: expected one line `{MARK}…` as `assay keys new` writes it")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "the signing key {path} cannot be written; a key is never overwritten, so name a new file with --out"
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The secret half of a key pair. `Debug` shows its name alone; the bytes are wiped when it is dropped.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    /// The same key, for the library that signs in half of the time: of a worker's with quick graders, dalek took a seventh.
    pair: Ed25519KeyPair,
    id: KeyId,
}

impl SigningKey {
    /// A new key, from the operating system's randomness.
    pub fn generate() -> Self {
        Self::from_secret(&Zeroizing::new(rand::random()))
    }

    #[expect(clippy::expect_used, reason = "every 32 bytes are the secret half of a key")]
    fn from_secret(secret: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(secret).expect("32 bytes");
        let secret = ed25519_dalek::SigningKey::from_bytes(secret);
        let id = KeyId::of(secret.verifying_key().as_bytes());
        Self { secret, pair, id }
    }

    /// Reads the file that [`SigningKey::write_new`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read, is none of ours, or lies open to others.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let path = path.to_owned();
        let unreadable = |source| KeyError::Unreadable {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(unreadable)?;
        // Of the open file, which nobody can exchange for another.
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
        if mode & TOO_OPEN != 0 {
            return Err(KeyError::TooOpen { path, mode });
        }
        let mut text = Zeroizing::new(String::new());
        match file.take(LONGEST).read_to_string(&mut text) {
            Ok(_) => Self::parse(&text).ok_or(KeyError::Malformed { path }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyError::Malformed { path }),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Writes the key to a new file that only its owner can read.
    ///
    /// # Errors
    /// Where the file exists or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let secret = Zeroizing::new(BASE64.encode(self.secret.as_bytes()));
        let line = Zeroizing::new(format!("{MARK}{}\n", *secret));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                file.write_all(line.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| KeyError::Unwritable {
                path: path.to_owned(),
                source,
            })
    }

    /// The key's name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Reads the one line of a key file.
    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim().strip_prefix(MARK)?).ok()?);
        let secret = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        Some(Self::from_secret(&secret))
    }

    /// The public half.
    pub fn public_key(&self) -> VerifyingKey {
        self.secret.verifying_key()
    }

    /// The signature of `message`, in base64.
    ///
    /// Whatever is signed begins with a prefix of its own kind, so that no signature can stand for another's.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        BASE64.encode(self.pair.sign(message))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = SigningKey::generate();
        key.write_new(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = SigningKey::read(&path).unwrap();
        assert_eq!(read.id(), key.id());
        assert_eq!(read.sign(b"x"), key.sign(b"x"));
        assert!(matches!(
            SigningKey::generate().write_new(&path),
            Err(KeyError::Unwritable { .. })
        ));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_one_that_its_group_can_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        SigningKey::generate().write_new(&path).unwrap();
        for (mode, good) in [
            (0o644, false),
            (0o604, false),
            (0o620, false),
            (0o440, true),
            (0o400, true),
        ] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(SigningKey::read(&path).is_ok(), good, "{mode:o}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = SigningKey::read(&path).unwrap_err().to_string();
        insta::assert_snapshot!(
            error.replace(&folder.path().display().to_string(), ""),
            @"the signing key /key has mode 0644, so that others can get at it: run `chmod 600 /key`"
        );
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_secret() {
        let key = SigningKey::from_secret(&[7; 32]);
        let secret = BASE64.encode([7; 32]);
        insta::assert_snapshot!(format!("{key:?}"), @r#"SigningKey { id: KeyId("fe812c12f3ab4ce6"), .. }"#);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for content in [
            secret.clone(),
            format!("assay-key:{secret}"),
            format!("{MARK}{secret}x"),
        ] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = SigningKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains(&secret[..8]));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_reading_a_key_panic(text: String) {
            let _ = SigningKey::parse(&text);
            let _ = SigningKey::parse(&format!("{MARK}{text}"));
        }
    }
}
