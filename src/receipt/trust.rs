//! The trust file: whose receipts move money, and from when to when.

use std::fs::Metadata;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyId, Purpose, Receipt, SigningKey};

/// What the file says of itself.
const HEADER: &str = "\
# Keys whose receipts this settlement believes: written by `assay keys new`, ended by `assay keys revoke`.
# A receipt counts if its key was valid when it was signed, and is not revoked now.
";

/// A key that settlement knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Its name, which follows from the public half.
    pub kid: KeyId,
    /// The public half: 32 bytes in base64.
    pub public_key: String,
    /// What its receipts may be used for.
    pub purposes: Vec<Purpose>,
    /// The deployment whose decisions it signs.
    pub deployment: String,
    /// Receipts of decisions before are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Receipts of decisions after are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// From then on all its receipts are refused, whenever they say that they were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Receipts of today are believed.
    Valid,
    /// Its time has yet to come.
    NotYetValid,
    /// Its time is over; receipts from before still count.
    Expired,
    /// Nothing that it signed counts.
    Revoked,
}

impl KeyState {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl TrustedKey {
    /// The entry of a new key, valid from `not_before` on.
    pub fn new(key: &SigningKey, deployment: &str, not_before: Timestamp) -> Self {
        Self {
            kid: key.id().clone(),
            public_key: BASE64.encode(key.public_key().as_bytes()),
            purposes: vec![Purpose::Settle],
            deployment: deployment.to_owned(),
            not_before: Some(not_before),
            not_after: None,
            revoked_at: None,
            reason: None,
        }
    }

    /// How it stands at `now`.
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some_and(|at| now >= at) {
            KeyState::Revoked
        } else if self.not_before.is_some_and(|from| now < from) {
            KeyState::NotYetValid
        } else if self.not_after.is_some_and(|until| now > until) {
            KeyState::Expired
        } else {
            KeyState::Valid
        }
    }

    /// Whether this key has signed `message`; `signature` in base64. Says nothing of times and purposes.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        let signature = BASE64.decode(signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        match (self.verifying_key(), signature) {
            (Some(key), Some(signature)) => key.verify_strict(message, &signature).is_ok(),
            (None, _) | (_, None) => false,
        }
    }

    /// The public half; `None` if the text is no key, a weak one, or another key's.
    fn verifying_key(&self) -> Option<VerifyingKey> {
        let bytes = <[u8; 32]>::try_from(BASE64.decode(&self.public_key).ok()?).ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (!key.is_weak() && KeyId::of(&bytes) == self.kid).then_some(key)
    }
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptFault {
    /// Nothing may move on it.
    #[error("the receipt is a preview: nothing moves on it")]
    Preview,
    /// The trust file does not know the key.
    #[error("the key `{0}` is not in the trust file")]
    UnknownKey(String),
    /// The key was revoked.
    #[error("the key {kid} was revoked at {at}: {reason}")]
    Revoked {
        /// The key.
        kid: KeyId,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// The key may not sign for this purpose.
    #[error("the key {0} is not trusted for settlement")]
    Purpose(KeyId),
    /// The key belongs to another deployment.
    #[error("the key {kid} signs for deployment `{trusted}`, the receipt names `{named}`")]
    Deployment {
        /// The key.
        kid: KeyId,
        /// Whose key it is.
        trusted: String,
        /// What the receipt says.
        named: String,
    },
    /// The decision was made before the key became valid.
    #[error("decided at {decided_at}, before the key {kid} became valid")]
    NotYetValid {
        /// The key.
        kid: KeyId,
        /// When it was decided.
        decided_at: Timestamp,
    },
    /// The decision was made after the key had expired.
    #[error("decided at {decided_at}, after the key {kid} had expired")]
    Expired {
        /// The key.
        kid: KeyId,
        /// When it was decided.
        decided_at: Timestamp,
    },
    /// The signature does not fit.
    #[error("the signature does not fit what the receipt says")]
    Signature,
}

impl ReceiptFault {
    /// A word for tables, in kebab-case.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Preview => "receipt-preview",
            Self::UnknownKey(_) => "receipt-key-unknown",
            Self::Revoked { .. } => "receipt-key-revoked",
            Self::Purpose(_) => "receipt-key-purpose",
            Self::Deployment { .. } => "receipt-deployment",
            Self::NotYetValid { .. } => "receipt-key-not-yet-valid",
            Self::Expired { .. } => "receipt-key-expired",
            Self::Signature => "receipt-signature",
        }
    }
}

