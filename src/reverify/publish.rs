//! From a preview to a decision that overturns another, once.

use std::sync::Arc;

use super::case::check;
use super::error::ReverifyError;
use crate::clock::Clock;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::{
    Checked, JournalError, Market, Overturned, Overturning, PgJournal, StoredOutcome, Transition,
};
use crate::message::OutcomeMessage;
use crate::queue::{Destination, Outgoing, Queue};
use crate::receipt::{Purpose, TrustFile};
use crate::settle::{Exception, SettleSettings, transition};
use crate::worker::Signer;

/// What settlement would do with the previewed decision if it were published now.
///
/// # Errors
/// Where the database cannot be read. What would be an exception is one here, too.
pub async fn foresee(
    market: &Market,
    settings: &SettleSettings,
    preview: &OutcomeMessage,
) -> Result<Result<Transition, Exception>, JournalError> {
    let found = market
        .foresee(Checked {
            message: preview,
            body: b"",
            platform_user: settings
                .platform_user
                .as_deref()
                .filter(|_| settings.fee_basis_points > 0),
            rated: settings.max_paid_per_hour_cents.is_some(),
        })
        .await?;
    Ok(transition(settings, preview, &found))
}

/// Publishes decisions that overturn others.
pub struct Publisher<'a> {
    /// The database.
    pub journal: &'a PgJournal,
    /// Signs receipts on which money moves; the key with which the previews were signed.
    pub signer: &'a Signer,
    /// What time it is.
    pub clock: &'a Clock,
}

/// What became of previews that were to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// All of them are decisions now.
    Stored,
    /// None is: these would overturn decisions that are not effective any more.
    NotEffective(Vec<VerificationId>),
    /// None is: the set is not open any more.
    SetEnded,
}

impl Publisher<'_> {
    /// Stores the previewed decisions, all or none: each overturns the decision that it names, which a key of `trust` must have
    /// signed. From then on settlement applies them, even if their messages are lost.
    ///
    /// # Errors
    /// A preview that was changed since it was signed, or that would overturn what no trusted key has signed; trouble with
    /// the database.
    pub async fn store(
        &self,
        previews: &[OutcomeMessage],
        trust: &TrustFile,
        by: &str,
        set: Option<&str>,
    ) -> Result<Published, ReverifyError> {
        let mut decisions = Vec::with_capacity(previews.len());
        for preview in previews {
            let decision = self.decision(preview)?;
            self.check_disputed(trust, decision.supersedes, preview).await?;
            decisions.push(decision);
        }
        Ok(match self.journal.overturn(&decisions, by, set).await? {
            Overturned::Stored => Published::Stored,
            Overturned::Refused(none) if none.is_empty() => Published::SetEnded,
            Overturned::Refused(refused) => Published::NotEffective(refused),
        })
    }

    /// A preview is made of what the database says: what is overturned must have been signed, and be about the same hand-in, the
    /// same task and the same money. Looked at here once more, since a set may have been judged long before.
    async fn check_disputed(
        &self,
        trust: &TrustFile,
        disputed: VerificationId,
        preview: &OutcomeMessage,
    ) -> Result<(), ReverifyError> {
        let id = preview.verification_id;
        let row = self.journal.decision(disputed).await?;
        let missing = || JournalError::Damaged(format!("the decision of verification {disputed} is gone"));
        let then: OutcomeMessage = serde_json::from_slice(&row.ok_or_else(missing)?.message)
            .map_err(|error| JournalError::Damaged(format!("the decision of {disputed}: {error}")))?;
        check(Some(trust), &then.receipt)?;
        let (then, now) = (&then.receipt, &preview.receipt);
        let facts = [
            ("verification", then.verification_id == disputed),
            ("job", then.job_id == now.job_id),
            ("attempt", then.attempt == now.attempt),
            ("submission", then.submission == now.submission),
            ("evidence", then.evidence == now.evidence),
            ("task", then.task == now.task),
            ("receiver", then.receiver == now.receiver),
            ("price", then.price_cents == now.price_cents),
        ];
        match facts.iter().find(|(_, fits)| !fits) {
            None => Ok(()),
            Some((what, _)) => Err(ReverifyError::OtherThanDisputed { id, what }),
        }
    }

    fn decision(&self, preview: &OutcomeMessage) -> Result<Overturning, ReverifyError> {
        let id = preview.verification_id;
        let receipt = &preview.receipt;
        // Whoever may write to the database must not have us sign what nobody judged. Ed25519 signs the same bytes alike.
        let ours = receipt.clone().sign(&self.signer.key) == *receipt && receipt.purpose == Purpose::Preview;
        let same = (
            receipt.verification_id,
            receipt.outcome,
            receipt.attempt,
            receipt.supersedes,
        ) == (id, preview.outcome, preview.attempt, preview.supersedes)
            && (&receipt.job_id, receipt.score, receipt.plan)
                == (&preview.job_id, preview.score, preview.plan.digest);
        let (true, true, Some(supersedes)) = (ours, same, preview.supersedes) else {
            return Err(ReverifyError::Forged(id));
        };
        let mut message = preview.clone();
        message.decided_at = self.clock.now();
        message.receipt.decided_at = message.decided_at;
        message.receipt.purpose = Purpose::Settle;
        message.receipt = message.receipt.sign(&self.signer.key);
        let body = serde_json::to_vec(&message).map_err(|error| JournalError::Damaged(error.to_string()))?;
        Ok(Overturning {
            verification_id: id,
            job_id: message.job_id,
            attempt: message.attempt,
            supersedes,
            outcome: message.outcome,
            message: body,
        })
    }

    /// Publishes what is stored and not confirmed by the broker; of one job, where it is given. How many that were.
    ///
    /// # Errors
    /// Trouble with broker or database; what is left is published the next time.
    pub async fn send(&self, queue: &Arc<dyn Queue>, job_id: Option<&JobId>) -> Result<usize, ReverifyError> {
        let unconfirmed = self.journal.unconfirmed_disputes(job_id).await?;
        let count = unconfirmed.len();
        for StoredOutcome {
            verification_id,
            outcome,
            message,
            traceparent,
            ..
        } in unconfirmed
        {
            queue
                .publish(Outgoing {
                    to: Destination::Outcome(outcome),
                    message_id: verification_id.to_string(),
                    body: message,
                    traceparent,
                })
                .await?;
            self.journal.confirm_dispute(verification_id).await?;
        }
        Ok(count)
    }
}
