//! Goes over the database: batches side by side, each as of one moment, never more in memory than those under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt as _};
use serde::Serialize;

use super::anchor::{Anchor, AnchorError};
use super::calls::examine_calls;
use super::examine::examine;
use super::finding::{Finding, What};
use super::kept::{Judged, examine_files, examine_hand_in, examine_plans};
use super::seals::{Seals, Which, audit_seals};
use super::told::is_unproven;
use crate::entry::VerificationId;
use crate::journal::{Audited, Erasure, JournalError, Orphan, OrphanOf, PgJournal, Scope};
use crate::receipt::TrustFile;

/// Verifications that are read and examined together.
const BATCH: usize = 32;

/// Ids that are read at a time.
const PAGE: u32 = 4_096;

/// Findings that are kept; of more, only the number.
const KEPT: usize = 1_000;

/// What ended so long ago and stands in no checkpoint is told.
const SEALED_WITHIN: Duration = Duration::from_secs(600);

/// An audit could not be carried through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The database could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The anchor could not be read.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// A task died.
    #[error("a part of the audit died: {0}")]
    Died(String),
}

/// How far an audit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Verifications that were examined.
    pub done: u64,
    /// Verifications in all, when it began.
    pub all: u64,
}

/// Whether checkpoints are kept outside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchored {
    /// They are not: whoever owns the database may have removed the latest, with all that they covered.
    Unanchored,
    /// They are.
    At {
        /// Where.
        place: String,
        /// The last that is.
        through: u64,
        /// How many later ones are not yet.
        not_yet: u64,
    },
}

/// What an audit came to.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// Verifications examined.
    pub verifications: u64,
    /// Of these, how many are still running.
    pub running: u64,
    /// Entries whose hashes were computed again.
    pub entries: u64,
    /// Receipts whose signatures were checked.
    pub receipts: u64,
    /// Plans that judged, whose digests were computed again.
    pub plans: u64,
    /// Checkpoints whose signatures and roots were checked.
    pub checkpoints: u64,
    /// Verifications that ended long ago and stand in no checkpoint: no checkpoints are made.
    pub unsealed: u64,
    /// Whether checkpoints are kept outside the database.
    pub anchored: Anchored,
    /// Decisions of which only the receipt is proven: how each grader ended was erased before a checkpoint had sealed it.
    pub unproven: u64,
    /// What was erased on record, by whom and why.
    pub erasures: Vec<Erasure>,
    /// What is wrong, at most a thousand.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub found: u64,
}

impl AuditReport {
    fn find(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < KEPT {
            self.findings.push(finding);
        }
    }
}

/// What one batch came to.
struct Batch {
    examined: u64,
    running: u64,
    entries: u64,
    receipts: u64,
    unproven: u64,
    sealed_in: BTreeSet<u64>,
    judged: Judged,
    findings: Vec<Finding>,
}

/// Audits the scope's verifications, whatever speaks of ones that are not there, and the checkpoints.
///
/// # Errors
/// A database or an anchor that cannot be read; whatever is wrong with what was read is a finding.
pub async fn audit(
    journal: &PgJournal,
    trust: &Arc<TrustFile>,
    anchor: Option<&Anchor>,
    scope: &Scope,
    mut progress: impl FnMut(Progress),
) -> Result<AuditReport, AuditError> {
    let job = match scope {
        Scope::Job(job) => Some(job),
        Scope::All | Scope::Since(_) => None,
    };
    let mut report = AuditReport {
        verifications: 0,
        running: 0,
        entries: 0,
        receipts: 0,
        plans: 0,
        checkpoints: 0,
        unsealed: 0,
        unproven: 0,
        anchored: Anchored::Unanchored,
        erasures: Vec::new(),
        findings: Vec::new(),
        found: 0,
    };
    let all = journal.count_audited(scope).await?;
    let batches = stream::try_unfold(None, |after| async move {
        let ids = journal.audited_ids(scope, after, PAGE).await?;
        Ok::<_, AuditError>(ids.last().copied().map(|last| (ids, Some(last))))
    });
    let batches = batches
        .map_ok(|ids| {
            stream::iter(
                ids.chunks(BATCH)
                    .map(|some| Ok(some.to_vec()))
                    .collect::<Vec<_>>(),
            )
        })
        .try_flatten()
        .map_ok(|ids: Vec<VerificationId>| batch(journal, trust, ids))
        .try_buffer_unordered(side_by_side());
    let mut batches = std::pin::pin!(batches);
    let (mut sealed_in, mut judged) = (BTreeSet::new(), Judged::new());
    while let Some(mut batch) = batches.try_next().await? {
        report.verifications += batch.examined;
        report.running += batch.running;
        report.entries += batch.entries;
        report.receipts += batch.receipts;
        report.unproven += batch.unproven;
        judged.append(&mut batch.judged);
        if job.is_some() {
            sealed_in.append(&mut batch.sealed_in);
        }
        batch
            .findings
            .into_iter()
            .for_each(|finding| report.find(finding));
        progress(Progress {
            done: report.verifications,
            all,
        });
    }
    for lost in journal
        .orphans(scope, u32::try_from(KEPT).unwrap_or(u32::MAX))
        .await?
    {
        report.find(orphan(lost));
    }
    report.plans = judged.len() as u64;
    for finding in examine_plans(journal, &judged).await? {
        report.find(finding);
    }
    let which = match scope {
        Scope::All => Which::After(0),
        Scope::Since(since) => Which::After(journal.checkpoint_before(*since).await?),
        Scope::Job(_) => Which::These(sealed_in),
    };
    let Seals {
        checkpoints,
        findings,
        anchored,
    } = audit_seals(journal, trust, anchor, which).await?;
    report.checkpoints = checkpoints;
    report.anchored = anchored;
    findings.into_iter().for_each(|finding| report.find(finding));
    report.erasures = journal.erasures(job).await?;
    if *scope == Scope::All {
        for finding in examine_files(journal).await? {
            report.find(finding);
        }
        report.unsealed = journal.count_unsealed(SEALED_WITHIN).await?;
    }
    Ok(report)
}

