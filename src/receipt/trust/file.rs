//! The file itself: read, checked whole, written.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TrustedKey;
use crate::receipt::KeyId;

/// What the file says of itself.
const HEADER: &str = "\
# Keys whose receipts this settlement believes: written by `assay keys new`, ended by `assay keys revoke`.
# A receipt counts if its key was valid when it was signed, and is not revoked now.
";

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
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::{now, signed};
    use super::*;

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

    proptest::proptest! {
        #[test]
        fn no_text_makes_reading_a_trust_file_panic(text: String) {
            let _ = TrustFile::parse(&text);
        }
    }
}
