//! Stores outside the database, by key: a folder, or a bucket that the operator has named. Only this folder knows
//! `object_store`.

mod blobs;
mod kept;

pub use blobs::{BlobStore, StoreError, StoreSettings, Stores};
pub use kept::EvidenceStore;
