//! Evidence: a submission's attachments, collected into a read-only folder of ours.
//!
//! A stated sha256 is checked; names, sizes and media types are claims, and what we measured is what graders see. A file that the submitter
//! spoiled is a [`Fault`]; a host that does not answer is our trouble ([`GradeError`]).

mod fetch;
mod local;
mod name;
mod source;
pub mod store;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;
use crate::entry::cut;
use crate::job::Attachment;
use crate::submission::{EvidenceFile, Fault, FileRole, Submission};
use crate::verdict::{ErrorKind, GradeError};
pub use fetch::{GoneForGood, Network};
use trouble::Trouble;

/// Most bytes of a stated digest that are repeated in a reason: it may be anything.
const MAX_STATED_BYTES: usize = 80;

/// How much may be handed in.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of output text.
    pub text_bytes: u64,
    /// Most files of one role.
    pub files: usize,
    /// Most bytes of one file.
    pub file_bytes: u64,
    /// Most bytes of all files of one role.
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 1024 * 1024,
            files: 32,
            file_bytes: 64 * 1024 * 1024,
            total_bytes: 256 * 1024 * 1024,
        }
    }
}

/// Where attachments may come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// How much may be handed in.
    pub limits: Limits,
    /// What may be fetched over the network; none: nothing.
    pub network: Option<Network>,
    /// The fixture's folder, below which relative URLs are read. None outside fixtures: strangers name no paths.
    pub fixture: Option<PathBuf>,
}

/// Collects the submission's attachments: fills in its files and faults.
///
/// # Errors
/// Trouble of ours or of the sender's; the submitter's own trouble becomes faults.
pub async fn collect(mut submission: Submission, sources: Sources) -> Result<Submission, GradeError> {
    let limits = sources.limits;
    let text_bytes = submission.output_text.len() as u64;
    if text_bytes > limits.text_bytes {
        submission.faults.push(Fault::TextTooLarge {
            size: text_bytes,
            limit: limits.text_bytes,
        });
    }
    if submission.output_attachments.len() > limits.files {
        let count = submission.output_attachments.len();
        submission.faults.push(Fault::TooManyAttachments {
            count,
            limit: limits.files,
        });
    }
    if submission.input_attachments.len() > limits.files {
        let count = submission.input_attachments.len();
        let message = format!(
            "the job has {count} input attachments, at most {} are allowed",
            limits.files
        );
        return Err(GradeError::new(ErrorKind::InputRefused, message));
    }
    // What is over a limit already fails: nothing of it is fetched.
    if !submission.faults.is_empty() {
        return Ok(submission);
    }
    if submission.output_attachments.is_empty() && submission.input_attachments.is_empty() {
        return Ok(submission);
    }
    // On the heap: most hand-ins have none, and would carry the room for it all the same.
    Box::pin(collect_files(submission, sources)).await
}

async fn collect_files(mut submission: Submission, sources: Sources) -> Result<Submission, GradeError> {
    let limits = sources.limits;
    let folder = tempfile::Builder::new()
        .prefix("assay-evidence-")
        .tempdir()
        .map_err(|e| disk(&e))?;
    let mut files = Vec::new();
    for role in [FileRole::Input, FileRole::Output] {
        let stated = match role {
            FileRole::Input => submission.input_attachments.clone(),
            FileRole::Output => submission.output_attachments.clone(),
        };
        let home = folder.path().join(match role {
            FileRole::Input => "input",
            FileRole::Output => "output",
        });
        std::fs::create_dir(&home).map_err(|error| disk(&error))?;
        let mut left = limits.total_bytes;
        for attachment in stated {
            match collect_one(attachment, role, &home, &mut left, &sources).await {
                Ok(file) => files.push(name::unique(file, &files)),
                Err(Trouble::Ours(error)) => return Err(error),
                Err(Trouble::Theirs(fault)) if role == FileRole::Output => submission.faults.push(fault),
                Err(Trouble::Theirs(fault)) => {
                    let message = format!("the sender's input cannot be used: {fault}");
                    return Err(GradeError::new(ErrorKind::InputRefused, message));
                }
            }
        }
    }
    submission.set_files(files, Arc::new(folder));
    Ok(submission)
}

/// Puts one attachment into a read-only file of ours.
async fn collect_one(
    attachment: Attachment,
    role: FileRole,
    home: &Path,
    left: &mut u64,
    sources: &Sources,
) -> Result<EvidenceFile, Trouble> {
    let name = name::clean(&attachment.name);
    let arrived = home.join("arriving");
    let stated_type = source::obtain(&attachment, &name, sources, &arrived).await?;
    let (limits, home) = (sources.limits, home.to_owned());
    let keeping = tokio::task::spawn_blocking(move || keep(&arrived, &home));
    let kept = keeping
        .await
        .map_err(|error| Trouble::Ours(disk(&std::io::Error::other(error))))?;
    let (path, size, sha256) = kept.map_err(|error| Trouble::Ours(disk(&error)))?;
    *left = left.checked_sub(size).ok_or(Fault::AttachmentsTooLarge {
        limit: limits.total_bytes,
    })?;
    if let Some(stated) = attachment.sha256.as_deref().and_then(stated_digest)
        && stated.parse() != Ok(sha256)
    {
        let stated = cut(stated, MAX_STATED_BYTES);
        return Err(Fault::Sha256Mismatch {
            name,
            stated,
            actual: sha256,
        }
        .into());
    }
    let content_type = attachment.content_type.or(stated_type);
    Ok(EvidenceFile {
        name,
        content_type,
        size,
        sha256,
        role,
        path,
    })
}

/// Moves the file that arrived to a name made of its content, so that no name of a stranger's ever reaches the file
/// system, and makes it read-only.
fn keep(arrived: &Path, home: &Path) -> std::io::Result<(PathBuf, u64, Digest)> {
    let sha256 = Digest::of_reader(std::fs::File::open(arrived)?)?;
    let path = home.join(sha256.to_string());
    std::fs::rename(arrived, &path)?;
    let metadata = std::fs::metadata(&path)?;
    let mut permissions = metadata.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions)?;
    Ok((path, metadata.len(), sha256))
}

/// The digest that is stated, in whichever of its usual spellings; none where the field is there but empty.
fn stated_digest(text: &str) -> Option<&str> {
    let text = text.trim();
    let digest = text
        .strip_prefix("sha256:")
        .or_else(|| text.strip_prefix("SHA256:"))
        .unwrap_or(text);
    (!digest.is_empty()).then_some(digest)
}

fn disk(error: &std::io::Error) -> GradeError {
    GradeError::new(
        ErrorKind::HostExhausted,
        format!("the evidence folder cannot be written: {error}"),
    )
}