/// A trust file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It cannot be read.
    #[error("the trust file {path} cannot be read; `assay keys new --trust {path}` makes one")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("the trust file {path} cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("the trust file {path} is wrong: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The key is not in it.
    #[error("the key `{0}` is not in the trust file: `assay keys list` shows those that are")]
    UnknownKey(String),
    /// The key was revoked before.
    #[error("the key {kid} was revoked already, at {at}")]
    AlreadyRevoked {
        /// The key.
        kid: KeyId,
        /// When.
        at: Timestamp,
    },
}

/// The keys that settlement believes. In TOML, `[[key]]` for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    #[serde(default, rename = "key")]
    keys: Vec<TrustedKey>,
}

impl TrustFile {
    /// Reads a trust file and checks every key in it.
    ///
    /// # Errors
    /// A file that cannot be read or used; one wrong key spoils the file, so that a slip is found before it matters.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        let text = std::fs::read_to_string(path).map_err(|source| TrustError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|message| TrustError::Malformed {
            path: path.to_owned(),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        for (index, key) in file.keys.iter().enumerate() {
            if key.verifying_key().is_none() {
                return Err(format!(
                    "public_key of `{}` is no Ed25519 key of that name",
                    key.kid
                ));
            }
            if file.keys[..index].iter().any(|earlier| earlier.kid == key.kid) {
                return Err(format!("the key `{}` is there twice", key.kid));
            }
        }
        Ok(file)
    }

    /// Writes the file whole: whoever reads it meanwhile sees the old one or the new one.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TrustError> {
        let unwritable = |source| TrustError::Unwritable {
            path: path.to_owned(),
            source,
        };
        let text = toml::to_string(self).map_err(|error| unwritable(io::Error::other(error)))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(unwritable)?;
        file.write_all(format!("{HEADER}\n{text}").as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(unwritable)?;
        file.persist(path).map_err(|error| unwritable(error.error))?;
        Ok(())
    }

    /// The key of that name.
    pub fn key(&self, kid: &str) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.kid.as_str() == kid)
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Adds a key, or replaces what was said of it.
    pub fn add(&mut self, key: TrustedKey) {
        self.keys.retain(|known| known.kid != key.kid);
        self.keys.push(key);
    }

    /// Refuses everything that the key has signed or will sign, from `at` on.
    ///
    /// # Errors
    /// An unknown key, or one that was revoked before: the first time and reason stay.
    pub fn revoke(&mut self, kid: &str, at: Timestamp, reason: &str) -> Result<(), TrustError> {
        let key = self.keys.iter_mut().find(|key| key.kid.as_str() == kid);
        let key = key.ok_or_else(|| TrustError::UnknownKey(kid.to_owned()))?;
        if let Some(at) = key.revoked_at {
            return Err(TrustError::AlreadyRevoked {
                kid: key.kid.clone(),
                at,
            });
        }
        key.revoked_at = Some(at);
        key.reason = Some(reason.to_owned());
        Ok(())
    }

    /// Whether money may move on the receipt at `now`.
    ///
    /// A revoked key is refused whatever `decided_at` says: whoever stole it writes any date. An expired one is not: keys are
    /// changed in the ordinary course of things, and what was decided before may wait for days until it is settled.
    ///
    /// # Errors
    /// Says why the receipt is not believed.
    pub fn check(&self, receipt: &Receipt, now: Timestamp) -> Result<(), ReceiptFault> {
        match receipt.purpose {
            Purpose::Settle => {}
            Purpose::Preview => return Err(ReceiptFault::Preview),
        }
        let key = self.key(&receipt.kid);
        let key = key.ok_or_else(|| ReceiptFault::UnknownKey(receipt.kid.chars().take(64).collect()))?;
        let kid = || key.kid.clone();
        if !receipt.is_signed_by(key) {
            return Err(ReceiptFault::Signature);
        }
        if let Some(at) = key
            .revoked_at
            .filter(|at| now >= *at || receipt.decided_at >= *at)
        {
            let reason = key.reason.clone().unwrap_or_default();
            return Err(ReceiptFault::Revoked {
                kid: kid(),
                at,
                reason,
            });
        }
        if !key.purposes.contains(&Purpose::Settle) {
            return Err(ReceiptFault::Purpose(kid()));
        }
        if key.deployment != receipt.deployment {
            return Err(ReceiptFault::Deployment {
                kid: kid(),
                trusted: key.deployment.clone(),
                named: receipt.deployment.clone(),
            });
        }
        let decided_at = receipt.decided_at;
        if key.not_before.is_some_and(|from| decided_at < from) {
            return Err(ReceiptFault::NotYetValid {
                kid: kid(),
                decided_at,
            });
        }
        if key.not_after.is_some_and(|until| decided_at > until) {
            return Err(ReceiptFault::Expired {
                kid: kid(),
                decided_at,
            });
        }
        Ok(())
    }
}