/// Batches under way at a time: while one is read, another is computed.
fn side_by_side() -> usize {
    2 * std::thread::available_parallelism().map_or(2, usize::from)
}

async fn batch(
    journal: &PgJournal,
    trust: &Arc<TrustFile>,
    ids: Vec<VerificationId>,
) -> Result<Batch, AuditError> {
    let read = journal.audited(&ids).await?;
    let of_calls = examine_calls(journal, &read).await?;
    let trust = Arc::clone(trust);
    let examining = tokio::task::spawn_blocking(move || examine_all(read, &trust));
    let mut batch = examining
        .await
        .map_err(|error| AuditError::Died(error.to_string()))?;
    batch.findings.extend(of_calls);
    Ok(batch)
}

fn examine_all(read: Vec<(VerificationId, Result<Audited, JournalError>)>, trust: &TrustFile) -> Batch {
    let mut batch = Batch {
        examined: 0,
        running: 0,
        entries: 0,
        receipts: 0,
        unproven: 0,
        sealed_in: BTreeSet::new(),
        judged: Judged::new(),
        findings: Vec::new(),
    };
    for (id, audited) in read {
        batch.examined += 1;
        let audited = match audited {
            Ok(audited) => audited,
            Err(error) => {
                batch.findings.push(Finding {
                    job_id: None,
                    verification_id: Some(id),
                    what: What::Unreadable,
                    place: "its rows".to_owned(),
                    detail: crate::causes::in_full(&error),
                });
                continue;
            }
        };
        batch.running += u64::from(audited.ended_at.is_none());
        batch.entries += audited.entries.len() as u64;
        batch.receipts += u64::from(audited.decision.is_some());
        batch.unproven += u64::from(is_unproven(&audited));
        batch
            .sealed_in
            .extend(audited.sealed.iter().map(|(number, ..)| *number));
        // What never came to an answer may have ended before its plan was kept.
        if audited.has_answer() {
            let plan = batch.judged.entry(audited.row.plan.digest);
            plan.or_insert_with(|| (audited.row.job_id.clone(), audited.row.id));
        }
        batch.findings.extend(examine(&audited, trust));
        batch.findings.extend(examine_hand_in(&audited, trust));
    }
    batch
}

fn orphan(lost: Orphan) -> Finding {
    let (what, place, detail) = match lost.told_by {
        OrphanOf::Decision => (
            What::VerificationMissing,
            "decision".to_owned(),
            "its decision is there, it is not",
        ),
        OrphanOf::Log => (
            What::VerificationMissing,
            "log".to_owned(),
            "its log is there, it is not",
        ),
        OrphanOf::Claim => (
            What::VerificationMissing,
            "claim".to_owned(),
            "a claim names it, it is not there",
        ),
        OrphanOf::Settlement => (
            What::DecisionMissing,
            "settlement".to_owned(),
            "something was settled, no decision is there",
        ),
        OrphanOf::DecidedClaim => (
            What::DecisionMissing,
            "claim".to_owned(),
            "its claim is decided, no decision is there",
        ),
        OrphanOf::Published => (
            What::DecisionMissing,
            "dispute_outcome".to_owned(),
            "somebody published its decision, which is not there",
        ),
        OrphanOf::AppliedSet => (
            What::DecisionMissing,
            "dispute_set".to_owned(),
            "a set was applied in which it overturns another, no decision is there",
        ),
        OrphanOf::Held => (
            What::DecisionMissing,
            "held".to_owned(),
            "a payment waits for its decision, which is not there",
        ),
        OrphanOf::Checkpoint(number) => (
            What::VerificationRemoved,
            format!("checkpoint {number}"),
            "a checkpoint sealed it, it is not there",
        ),
    };
    Finding {
        job_id: lost.job_id,
        verification_id: Some(lost.verification_id),
        what,
        place,
        detail: detail.to_owned(),
    }
}
