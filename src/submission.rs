//! What was handed in at one attempt, and the digest that says exactly what was judged.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use crate::digest::{Digest, FieldHasher};
use crate::job::{Attachment, Job, JobId};
use crate::secrets::Secrets;

/// What the job asked for, in the sender's words. A stranger's text, like the hand-in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// A line for lists.
    pub title: String,
    /// What the sender asks for.
    pub prompt: String,
    /// More about it.
    pub description: Option<String>,
    /// What the result must fulfil.
    pub requirements: Option<String>,
}

impl Task {
    /// The task as a job states it.
    pub fn of(job: &Job) -> Self {
        Self {
            title: job.title.clone(),
            prompt: job.prompt.clone(),
            description: job.description.clone(),
            requirements: job.requirements.clone(),
        }
    }

    /// Says what was asked for, so that nobody is shown another task when the work is judged again. Receipts carry it; the
    /// digest of the submission does not cover it.
    pub fn digest(&self) -> Digest {
        FieldHasher::new("assay-task-v1")
            .text(&self.title)
            .text(&self.prompt)
            .optional(self.description.as_deref())
            .optional(self.requirements.as_deref())
            .finish()
    }
}

/// Who a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRole {
    /// Handed in by the submitter.
    Output,
    /// Given by the sender with the job.
    Input,
}

/// A collected file: read-only on our disk, and measured by us, whatever was stated.
#[derive(Debug, Clone)]
pub struct EvidenceFile {
    /// Cleaned file name, unique among the files of its role.
    pub name: String,
    /// Media type as stated.
    pub content_type: Option<String>,
    /// Size in bytes as measured.
    pub size: u64,
    /// Digest of the bytes as measured.
    pub sha256: Digest,
    /// Who gave it.
    pub role: FileRole,
    /// Where the bytes lie.
    pub path: PathBuf,
}

/// A collected file as a verification's log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedFile {
    /// Its name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the bytes.
    pub sha256: Digest,
}

impl EvidenceFile {
    /// The line of the log that tells of the file; [`RecordedFile::parse`] reads it.
    pub fn line(&self) -> String {
        format!("file {}: {} bytes, sha256 {}", self.name, self.size, self.sha256)
    }
}

impl RecordedFile {
    /// Reads what [`EvidenceFile::line`] wrote. No other line begins so: those of graders begin with their name.
    pub fn parse(line: &str) -> Option<Self> {
        let (rest, sha256) = line.strip_prefix("file ")?.rsplit_once(" bytes, sha256 ")?;
        let (name, size) = rest.rsplit_once(": ")?;
        Some(Self {
            name: name.to_owned(),
            size: size.parse().ok()?,
            sha256: sha256.parse().ok()?,
        })
    }
}

