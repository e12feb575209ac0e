//! What a message is about that only says where its job is.

use std::sync::Arc;

use super::intake::{Unusable, handed_in, kept_job};
use crate::causes::in_full;
use crate::digest::Digest;
use crate::job::{Job, JobId};
use crate::journal::{JournalError, Market, PgJournal, is_about_data};
use crate::message::{PlanChoice, SubmittedJob, Work};
use crate::submission::Submission;

/// A job, and the message that holds all of it.
type Whole = (Box<Job>, Arc<Vec<u8>>);

/// What a thin message says.
pub(super) struct Named<'a> {
    /// The job.
    pub(super) id: &'a JobId,
    /// The attempt.
    pub(super) attempt: u32,
    /// Digest of what was handed in, where it is stated.
    pub(super) stated: Option<Digest>,
    /// How it names its plan.
    pub(super) plan: Option<&'a PlanChoice>,
}

impl Named<'_> {
    /// What was handed in, as the marketplace has it. Where its row says otherwise by now, settlement may be what moved it: then
    /// this is what an earlier message of the attempt was claimed with, and its claim says what becomes of the message.
    ///
    /// # Errors
    /// Only where the database cannot be read.
    pub(super) async fn find(
        &self,
        journal: &PgJournal,
        market: Option<&Market>,
    ) -> Result<Result<Whole, Unusable>, JournalError> {
        let unusable = match self.in_market(market).await? {
            Ok(whole) => return Ok(Ok(whole)),
            Err(unusable) => unusable,
        };
        // After the row, never before it: a claim is always older than what settlement wrote because of it.
        Ok(self.claimed(journal).await?.ok_or(unusable))
    }

    /// The job's row.
    async fn in_market(&self, market: Option<&Market>) -> Result<Result<Whole, Unusable>, JournalError> {
        let row = match market {
            Some(market) => market.load_job(self.id).await,
            None => Ok(None),
        };
        let row = match row {
            Err(error) if is_about_data(&error) => {
                return Ok(Err(("unreadable-job", in_full(&error))));
            }
            row => row?,
        };
        let Some(job) = row else {
            let detail = "the marketplace has no such job, or its tables are not in this database";
            return Ok(Err(("missing-job", detail.to_owned())));
        };
        if let Err(unusable) = self.is_meant(&job) {
            return Ok(Err(unusable));
        }
        let job = Box::new(job);
        let whole = SubmittedJob {
            work: Work::Whole(job.clone()),
            plan: self.plan.cloned(),
        };
        let body = whole
            .to_json()
            .map_err(|error| JournalError::Damaged(error.to_string()))?;
        Ok(Ok((job, Arc::new(body))))
    }

    /// Whether the row still is what the message was sent about.
    fn is_meant(&self, job: &Job) -> Result<(), Unusable> {
        let (now, attempt) = (job.attempt_count, self.attempt);
        if now != attempt {
            let detail = format!("the job is at attempt {now}, the message at {attempt}");
            return Err(("stale", detail));
        }
        let digest = Submission::of(job).digest;
        if self.stated.is_some_and(|stated| stated != digest) {
            let detail = format!("what is handed in now has the digest {digest}");
            return Err(("stale", detail));
        }
        handed_in(job)
    }

    /// What the attempt's claim keeps: none where there is no claim, where what was handed in is erased or cannot be read, and where
    /// the message states another digest.
    async fn claimed(&self, journal: &PgJournal) -> Result<Option<Whole>, JournalError> {
        let kept = journal.hand_in(self.id, self.attempt).await?;
        Ok(kept.and_then(|kept| {
            let (job, _) = kept_job(&kept).ok()?;
            let digest = Submission::of(&job).digest;
            self.stated
                .is_none_or(|stated| stated == digest)
                .then(|| (job, Arc::new(kept)))
        }))
    }
}
