//! The anchor: checkpoints kept outside the database, where whoever owns the database does not write.
//!
//! A file, to which a line is appended and synced for each checkpoint, or a bucket with an object for each. Several workers may
//! write the same anchor: a file is locked, an object is never overwritten, and what is there already is left alone.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::checkpoint::Checkpoint;
use crate::evidence::store::{BlobStore, StoreError, Stores};

/// Enough for the last line of a file.
const TAIL: u64 = 4_096;

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
    /// It holds what is no checkpoint.
    #[error("the anchor {place} holds what is no checkpoint, at {at}")]
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
                blocking(move || match File::open(&path) {
                    Ok(mut file) => last_number(&mut file, &path),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                    Err(source) => Err(AnchorError::File { path, source }),
                })
                .await
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
                blocking(move || append_to_file(&path, &checkpoints)).await
            }
            Self::Bucket(store) => {
                for checkpoint in &checkpoints {
                    store.put_new(&key(checkpoint.number), line(checkpoint)).await?;
                }
                Ok(())
            }
        }
    }

    /// Hands over every anchored checkpoint after number `after`, in the order in which they stand there.
    ///
    /// # Errors
    /// Where the anchor cannot be read, or holds something else.
    pub async fn read_after(
        &self,
        after: u64,
        mut visit: impl FnMut(Checkpoint) + Send + 'static,
    ) -> Result<(), AnchorError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                blocking(move || {
                    read_file(&path, |checkpoint| {
                        if checkpoint.number > after {
                            visit(checkpoint);
                        }
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
                        serde_json::from_slice(&bytes).map_err(|_| malformed(store.place(), name))
                    })
                    .buffered(READ_AT_A_TIME);
                while let Some(checkpoint) = read.try_next().await? {
                    visit(checkpoint);
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

fn malformed(place: &str, at: impl Into<String>) -> AnchorError {
    AnchorError::Malformed {
        place: place.to_owned(),
        at: at.into(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnchorError> + Send + 'static,
) -> Result<T, AnchorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| AnchorError::Lost)?
}

fn append_to_file(path: &Path, checkpoints: &[Checkpoint]) -> Result<(), AnchorError> {
    let failed = |source| AnchorError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    let last = last_number(&mut file, path)?;
    let new = checkpoints.iter().filter(|checkpoint| checkpoint.number > last);
    let lines: Vec<u8> = new.flat_map(line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    // A line that a crash left half-written ends here: audits skip nothing, so it is cut off rather than continued.
    cut_half_line(&mut file).map_err(failed)?;
    file.write_all(&lines).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// The number in the last whole line.
fn last_number(file: &mut File, path: &Path) -> Result<u64, AnchorError> {
    let failed = |source| AnchorError::File {
        path: path.to_owned(),
        source,
    };
    let length = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .map_err(failed)?;
    let mut tail = String::new();
    file.take(TAIL).read_to_string(&mut tail).map_err(failed)?;
    let whole = tail.rfind('\n').map_or("", |end| &tail[..end]);
    let Some(last) = whole.rsplit('\n').next().filter(|last| !last.is_empty()) else {
        return Ok(0);
    };
    let checkpoint: Checkpoint =
        serde_json::from_str(last).map_err(|_| malformed(&path.display().to_string(), "the last line"))?;
    Ok(checkpoint.number)
}

fn cut_half_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let whole = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let half = (tail.len() - whole) as u64;
    if half > 0 {
        file.set_len(length - half)?;
    }
    Ok(())
}

fn read_file(path: &Path, mut visit: impl FnMut(Checkpoint)) -> Result<(), AnchorError> {
    let failed = |source| AnchorError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        // Before the first checkpoint there is none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut reader = BufReader::new(file);
    let mut text = String::new();
    for number in 1_u64.. {
        text.clear();
        if reader.read_line(&mut text).map_err(failed)? == 0 {
            break;
        }
        match serde_json::from_str(&text) {
            Ok(checkpoint) => visit(checkpoint),
            // The half of a line that a crash left, or that is being written.
            Err(_) if !text.ends_with('\n') => break,
            Err(_) => return Err(malformed(&path.display().to_string(), format!("line {number}"))),
        }
    }
    Ok(())
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
                (&key, "main"),
                Timestamp::UNIX_EPOCH,
            ));
        }
        chain
    }

    async fn read(anchor: &Anchor) -> Result<Vec<Checkpoint>, AnchorError> {
        let (read, all) = std::sync::mpsc::channel();
        anchor
            .read_after(0, move |checkpoint| read.send(checkpoint).unwrap())
            .await?;
        Ok(all.iter().collect())
    }

    async fn keeps_each_once(anchor: Anchor) {
        let chain = chain(5);
        assert_eq!(anchor.last().await.unwrap(), 0);
        anchor.append(chain[..2].to_vec()).await.unwrap();
        anchor.append(chain[..4].to_vec()).await.unwrap();
        assert_eq!(anchor.last().await.unwrap(), 4);
        anchor.append(chain[4..].to_vec()).await.unwrap();
        assert_eq!(read(&anchor).await.unwrap(), chain);
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
        assert_eq!(read(&anchor).await.unwrap(), chain[..1]);
        anchor.append(chain.clone()).await.unwrap();
        assert_eq!(read(&anchor).await.unwrap(), chain);
        std::fs::write(&path, [&whole[..], b"nonsense\n"].concat()).unwrap();
        assert!(matches!(read(&anchor).await, Err(AnchorError::Malformed { .. })));
    }
}
