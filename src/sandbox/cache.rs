//! Native code on disk, so that a module is compiled once and not per job.
//!
//! Native code is run as it is, so the directory must belong to us alone. Two kinds of files live in it:
//! `SOURCE-ENGINE.json` says what the module with that digest became under that engine, and `NATIVE.cwasm` is
//! native code under the name of its own digest. Both are written beside their place and renamed, and
//! neither is ever written a second time with other content, so processes may share a cache.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::SandboxError;
use super::modules::{Compiled, ModuleDigest};

/// Largest entry that is read.
const ENTRY_BYTES: u64 = 1 << 20;
/// What is read at once of native code.
const CHUNK: usize = 256 << 10;

/// The cache of one engine.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    fingerprint: String,
}

impl Cache {
    /// Opens the cache in a directory, which is made if it is missing.
    pub(super) fn open(directory: PathBuf, fingerprint: String) -> Result<Self, SandboxError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(SandboxError::Cache)?;
        let metadata = fs::symlink_metadata(&directory).map_err(SandboxError::Cache)?;
        let problem = if !metadata.is_dir() {
            Some("is not a directory".to_owned())
        } else if metadata.uid() != rustix::process::geteuid().as_raw() {
            Some(format!("belongs to user {}", metadata.uid()))
        } else if metadata.mode() & 0o077 != 0 {
            Some(format!(
                "is open to others (mode {:o}), chmod it to 700",
                metadata.mode() & 0o777
            ))
        } else {
            None
        };
        match problem {
            Some(problem) => Err(SandboxError::UnsafeCache {
                path: directory,
                problem,
            }),
            None => Ok(Self {
                directory,
                fingerprint,
            }),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn entry(&self, source: ModuleDigest) -> PathBuf {
        self.directory.join(format!("{source}-{}.json", self.fingerprint))
    }

    /// What the module became, if its native code is there and undamaged.
    pub(super) fn find(&self, source: ModuleDigest) -> Option<Compiled> {
        let mut text = Vec::new();
        File::open(self.entry(source))
            .ok()?
            .take(ENTRY_BYTES)
            .read_to_end(&mut text)
            .ok()?;
        let compiled: Compiled = serde_json::from_slice(&text).ok()?;
        verify(&native_path(&self.directory, compiled.native), compiled.native).ok()?;
        Some(compiled)
    }

    /// Keeps native code, and then the entry that names it.
    pub(super) fn store(&self, source: ModuleDigest, compiled: &Compiled, native: &[u8]) -> io::Result<()> {
        self.write(&native_path(&self.directory, compiled.native), native)?;
        self.write(&self.entry(source), &serde_json::to_vec(compiled)?)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }
}

/// Where native code with this digest is.
pub(super) fn native_path(directory: &Path, native: ModuleDigest) -> PathBuf {
    directory.join(format!("{native}.cwasm"))
}

/// Checks that a file has the content that its name promises.
pub(super) fn verify(path: &Path, expected: ModuleDigest) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hasher.update(&chunk[..read]),
        }
    }
    if ModuleDigest::from_hasher(hasher) == expected {
        Ok(())
    } else {
        Err(io::Error::other(
            "the content has another digest than its name says",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn compiled(native: &[u8]) -> Compiled {
        Compiled {
            native: ModuleDigest::of(native),
            native_bytes: native.len() as u64,
            exports: vec!["grade".into()],
            compile_millis: 3,
        }
    }

    #[test]
    fn an_entry_is_found_under_its_own_engine_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), "a".into()).unwrap();
        let source = ModuleDigest::of(b"source");
        cache.store(source, &compiled(b"native"), b"native").unwrap();
        assert_eq!(cache.find(source), Some(compiled(b"native")));
        assert_eq!(
            Cache::open(cache.directory, "b".into()).unwrap().find(source),
            None
        );
    }

    #[test]
    fn damaged_code_and_entries_are_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), "a".into()).unwrap();
        let source = ModuleDigest::of(b"source");
        cache.store(source, &compiled(b"native"), b"native").unwrap();
        fs::write(
            native_path(&cache.directory, compiled(b"native").native),
            b"natives",
        )
        .unwrap();
        assert_eq!(cache.find(source), None);
        cache.store(source, &compiled(b"native"), b"native").unwrap();
        assert!(cache.find(source).is_some());
        fs::write(cache.entry(source), b"{").unwrap();
        assert_eq!(cache.find(source), None);
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(path.clone(), String::new()).unwrap_err();
        assert!(
            error.to_string().contains("is open to others (mode 755)"),
            "{error}"
        );
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(
            Cache::open(link, String::new()),
            Err(SandboxError::UnsafeCache { .. })
        ));
    }
}
