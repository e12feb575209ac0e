//! One verification again: its own log, its own receipt; it moves nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::case::Case;
use super::error::ReverifyError;
use super::evidence::{Originals, obtain};
use super::told::Told;
use crate::clock::Clock;
use crate::entry::{Audience, Entry, LogEntry, VerificationId};
use crate::evidence::{GoneForGood, Network, Sources};
use crate::graders::rubric::{Judge, JudgeMode};
use crate::graders::{Context, JudgeSlots, Tools};
use crate::journal::{
    Cause, Journal as _, JournalError, JournalKeeper, NewDispute, NewVerification, PgJournal,
};
use crate::keeping::Keeper;
use crate::log::{Log, LogReader};
use crate::message::OutcomeMessage;
use crate::outcome::Verification;
use crate::plan::Plan;
use crate::receipt::Purpose;
use crate::sandbox::Sandbox;
use crate::verify::verify;
use crate::worker::{Signer, Unsigned};

/// Most entries of one append.
const BATCH: usize = 256;

/// What verifications again share.
pub struct Reverifier {
    /// The database.
    pub journal: PgJournal,
    /// What time it is.
    pub clock: Clock,
    /// Calls everything off.
    pub cancel: CancellationToken,
    /// What may be fetched.
    pub network: Network,
    /// Where the files that were judged are kept, if anywhere; and those of this verification are, too.
    pub keeper: Keeper,
    /// Signs previews.
    pub signer: Signer,
    /// Longest verification.
    pub limit: Duration,
}

/// What a verification again came to.
#[derive(Debug, Clone)]
pub struct Reverified {
    /// Its id.
    pub id: VerificationId,
    /// Where the judge's answers came from.
    pub judge: JudgeMode,
    /// How it ended.
    pub verification: Verification,
    /// What would be published, with a receipt on which nothing moves; none without a decision.
    pub preview: Option<OutcomeMessage>,
    /// What its log tells.
    pub told: Told,
}

impl Reverifier {
    /// Verifies the case again by a plan. Each entry is handed to `heard` once it is committed.
    ///
    /// # Errors
    /// Where it could not be begun, or its log not be kept. That it came to no decision is in the answer.
    pub async fn run(
        &self,
        case: &Case,
        plan: &Plan,
        (judge, sandbox): (Judge, Sandbox),
        dispute: &NewDispute,
        heard: Option<mpsc::UnboundedSender<LogEntry>>,
    ) -> Result<Reverified, ReverifyError> {
        let sources = Sources {
            network: Some(Network {
                // Whoever is gone now is told with both hashes.
                gone_for_good: GoneForGood::Everything,
                ..self.network
            }),
            ..Sources::default()
        };
        let originals = self.keeper.store.as_ref().map(|store| store as &dyn Originals);
        let submission = obtain(case, sources, originals).await?;
        let new = NewVerification {
            id: VerificationId::new(),
            job_id: case.job.id.clone(),
            attempt: submission.attempt,
            cause: Cause::Dispute,
            plan: plan.reference(),
            submission: submission.digest,
            started_at: self.clock.now(),
        };
        let begun = self.journal.begin_dispute(&new, dispute).await;
        let _running = begun.map_err(|error| ReverifyError::of_begin(error, &new.job_id, new.attempt))?;
        self.keeper.keep(new.id, &submission).await;
        let (log, reader) = Log::new(self.clock.clone(), submission.secrets.clone());
        let context = Context {
            log,
            clock: self.clock.clone(),
            cancel: self.cancel.clone(),
            deadline: Instant::now() + self.limit,
            judge_slots: JudgeSlots::Unlimited,
        };
        let about = (&new.job_id, new.attempt);
        let mode = judge.mode();
        let tools = Tools {
            judge,
            // Somebody wants to hear the judge anew, or exactly what he said then.
            calls: JournalKeeper::of(Arc::new(self.journal.clone()), new.id, about, false),
            sandbox,
            reveal: plan.reveal,
        };
        let verifying = async {
            let text = format!(
                "verified again: the decision of verification {} is in dispute ({})",
                dispute.disputes, dispute.reason
            );
            context.log.info(Audience::Operator, text).await;
            let verification = verify(&submission, plan, &tools, &context).await;
            // The log ends with its last handle.
            drop(context);
            verification
        };
        let recording = self.record(new.id, reader, heard);
        let (verification, recorded) = tokio::join!(verifying, recording);
        let entries = recorded?;
        let preview = match &verification.decision {
            Ok(decision) => {
                let head = self.head(&new).await?;
                Some(self.signer.outcome(&Unsigned {
                    id: new.id,
                    submission: &submission,
                    receiver: case.job.receiver.as_deref(),
                    price_cents: case.job.price_cents,
                    decision,
                    verification: &verification,
                    log_head: head,
                    decided_at: self.clock.now(),
                    purpose: Purpose::Preview,
                    supersedes: Some(dispute.disputes),
                }))
            }
            Err(_) => None,
        };
        let message = preview.as_ref().map(serde_json::to_vec).transpose();
        let message = message.map_err(|error| JournalError::Damaged(error.to_string()))?;
        let now = self.clock.now();
        self.journal
            .end_dispute(new.id, &verification.decision, message.as_deref(), now)
            .await?;
        Ok(Reverified {
            id: new.id,
            judge: mode,
            told: Told::of(&entries),
            verification,
            preview,
        })
    }

    async fn record(
        &self,
        id: VerificationId,
        mut reader: LogReader,
        heard: Option<mpsc::UnboundedSender<LogEntry>>,
    ) -> Result<Vec<Entry>, JournalError> {
        let (mut all, mut batch, mut told) = (Vec::new(), Vec::new(), 0);
        while reader.recv_many(&mut batch, BATCH).await > 0 {
            self.journal
                .within(self.journal.append(id, batch.clone()))
                .await?;
            all.append(&mut batch);
            if let Some(heard) = &heard {
                for entry in self.journal.within(self.journal.entries_from(id, told)).await? {
                    told = entry.seq + 1;
                    // Whoever listened has gone; the log is kept all the same.
                    let _ = heard.send(entry);
                }
            }
        }
        Ok(all)
    }

    /// The end of the verification's chain.
    async fn head(&self, new: &NewVerification) -> Result<crate::digest::Digest, JournalError> {
        let rows = self
            .journal
            .within(self.journal.verifications(&new.job_id))
            .await?;
        rows.into_iter()
            .find(|row| row.id == new.id)
            .map(|row| row.head)
            .ok_or_else(|| JournalError::Damaged(format!("verification {} is gone", new.id)))
    }
}
