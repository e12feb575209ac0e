//! The anchor: checkpoints kept outside the database, where whoever owns the database does not write.
//!
//! A file, to which a line is appended and synced for each checkpoint, or a bucket with an object for each. Several workers may
//! write the same anchor: a file is locked, an object is never overwritten, and what is there already is left alone.

mod file;

use std::io;
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::checkpoint::Checkpoint;
use crate::evidence::store::{BlobStore, StoreError, Stores};

/// Objects of a bucket that are read side by side.
const READ_AT_A_TIME: usize = 16;

/// Where checkpoints are kept outside the database.
#[derive(Debug, Clone)]
pub enum Anchor {
    /// A file, one JSON object a line.
    File(PathBuf),
    /// A bucket, one object a checkpoint.
    Bucket(BlobStore),
}

/// What stands in an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchored {
    /// A checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// Something else, at this line or under this name.
    Malformed(String),
}

/// The anchor cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// The file cannot be read or written.
    #[error("the anchor {path} cannot be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bucket cannot be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be appended to what is no checkpoint.
    #[error("the anchor {place} holds what is no checkpoint, at {at}: `assay audit --all` says more")]
    Malformed {
        /// Where it is.
        place: String,
        /// Line or object.
        at: String,
    },
    /// A task died.
    #[error("the anchor was not written: a task died")]
    Lost,
}

impl Anchor {
    /// The anchor at `place`: a file's path, or `ALIAS:PREFIX` of a configured bucket.
    ///
    /// # Errors
    /// An unknown alias, settings that cannot be used.
    pub fn open(place: &str, stores: &Stores) -> Result<Self, AnchorError> {
        if place.contains(':') {
            return Ok(Self::Bucket(BlobStore::open(place, stores)?));
        }
        Ok(Self::File(place.into()))
    }

    /// Where it is.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bucket(store) => store.place().to_owned(),
        }
    }

    /// The number of the last checkpoint that is anchored; 0 where none is.
    ///
    /// # Errors
    /// Where the anchor cannot be read.
    pub async fn last(&self) -> Result<u64, AnchorError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                blocking(move || file::last_number(&path)).await
            }
            Self::Bucket(store) => {
                let names = store.names("checkpoints").await?;
                let numbers = names.iter().filter_map(|name| number_of(name));
                Ok(numbers.max().unwrap_or(0))
            }
        }
    }

    /// Appends the checkpoints that are not there yet, in their order, and syncs.
    ///
    /// # Errors
    /// Where the anchor cannot be written.
    pub async fn append(&self, checkpoints: Vec<Checkpoint>) -> Result<(), AnchorError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                blocking(move || file::append(&path, &checkpoints)).await
            }
            Self::Bucket(store) => {
                for checkpoint in &checkpoints {
                    store.put_new(&key(checkpoint.number), line(checkpoint)).await?;
                }
                Ok(())
            }
        }
    }

    /// Hands over every anchored checkpoint after number `after`, in the order in which they stand there, and whatever else
    /// stands among them.
    ///
    /// # Errors
    /// Where the anchor cannot be read.
    pub async fn read_after(
        &self,
        after: u64,
        mut visit: impl FnMut(Anchored) + Send + 'static,
    ) -> Result<(), AnchorError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                blocking(move || {
                    file::read(&path, |anchored| match anchored {
                        Anchored::Checkpoint(checkpoint) if checkpoint.number <= after => {}
                        Anchored::Checkpoint(_) | Anchored::Malformed(_) => visit(anchored),
                    })
                })
                .await
            }
            Self::Bucket(store) => {
                let names = store.names("checkpoints").await?;
                let wanted = names
                    .iter()
                    .filter(|name| number_of(name).is_none_or(|number| number > after));
                let mut read = stream::iter(wanted)
                    .map(|name| async move {
                        let bytes = store
                            .get(&format!("checkpoints/{name}"))
                            .await?
                            .unwrap_or_default();
                        let read = serde_json::from_slice(&bytes);
                        Ok::<_, AnchorError>(
                            read.map_or_else(|_| Anchored::Malformed(name.clone()), Anchored::Checkpoint),
                        )
                    })
                    .buffered(READ_AT_A_TIME);
                while let Some(anchored) = read.try_next().await? {
                    visit(anchored);
                }
                Ok(())
            }
        }
    }
}

