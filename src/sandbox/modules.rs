//! Checks as files, and as what they become.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Refusal;

/// Largest module that is accepted, binary or text, in bytes.
pub(super) const MODULE_BYTES: usize = 32 << 20;

/// SHA-256 of a check's file as its author handed it over, binary or text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModuleDigest([u8; 32]);

impl ModuleDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    pub(super) fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The file of a check: a wasm component, or the text of one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    bytes: Arc<[u8]>,
    digest: ModuleDigest,
}

impl ModuleSource {
    /// A source of the content of a `.wasm` or `.wat` file.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let digest = ModuleDigest::of(&bytes);
        Self { bytes, digest }
    }

    /// Digest of the file.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.digest
    }

    /// Content of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Refuses what is too large before anything is spent on it.
    pub(super) fn check_size(&self) -> Result<(), Refusal> {
        if self.bytes.len() > MODULE_BYTES {
            return Err(Refusal::TooLarge {
                bytes: self.bytes.len() as u64,
                limit: MODULE_BYTES as u64,
            });
        }
        Ok(())
    }
}

/// What is known of a compiled module: the entry of the cache, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compiled {
    /// Digest of the native code, which is also its name in the cache.
    pub(super) native: ModuleDigest,
    pub(super) native_bytes: u64,
    pub(super) exports: Vec<String>,
    pub(super) compile_millis: u64,
}

/// A check that can be run: validated, compiled, in the cache. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Module {
    pub(super) source: ModuleSource,
    pub(super) compiled: Arc<Compiled>,
}

impl Module {
    /// Digest of the check's file.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.source.digest()
    }

    pub(super) fn exports(&self, function: &str) -> bool {
        self.compiled.exports.iter().any(|name| name == function)
    }
}

/// What can be said of a check without running it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Digest of the file.
    pub digest: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Names of what it imports.
    pub imports: Vec<String>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// How long compiling took, when it was done.
    pub compile_millis: u64,
    /// Size of the native code in bytes.
    pub native_bytes: u64,
    /// It was found in the cache.
    pub cached: bool,
    /// Why it cannot be run as a check, if so.
    pub refused: Option<Refusal>,
}
