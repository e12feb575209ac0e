//! The attachments of a hand-in, as they were when it was judged: fetched again, or our originals.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use super::case::Case;
use super::error::ReverifyError;
use crate::causes::in_full;
use crate::digest::Digest;
use crate::evidence::store::EvidenceStore;
use crate::evidence::{Sources, collect};
use crate::job::Attachment;
use crate::submission::{EvidenceFile, FileRole, RecordedFile, Submission};

/// Where the bytes that were judged are kept, by their digest.
#[async_trait]
pub trait Originals: Send + Sync {
    /// The bytes of that digest; none where they are not kept, or no longer.
    ///
    /// # Errors
    /// A store that cannot be read, or holds other bytes: in words.
    async fn original(&self, sha256: Digest) -> Result<Option<Vec<u8>>, String>;
}

#[async_trait]
impl Originals for EvidenceStore {
    async fn original(&self, sha256: Digest) -> Result<Option<Vec<u8>>, String> {
        self.get(sha256).await.map_err(|error| in_full(&error))
    }
}

/// A file that is another one than was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedFile {
    /// Its name.
    pub name: String,
    /// The sha256 of what was judged; none where there was no such file.
    pub then: Option<Digest>,
    /// The sha256 of what is there now; none where there is no such file any more.
    pub now: Option<Digest>,
}

impl fmt::Display for ChangedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_nothing =
            |digest: Option<Digest>| digest.map_or("nothing".to_owned(), |digest| digest.to_string());
        write!(
            f,
            "`{}` had sha256 {} and has {} now",
            self.name,
            or_nothing(self.then),
            or_nothing(self.now)
        )
    }
}

/// The case's submission with the files that were judged.
///
/// # Errors
/// Where they are not to be had: names each with both hashes.
pub(super) async fn obtain(
    case: &Case,
    sources: Sources,
    originals: Option<&dyn Originals>,
) -> Result<Submission, ReverifyError> {
    let judged = case.message.receipt.evidence;
    match collect(case.submission(), sources).await {
        Ok(submission) if submission.evidence == judged => Ok(submission),
        Ok(submission) => match restore(case, originals).await? {
            Some(restored) => Ok(restored),
            None => Err(ReverifyError::Changed(changed(
                &case.told.files,
                &submission,
                case,
            ))),
        },
        Err(error) => match restore(case, originals).await? {
            Some(restored) => Ok(restored),
            None => Err(ReverifyError::Unobtainable(error)),
        },
    }
}

fn changed(then: &[RecordedFile], now: &Submission, case: &Case) -> Vec<ChangedFile> {
    let places = 0..then.len().max(now.files.len());
    let changed: Vec<_> = places
        .filter_map(|place| {
            let (then, now) = (then.get(place), now.files.get(place));
            let name = then.map(|file| &file.name).or(now.map(|file| &file.name))?;
            let (then, now) = (then.map(|file| file.sha256), now.map(|file| file.sha256));
            (then != now).then(|| ChangedFile {
                name: name.clone(),
                then,
                now,
            })
        })
        .collect();
    if changed.is_empty() {
        // The log does not tell of the files any more: the digest over all of them still does.
        return vec![ChangedFile {
            name: "all files together".to_owned(),
            then: Some(case.message.receipt.evidence),
            now: Some(now.evidence),
        }];
    }
    changed
}

/// The files that were judged, from where originals are kept; none where one is missing.
async fn restore(
    case: &Case,
    originals: Option<&dyn Originals>,
) -> Result<Option<Submission>, ReverifyError> {
    let Some(originals) = originals else {
        return Ok(None);
    };
    // What was wrong with a hand-in is found by fetching it only.
    if case.message.graders.iter().any(|grader| grader.kind == "hand-in") {
        return Ok(None);
    }
    let mut submission = case.submission();
    let inputs = submission.input_attachments.len();
    let folder = tempfile::Builder::new().prefix("assay-evidence-").tempdir()?;
    let mut files = Vec::new();
    for (place, recorded) in case.told.files.iter().enumerate() {
        let found = originals.original(recorded.sha256).await;
        let bytes = found.map_err(|what| ReverifyError::Inconsistent {
            id: case.decision.verification_id,
            what: format!("the original of `{}`: {what}", recorded.name),
        })?;
        let Some(bytes) = bytes.filter(|bytes| Digest::of(bytes) == recorded.sha256) else {
            return Ok(None);
        };
        // A decided verification has collected every input, and inputs come first.
        let (role, stated) = match place.checked_sub(inputs) {
            None => (FileRole::Input, submission.input_attachments.get(place)),
            Some(place) => (FileRole::Output, submission.output_attachments.get(place)),
        };
        let path = folder.path().join(place.to_string());
        write_read_only(&path, &bytes)?;
        files.push(EvidenceFile {
            name: recorded.name.clone(),
            content_type: stated.and_then(|stated: &Attachment| stated.content_type.clone()),
            size: recorded.size,
            sha256: recorded.sha256,
            role,
            path,
        });
    }
    submission.set_files(files, Arc::new(folder));
    Ok((submission.evidence == case.message.receipt.evidence).then_some(submission))
}

fn write_read_only(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)?;
    let mut permissions = std::fs::metadata(path)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions)
}
