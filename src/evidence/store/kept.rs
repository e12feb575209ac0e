//! The evidence store: bytes by their sha256.

use super::{BlobStore, StoreError};
use crate::digest::Digest;

/// Files of hand-ins by the digest of their bytes, in a folder or a bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EvidenceStore(BlobStore);

impl EvidenceStore {
    /// Keeps evidence there.
    pub fn new(store: BlobStore) -> Self {
        Self(store)
    }

    /// The bytes of that digest, checked; `None` where they are not kept, or no longer.
    ///
    /// # Errors
    /// A store that cannot be read, or serves other bytes.
    pub async fn get(&self, sha256: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match self.0.get(&key(sha256)).await? {
            Some(bytes) if Digest::of(&bytes) != sha256 => Err(StoreError::Changed {
                place: self.place().to_owned(),
                sha256,
            }),
            found => Ok(found),
        }
    }

    /// Keeps bytes, once.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn put(&self, sha256: Digest, bytes: Vec<u8>) -> Result<(), StoreError> {
        if self.0.has(&key(sha256)).await? {
            return Ok(());
        }
        self.0.put(&key(sha256), bytes).await
    }

    /// Whether the bytes are kept.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn has(&self, sha256: Digest) -> Result<bool, StoreError> {
        self.0.has(&key(sha256)).await
    }

    /// Deletes bytes for good.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn delete(&self, sha256: Digest) -> Result<(), StoreError> {
        self.0.delete(&key(sha256)).await
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        self.0.place()
    }
}

/// Two digits of the digest as a folder: no folder grows too large.
fn key(sha256: Digest) -> String {
    let digest = sha256.to_string();
    format!("sha256/{}/{digest}", &digest[..2])
}

#[cfg(test)]
mod tests {
    use super::super::Stores;
    use super::*;

    #[tokio::test]
    async fn bytes_that_were_changed_in_the_store_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&folder.path().display().to_string(), &Stores::new()).unwrap();
        let evidence = EvidenceStore::new(store.clone());
        let sha256 = Digest::of(b"a,b\n");
        evidence.put(sha256, b"a,b\n".to_vec()).await.unwrap();
        assert_eq!(
            evidence.get(sha256).await.unwrap().as_deref(),
            Some(&b"a,b\n"[..])
        );
        store.put(&key(sha256), b"a,c\n".to_vec()).await.unwrap();
        assert!(matches!(
            evidence.get(sha256).await,
            Err(StoreError::Changed { .. })
        ));
        evidence.delete(sha256).await.unwrap();
        assert_eq!(evidence.get(sha256).await.unwrap(), None);
    }
}
