//! Blobs by key, in a folder or a bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use secrecy::{ExposeSecret as _, SecretString};

/// A store cannot be used. No message holds a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("the folder {place} cannot be made or opened")]
    Folder {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The place is a URL, or an alias that nobody has configured.
    #[error(
        "`{0}` is no folder and no configured store: name the bucket as [stores.NAME] in assay.toml, then use NAME:PREFIX"
    )]
    Unnamed(String),
    /// The store's settings cannot be used.
    #[error("[stores.{name}]: {message}")]
    Settings {
        /// The alias.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// It was not reached, or refused.
    #[error("the store {place} cannot be read or written")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// It served other bytes than were stored.
    #[error(
        "the store {place} serves other bytes than sha256 {sha256}: it was changed, or its disk is damaged"
    )]
    Changed {
        /// Where.
        place: String,
        /// What was asked for.
        sha256: crate::digest::Digest,
    },
}

/// A bucket that the operator has named.
#[derive(Clone)]
pub struct StoreSettings {
    /// `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Options of the protocol, e.g. `endpoint`, `region`, `access_key_id`, `secret_access_key`.
    pub options: BTreeMap<String, SecretString>,
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("StoreSettings")
            .field("url", &self.url)
            .field("options", &options)
            .finish()
    }
}

/// The buckets by alias.
pub type Stores = BTreeMap<String, StoreSettings>;

/// Blobs by key. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
}

impl BlobStore {
    /// Opens `place`: a path of a folder, which is made where it is missing, or `ALIAS:PREFIX`.
    ///
    /// # Errors
    /// A folder that cannot be made, an unknown alias, settings that cannot be used.
    pub fn open(place: &str, stores: &Stores) -> Result<Self, StoreError> {
        if let Some((alias, prefix)) = place.split_once(':') {
            return match stores.get(alias) {
                Some(settings) => bucket(place, alias, settings, prefix),
                None => Err(StoreError::Unnamed(place.to_owned())),
            };
        }
        let folder = FilePath::new(place);
        let failed = |source| StoreError::Folder {
            place: place.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| failed(std::io::Error::other(error)))?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::default(),
            place: place.to_owned(),
        })
    }

    /// The blob; `None` where there is none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let got = match self.store.get(&self.at(key)).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    /// Whether there is such a blob.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn has(&self, key: &str) -> Result<bool, StoreError> {
        match self.store.head(&self.at(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    /// Stores a blob, over an earlier one of that key.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let put = self.store.put(&self.at(key), bytes.into()).await;
        put.map(drop).map_err(|source| self.unreachable(source))
    }

    /// Stores a blob unless there is one of that key: `false`.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.at(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    /// Deletes a blob; one that is not there is no error.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.store.delete(&self.at(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    /// The last parts of all keys below `folder`, sorted.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let below = self.at(folder);
        let listed = self.store.list(Some(&below)).map_ok(|meta| meta.location);
        let listed: Vec<Path> = listed
            .try_collect()
            .await
            .map_err(|source| self.unreachable(source))?;
        let mut names: Vec<_> = listed
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Where it is, without credentials.
    pub fn place(&self) -> &str {
        &self.place
    }

    fn at(&self, key: &str) -> Path {
        let parts = key.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn unreachable(&self, source: object_store::Error) -> StoreError {
        StoreError::Unreachable {
            place: self.place.clone(),
            source,
        }
    }
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlobStore").field(&self.place).finish()
    }
}

fn bucket(place: &str, alias: &str, settings: &StoreSettings, prefix: &str) -> Result<BlobStore, StoreError> {
    let wrong = |message: String| StoreError::Settings {
        name: alias.to_owned(),
        message,
    };
    let Some(rest) = settings.url.strip_prefix("s3://") else {
        return Err(wrong("url must be s3://BUCKET or s3://BUCKET/PREFIX".to_owned()));
    };
    let (bucket, below) = rest.split_once('/').unwrap_or((rest, ""));
    crate::tls::install_provider();
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
    for (name, value) in &settings.options {
        let key: AmazonS3ConfigKey = name
            .parse()
            .map_err(|_| wrong(format!("options.{name} is no option of S3")))?;
        builder = builder.with_config(key, value.expose_secret());
    }
    let store = builder.build().map_err(|error| wrong(error.to_string()))?;
    let parts = below
        .split('/')
        .chain(prefix.split('/'))
        .filter(|part| !part.is_empty());
    Ok(BlobStore {
        store: Arc::new(store),
        prefix: parts.fold(Path::default(), |path, part| path.join(part)),
        place: place.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_keeps_what_is_put_and_forgets_what_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new").display().to_string();
        let store = BlobStore::open(&place, &Stores::new()).unwrap();
        assert_eq!(store.get("a/b").await.unwrap(), None);
        store.put("a/b", b"one".to_vec()).await.unwrap();
        assert!(!store.put_new("a/b", b"two".to_vec()).await.unwrap());
        assert!(store.put_new("a/c", b"two".to_vec()).await.unwrap());
        assert_eq!(store.get("a/b").await.unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(store.names("a").await.unwrap(), ["b", "c"]);
        store.delete("a/b").await.unwrap();
        store.delete("a/b").await.unwrap();
        assert!(!store.has("a/b").await.unwrap());
    }

    #[test]
    fn a_bucket_is_used_by_its_alias_only_and_no_error_tells_a_credential() {
        let error = BlobStore::open("s3://bucket/x", &Stores::new()).unwrap_err();
        insta::assert_snapshot!(error, @"`s3://bucket/x` is no folder and no configured store: name the bucket as [stores.NAME] in assay.toml, then use NAME:PREFIX");
        let settings = |url: &str, option: &str| StoreSettings {
            url: url.to_owned(),
            options: BTreeMap::from([(option.to_owned(), SecretString::from("canary"))]),
        };
        let open = |settings| BlobStore::open("b:p", &Stores::from([("b".to_owned(), settings)]));
        assert!(open(settings("s3://bucket/x", "region")).is_ok());
        let error = open(settings("s3://bucket/x", "no_such_thing")).unwrap_err();
        insta::assert_snapshot!(error, @"[stores.b]: options.no_such_thing is no option of S3");
        let error = open(settings("ftp://x", "region")).unwrap_err();
        insta::assert_snapshot!(error, @"[stores.b]: url must be s3://BUCKET or s3://BUCKET/PREFIX");
        assert!(!format!("{:?}", settings("s3://b", "region")).contains("canary"));
    }
}
