//! Which files have changed since last looked.
//!
//! Looks at the clock of each file again and again rather than ask the kernel for news: that works on every file system
//! (mounted from elsewhere, linked, in a container), and editors that write a new file and rename it need no special
//! case. A look at a thousand files takes a few milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Time between two looks. Long ones make it longer: looking takes a fifth of the time at most.
const LOOK: Duration = Duration::from_millis(100);

/// Time without a further change after which a change counts as whole.
const QUIET: Duration = Duration::from_millis(40);

/// Looks after which a change counts even though the files keep changing.
const MOST_LOOKS: usize = 20;

/// What tells one content of a file from the next: time of change in nanoseconds, size, and which file it is.
type Stamp = (i64, i64, u64, u64);
type Stamps = BTreeMap<PathBuf, Stamp>;

/// Watches the files below some folders.
pub struct Watch {
    roots: Vec<PathBuf>,
    stamps: Stamps,
}

impl Watch {
    /// Begins to watch: what changes from now on is seen. A root may be a file, and may not exist yet.
    pub fn begin(roots: Vec<PathBuf>) -> Self {
        let stamps = look(&roots);
        Self { roots, stamps }
    }

    /// Waits until files have changed and come to rest, and names those that are new, other or gone; none once it is
    /// called off.
    pub async fn changed(&mut self, cancel: &CancellationToken) -> Option<BTreeSet<PathBuf>> {
        loop {
            let started = Instant::now();
            let mut now = self.look().await?;
            if now != self.stamps {
                for _ in 0..MOST_LOOKS {
                    sleep(QUIET).await;
                    let later = self.look().await?;
                    let quiet = later == now;
                    now = later;
                    if quiet {
                        break;
                    }
                }
                let changed = differing(&self.stamps, &now);
                self.stamps = now;
                if !changed.is_empty() {
                    return Some(changed);
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return None,
                () = sleep(LOOK.max(4 * started.elapsed())) => {}
            }
        }
    }

    async fn look(&self) -> Option<Stamps> {
        let roots = self.roots.clone();
        tokio::task::spawn_blocking(move || look(&roots)).await.ok()
    }
}

fn look(roots: &[PathBuf]) -> Stamps {
    let mut stamps = Stamps::new();
    for root in roots {
        let entries = walkdir::WalkDir::new(root)
            .follow_links(true)
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_passing(entry.file_name()));
        for entry in entries.flatten().filter(|entry| entry.file_type().is_file()) {
            if let Ok(metadata) = entry.metadata() {
                let stamp = (
                    metadata.mtime(),
                    metadata.mtime_nsec(),
                    metadata.size(),
                    metadata.ino(),
                );
                stamps.insert(entry.into_path(), stamp);
            }
        }
    }
    stamps
}

/// Whether it is hidden, or an editor's own copy: neither is a fixture's.
fn is_passing(name: &std::ffi::OsStr) -> bool {
    let name = Path::new(name).to_string_lossy();
    name.starts_with('.') || name.ends_with('~')
}

fn differing(before: &Stamps, now: &Stamps) -> BTreeSet<PathBuf> {
    let new_or_other = now
        .iter()
        .filter(|(path, stamp)| before.get(*path) != Some(*stamp));
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    new_or_other.chain(gone).map(|(path, _)| path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn changed(watch: &mut Watch, folder: &Path) -> Vec<String> {
        let cancel = CancellationToken::new();
        let wait = watch.changed(&cancel);
        let changed = tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .unwrap()
            .unwrap();
        let below = changed
            .iter()
            .map(|path| path.strip_prefix(folder).unwrap().display().to_string());
        below.collect()
    }

    #[tokio::test]
    async fn new_changed_renamed_and_deleted_files_are_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("below")).unwrap();
        fs::write(path("a"), "1").unwrap();
        fs::write(path("below/b"), "1").unwrap();
        let mut watch = Watch::begin(vec![folder.path().to_owned()]);
        fs::write(path("a"), "22").unwrap();
        fs::write(path("new"), "").unwrap();
        assert_eq!(changed(&mut watch, folder.path()).await, ["a", "new"]);
        // As editors save: a new file takes the name of the old one.
        fs::write(path("below/.b.swp"), "2").unwrap();
        fs::rename(path("below/.b.swp"), path("below/b")).unwrap();
        assert_eq!(changed(&mut watch, folder.path()).await, ["below/b"]);
        fs::remove_file(path("a")).unwrap();
        assert_eq!(changed(&mut watch, folder.path()).await, ["a"]);
    }

    #[tokio::test]
    async fn a_watch_that_is_called_off_ends() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert_eq!(Watch::begin(Vec::new()).changed(&cancel).await, None);
    }

    #[test]
    fn what_an_editor_keeps_beside_a_file_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let roots = vec![folder.path().to_owned()];
        let before = look(&roots);
        for name in [".a.swp", "a~", ".#a"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(look(&roots), before);
    }
}