/// What is wrong with a hand-in by the submitter's own doing: the first rows of the blame table
/// (DESIGN.md section 2). Each makes the verdict a fail, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither text nor a file was handed in.
    #[error("nothing was handed in: the output text is empty and there is no attachment")]
    OutputEmpty,
    /// The plan asks for a file that was not handed in.
    #[error("the required file `{name}` was not handed in")]
    RequiredFileMissing {
        /// The name that the plan asks for.
        name: String,
    },
    /// More files than allowed.
    #[error("{count} attachments were handed in, at most {limit} are allowed")]
    TooManyAttachments {
        /// How many were handed in.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// A file is larger than allowed.
    #[error("the attachment `{name}` is larger than {limit} bytes")]
    AttachmentTooLarge {
        /// The file.
        name: String,
        /// Most bytes that a file may have.
        limit: u64,
    },
    /// All files together are larger than allowed.
    #[error("the attachments together are larger than {limit} bytes")]
    AttachmentsTooLarge {
        /// Most bytes that all files may have.
        limit: u64,
    },
    /// The output text is larger than allowed.
    #[error("the output text is {size} bytes long, at most {limit} are allowed")]
    TextTooLarge {
        /// Bytes handed in.
        size: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// The bytes are not those that the submitter stated.
    #[error("the attachment `{name}` has sha256 {actual}, but {stated} was stated")]
    Sha256Mismatch {
        /// The file.
        name: String,
        /// What the submitter stated; not always a digest.
        stated: String,
        /// What we measured.
        actual: Digest,
    },
    /// The `data` or `data:` URL of an attachment cannot be decoded.
    #[error("the attachment `{name}` cannot be decoded: {reason}")]
    AttachmentUndecodable {
        /// The file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The attachment names no place where its bytes could be, or one that nobody may use.
    #[error("the attachment `{name}` cannot be used: {reason}")]
    AttachmentRefused {
        /// The file.
        name: String,
        /// Why it is refused.
        reason: String,
    },
    /// The host answered that the file does not exist (404 or 410, three times over 15 minutes).
    #[error("the attachment `{name}` does not exist at its URL (status {status})")]
    AttachmentGone {
        /// The file.
        name: String,
        /// The HTTP status.
        status: u16,
    },
}

/// What was handed in at one attempt, with the task it answers.
///
/// [`Submission::of`] takes it from a job; its files and faults are filled in by `evidence::collect`.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The job.
    pub job_id: JobId,
    /// The job's `attempt_count` at the hand-in.
    pub attempt: u32,
    /// What was asked for.
    pub task: Task,
    /// The text that was handed in; empty where there was none.
    pub output_text: String,
    /// The files that were handed in, as stated.
    pub output_attachments: Vec<Attachment>,
    /// The files that the sender gave, as stated.
    pub input_attachments: Vec<Attachment>,
    /// What the sender pays, in cents, where it is known.
    pub price_cents: Option<i64>,
    /// Says what was handed in: job, attempt, text and attachments as stated, so that it is known before anything is
    /// fetched. Task and price are not in it.
    pub digest: Digest,
    /// Says what was judged: the digest above and every collected file, the sender's too, as measured. A URL that serves
    /// other bytes tomorrow gives another one.
    pub evidence: Digest,
    /// Values that must appear nowhere.
    pub secrets: Secrets,
    /// The collected files.
    pub files: Vec<EvidenceFile>,
    /// What is wrong with the hand-in by the submitter's doing.
    pub faults: Vec<Fault>,
    /// Keeps the folder of the collected files as long as somebody may read them.
    pub folder: Option<Arc<tempfile::TempDir>>,
}

impl Submission {
    /// The submission of the job's current attempt, its attachments not yet collected.
    pub fn of(job: &Job) -> Self {
        let digest = digest(job);
        Self {
            job_id: job.id.clone(),
            attempt: job.attempt_count,
            task: Task::of(job),
            output_text: job.output_text.clone().unwrap_or_default(),
            output_attachments: job.output_attachments.clone(),
            input_attachments: job.attachments.clone(),
            price_cents: job.price_cents,
            digest,
            evidence: digest,
            secrets: Secrets::of(&job.env_vars),
            files: Vec::new(),
            faults: Vec::new(),
            folder: None,
        }
    }

    /// Takes the collected files: they and [`Submission::evidence`] are what is judged from here on.
    pub fn set_files(&mut self, files: Vec<EvidenceFile>, folder: Arc<tempfile::TempDir>) {
        let mut hasher = FieldHasher::new("assay-evidence-v1").bytes(self.digest.as_bytes());
        for file in &files {
            let role = match file.role {
                FileRole::Output => "output",
                FileRole::Input => "input",
            };
            hasher = hasher.text(role).text(&file.name).bytes(file.sha256.as_bytes());
        }
        self.evidence = hasher.finish();
        self.files = files;
        self.folder = Some(folder);
    }

    /// The collected file of that role and name.
    pub fn file(&self, role: FileRole, name: &str) -> Option<&EvidenceFile> {
        let name: String = name.nfc().collect();
        self.files
            .iter()
            .find(|file| file.role == role && file.name == name)
    }

    /// The files that were handed in.
    pub fn output_files(&self) -> impl Iterator<Item = &EvidenceFile> {
        self.files.iter().filter(|file| file.role == FileRole::Output)
    }
}

fn digest(job: &Job) -> Digest {
    let mut hasher = FieldHasher::new("assay-submission-v1")
        .text(job.id.as_str())
        .number(i64::from(job.attempt_count))
        .optional(job.output_text.as_deref())
        .number(i64::try_from(job.output_attachments.len()).unwrap_or(i64::MAX));
    for attachment in &job.output_attachments {
        hasher = hasher
            .text(&attachment.name)
            .optional(attachment.url.as_deref())
            .optional(attachment.data.as_deref())
            .optional(attachment.content_type.as_deref())
            .optional(attachment.size.map(|size| size.to_string()).as_deref())
            .optional(attachment.sha256.as_deref());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(change: impl FnOnce(&mut Job)) -> Job {
        let mut job: Job = serde_json::from_value(serde_json::json!({
            "id": "j1", "status": "submitted", "prompt": "p", "title": "t", "sender": "s",
            "output_text": "text", "output_attachments": [{"name": "a.txt", "data": "YQ=="}],
            "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
        }))
        .unwrap();
        change(&mut job);
        job
    }

    #[test]
    fn the_tasks_digest_follows_every_word_of_it_and_nothing_else() {
        let digest = |change: fn(&mut Job)| Task::of(&job(change)).digest();
        let changes: [fn(&mut Job); 5] = [
            |_| (),
            |job| job.title = "other".into(),
            |job| job.prompt = "other".into(),
            |job| job.description = Some("other".into()),
            |job| job.requirements = Some("other".into()),
        ];
        let digests: std::collections::BTreeSet<_> = changes.into_iter().map(digest).collect();
        assert_eq!(digests.len(), changes.len());
        assert_eq!(digest(|_| ()), digest(|job| job.output_text = None));
    }

    #[test]
    fn the_digest_follows_what_was_handed_in_and_nothing_else() {
        let digest = |change: fn(&mut Job)| Submission::of(&job(change)).digest;
        let original = digest(|_| ());
        assert_eq!(original, digest(|job| job.prompt = "other".into()));
        assert_eq!(original, digest(|job| job.price_cents = Some(5)));
        assert_ne!(original, digest(|job| job.attempt_count = 1));
        assert_ne!(original, digest(|job| job.output_text = Some("texu".into())));
        assert_ne!(original, digest(|job| job.output_text = None));
        assert_ne!(original, digest(|job| job.output_attachments.clear()));
        assert_ne!(
            original,
            digest(|job| job.output_attachments[0].name = "b.txt".into())
        );
        assert_ne!(
            original,
            digest(|job| job.output_attachments[0].data = Some("Yg==".into()))
        );
        assert_ne!(
            original,
            digest(|job| job.output_attachments[0].url = Some("https://x".into()))
        );
    }
}