/// Numbers of one length, so that the order of names is that of numbers.
fn key(number: u64) -> String {
    format!("checkpoints/{number:020}.json")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

fn line(checkpoint: &Checkpoint) -> Vec<u8> {
    // Nothing in a checkpoint can fail to be written as JSON.
    let mut line = serde_json::to_vec(checkpoint).unwrap_or_default();
    line.push(b'\n');
    line
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnchorError> + Send + 'static,
) -> Result<T, AnchorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| AnchorError::Lost)?
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::checkpoint::Leaf;
    use crate::digest::Digest;
    use crate::entry::VerificationId;
    use crate::receipt::SigningKey;

    fn chain(length: usize) -> Vec<Checkpoint> {
        let key = SigningKey::generate();
        let mut chain: Vec<Checkpoint> = Vec::new();
        for _ in 0..length {
            let leaf = Leaf {
                verification_id: VerificationId::new(),
                head: Digest::of(b"head"),
                state: "verified".to_owned(),
                decision: None,
            };
            chain.push(Checkpoint::next(
                chain.last(),
                &[leaf],
                None,
                (&key, "main"),
                Timestamp::UNIX_EPOCH,
            ));
        }
        chain
    }

    async fn read(anchor: &Anchor) -> Vec<Anchored> {
        let (read, all) = std::sync::mpsc::channel();
        anchor
            .read_after(0, move |anchored| read.send(anchored).unwrap())
            .await
            .unwrap();
        all.iter().collect()
    }

    fn anchored(chain: &[Checkpoint]) -> Vec<Anchored> {
        chain
            .iter()
            .cloned()
            .map(Box::new)
            .map(Anchored::Checkpoint)
            .collect()
    }

    async fn keeps_each_once(anchor: Anchor) {
        let chain = chain(5);
        assert_eq!(anchor.last().await.unwrap(), 0);
        anchor.append(chain[..2].to_vec()).await.unwrap();
        anchor.append(chain[..4].to_vec()).await.unwrap();
        assert_eq!(anchor.last().await.unwrap(), 4);
        anchor.append(chain[4..].to_vec()).await.unwrap();
        assert_eq!(read(&anchor).await, anchored(&chain));
    }

    #[tokio::test]
    async fn an_anchor_keeps_each_checkpoint_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        keeps_each_once(Anchor::File(folder.path().join("anchor.jsonl"))).await;
        let store = BlobStore::open(&folder.path().join("b").display().to_string(), &Stores::new()).unwrap();
        keeps_each_once(Anchor::Bucket(store)).await;
    }

    #[tokio::test]
    async fn a_line_that_a_crash_left_half_written_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor.jsonl");
        let anchor = Anchor::File(path.clone());
        let chain = chain(3);
        anchor.append(chain[..1].to_vec()).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"number\":2,"].concat()).unwrap();
        assert_eq!(read(&anchor).await, anchored(&chain[..1]));
        anchor.append(chain.clone()).await.unwrap();
        assert_eq!(read(&anchor).await, anchored(&chain));
    }

    #[tokio::test]
    async fn what_is_no_checkpoint_is_read_past_and_never_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor.jsonl");
        let anchor = Anchor::File(path.clone());
        let chain = chain(3);
        anchor.append(chain[..2].to_vec()).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [b"nonsense\n", &whole[..]].concat()).unwrap();
        let nonsense = Anchored::Malformed("line 1".to_owned());
        assert_eq!(
            read(&anchor).await,
            [vec![nonsense], anchored(&chain[..2])].concat()
        );
        std::fs::write(&path, [&whole[..], b"nonsense\n"].concat()).unwrap();
        let refused = anchor.append(chain.clone()).await;
        assert!(
            matches!(refused, Err(AnchorError::Malformed { .. })),
            "{refused:?}"
        );
    }
}