/// The trust file of a process that runs for weeks: read again when it has changed, so that a key is revoked without a
/// restart.
#[derive(Debug)]
pub struct Trust {
    path: PathBuf,
    read: Mutex<(Version, Arc<TrustFile>)>,
}

/// Tells one version of a file from the next, also where a link is turned to another file.
type Version = (u64, u64, i64, i64, u64);

fn version(metadata: &Metadata) -> Version {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.size(),
    )
}

impl Trust {
    /// Reads the file.
    ///
    /// # Errors
    /// As [`TrustFile::read`].
    pub fn open(path: &Path) -> Result<Self, TrustError> {
        let read = Mutex::new(Self::read(path)?);
        let path = path.to_owned();
        Ok(Self { path, read })
    }

    /// The file as it is now.
    ///
    /// # Errors
    /// As [`TrustFile::read`]: what was read before no longer counts, since it may have been revoked.
    pub fn current(&self) -> Result<Arc<TrustFile>, TrustError> {
        let metadata = std::fs::metadata(&self.path).map_err(|source| TrustError::Unreadable {
            path: self.path.clone(),
            source,
        })?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != version(&metadata) {
            *read = Self::read(&self.path)?;
        }
        Ok(Arc::clone(&read.1))
    }

    fn read(path: &Path) -> Result<(Version, Arc<TrustFile>), TrustError> {
        // The version first: a file that changes in between is read once more, never once too few.
        let metadata = std::fs::metadata(path).map_err(|source| TrustError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Ok((version(&metadata), Arc::new(TrustFile::read(path)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::receipt;
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        time("2026-11-25T00:00:00Z")
    }

    /// A trust file with one key, changed, and a receipt of that key.
    fn signed(change: impl FnOnce(&mut TrustedKey)) -> (TrustFile, Receipt, SigningKey) {
        let key = SigningKey::generate();
        let mut trusted = TrustedKey::new(&key, "main", time("2026-11-01T00:00:00Z"));
        change(&mut trusted);
        let mut file = TrustFile::default();
        file.add(trusted);
        (file, receipt().sign(&key), key)
    }

    fn fault(change: impl FnOnce(&mut TrustedKey)) -> &'static str {
        let (file, receipt, _) = signed(change);
        match file.check(&receipt, now()) {
            Ok(()) => "believed",
            Err(fault) => fault.as_str(),
        }
    }

    #[test]
    fn a_receipt_of_a_valid_key_is_believed() {
        assert_eq!(fault(|_| ()), "believed");
    }

    #[test]
    fn a_key_says_from_when_to_when_and_for_what_it_counts() {
        assert_eq!(
            fault(|key| key.not_before = Some(now())),
            "receipt-key-not-yet-valid"
        );
        let before = Some(time("2026-11-24T08:59:59Z"));
        assert_eq!(fault(|key| key.not_after = before), "receipt-key-expired");
        assert_eq!(
            fault(|key| key.purposes = vec![Purpose::Preview]),
            "receipt-key-purpose"
        );
        assert_eq!(
            fault(|key| key.deployment = "staging".to_owned()),
            "receipt-deployment"
        );
    }

    #[test]
    fn an_expired_key_still_counts_for_what_it_signed_before_and_a_revoked_one_does_not() {
        let after = Some(time("2026-11-24T10:00:00Z"));
        assert_eq!(fault(|key| key.not_after = after), "believed");
        assert_eq!(fault(|key| key.revoked_at = after), "receipt-key-revoked");
        let tomorrow = Some(time("2026-11-26T00:00:00Z"));
        assert_eq!(fault(|key| key.revoked_at = tomorrow), "believed");
    }

    #[test]
    fn an_altered_receipt_a_preview_and_an_unknown_key_are_not_believed() {
        let (file, receipt, key) = signed(|_| ());
        let altered = Receipt {
            price_cents: Some(99_999),
            ..receipt.clone()
        };
        assert_eq!(file.check(&altered, now()), Err(ReceiptFault::Signature));
        for signature in ["", "x", "c2ln"] {
            let signature = signature.to_owned();
            let unsigned = Receipt {
                signature,
                ..receipt.clone()
            };
            assert_eq!(file.check(&unsigned, now()), Err(ReceiptFault::Signature));
        }
        let preview = Receipt {
            purpose: Purpose::Preview,
            ..receipt.clone()
        };
        assert_eq!(file.check(&preview.sign(&key), now()), Err(ReceiptFault::Preview));
        let stranger = receipt.sign(&SigningKey::generate());
        assert!(matches!(
            file.check(&stranger, now()),
            Err(ReceiptFault::UnknownKey(_))
        ));
    }

    #[test]
    fn a_trust_file_comes_back_as_it_was_written_and_a_wrong_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.toml");
        let (mut file, ..) = signed(|_| ());
        let kid = file.keys[0].kid.clone();
        file.write(&path).unwrap();
        assert_eq!(TrustFile::read(&path).unwrap(), file);
        file.revoke(kid.as_str(), now(), "laptop stolen").unwrap();
        file.write(&path).unwrap();
        assert_eq!(TrustFile::read(&path).unwrap(), file);
        assert!(matches!(
            file.revoke(kid.as_str(), now(), "again"),
            Err(TrustError::AlreadyRevoked { .. })
        ));
        let wrong = std::fs::read_to_string(&path)
            .unwrap()
            .replace("kid = \"", "kid = \"0");
        std::fs::write(&path, wrong).unwrap();
        assert!(matches!(
            TrustFile::read(&path),
            Err(TrustError::Malformed { .. })
        ));
    }

    #[test]
    fn a_key_is_revoked_without_a_restart_and_a_file_that_is_gone_is_no_trust() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.toml");
        let (mut file, receipt, _) = signed(|_| ());
        file.write(&path).unwrap();
        let trust = Trust::open(&path).unwrap();
        assert_eq!(trust.current().unwrap().check(&receipt, now()), Ok(()));
        file.revoke(&receipt.kid, now(), "stolen").unwrap();
        file.write(&path).unwrap();
        assert!(trust.current().unwrap().check(&receipt, now()).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(trust.current().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_reading_a_trust_file_panic(text: String) {
            let _ = TrustFile::parse(&text);
        }

        #[test]
        fn no_signature_makes_checking_panic(signature: Vec<u8>) {
            let (file, mut receipt, _) = signed(|_| ());
            receipt.signature = BASE64.encode(signature);
            proptest::prop_assert!(file.check(&receipt, now()).is_err());
        }
    }
}
