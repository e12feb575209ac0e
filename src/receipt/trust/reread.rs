//! The trust file as a process that runs for weeks has it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{TrustError, TrustFile};

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
    use super::super::check::tests::{now, signed};
    use super::*;

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
}
