//! One verification as a file that speaks for itself: everything that was signed, and what shows that it was.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Leaf, MerkleTree, Sibling};
use crate::digest::Digest;
use crate::entry::{Audience, EntryType, VerificationId};
use crate::job::JobId;
use crate::journal::{Audited, JournalError, PgJournal};
use crate::plan::PlanRef;

/// What the file says of its own form.
pub(super) const FORMAT: &str = "assay-bundle-v1";

/// A verification, exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// `assay-bundle-v1`.
    pub format: String,
    /// The verification.
    pub verification_id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Why it was started: `submission` or `dispute`.
    pub cause: String,
    /// The plan that judged, by name and digest.
    pub plan: PlanRef,
    /// Digest of what was handed in.
    pub submission: Digest,
    /// How it ended.
    pub outcome: String,
    /// Last hash of the chain.
    pub head: Digest,
    /// The log.
    pub entries: Vec<BundledEntry>,
    /// The outcome message with its receipt, as it was published; none where nothing was decided.
    pub message: Option<String>,
    /// The checkpoint that sealed it, where there is one.
    pub inclusion: Option<Inclusion>,
    /// Names of the keys that are needed to verify it, sorted.
    pub kids: Vec<String>,
}

/// An entry of the log, with what its hash was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledEntry {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Who may read it.
    pub audience: Audience,
    /// When it happened.
    pub created_at: Timestamp,
    /// Text, or JSON text; empty where it was erased.
    pub content: String,
    /// Random bytes that were hashed with the content, in hexadecimal.
    pub salt: String,
    /// Salted digest of content that was erased.
    pub erased: Option<Digest>,
}

/// A checkpoint, and how the verification comes to its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    /// The signed checkpoint.
    pub checkpoint: Checkpoint,
    /// Digest of the decision that it sealed; none where there was none yet.
    pub decision: Option<Digest>,
    /// From the verification's leaf up to the root.
    pub proof: Vec<Sibling>,
}

/// A verification cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// There is none of that id.
    #[error("there is no verification {0}: `assay log JOB --all` names those of a job")]
    Unknown(VerificationId),
    /// It runs.
    #[error("verification {0} has not ended: export it when it has")]
    UnderWay(VerificationId),
    /// The message is not text.
    #[error("the decision of verification {0} cannot be read: `assay audit JOB` says more")]
    Unreadable(VerificationId),
    /// The database could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Takes a verification out of the database, with whatever proves it. What is wrong with it is not hidden: whoever verifies the
/// file finds it.
///
/// # Errors
/// An unknown verification or one that runs, a database that cannot be read.
pub async fn export(journal: &PgJournal, id: VerificationId) -> Result<Bundle, BundleError> {
    let read = journal.audited(&[id]).await?.pop();
    let Audited {
        row,
        entries,
        decision,
        sealed,
        ..
    } = read.ok_or(BundleError::Unknown(id))?.1?;
    let outcome = row.outcome.ok_or(BundleError::UnderWay(id))?;
    let message = decision.map(|decision| String::from_utf8(decision.message));
    let message = message.transpose().map_err(|_| BundleError::Unreadable(id))?;
    // The last one says most: whether there was a decision, too.
    let inclusion = match sealed.last() {
        Some((number, place, leaf)) => inclusion(journal, (*number, *place), leaf.decision).await?,
        None => None,
    };
    let kid = message.as_deref().and_then(kid_of);
    let mut kids: Vec<_> = kid
        .into_iter()
        .chain(inclusion.iter().map(|inclusion| inclusion.checkpoint.kid.clone()))
        .collect();
    kids.sort_unstable();
    kids.dedup();
    let bundled = entries.into_iter().map(|entry| BundledEntry {
        kind: entry.entry.kind,
        audience: entry.entry.audience,
        created_at: entry.entry.created_at,
        content: entry.entry.content,
        salt: hex::encode(entry.salt),
        erased: entry.erased,
    });
    Ok(Bundle {
        format: FORMAT.to_owned(),
        verification_id: row.id,
        job_id: row.job_id,
        attempt: row.attempt,
        cause: row.cause.as_str().to_owned(),
        plan: row.plan,
        submission: row.submission,
        outcome,
        head: row.head,
        entries: bundled.collect(),
        message,
        inclusion,
        kids,
    })
}

/// The key that a message says its receipt was signed with.
pub(super) fn kid_of(message: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    Some(message.get("receipt")?.get("kid")?.as_str()?.to_owned())
}

async fn inclusion(
    journal: &PgJournal,
    (number, place): (u64, u32),
    decision: Option<Digest>,
) -> Result<Option<Inclusion>, JournalError> {
    let Some(checkpoint) = journal.checkpoint(number).await? else {
        return Ok(None);
    };
    let leaves = journal.leaves(number).await??;
    let tree = MerkleTree::new(leaves.iter().map(Leaf::digest).collect());
    let proof = usize::try_from(place).ok().and_then(|place| tree.proof(place));
    Ok(proof.map(|proof| Inclusion {
        checkpoint,
        decision,
        proof,
    }))
}
