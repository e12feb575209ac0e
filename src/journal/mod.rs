//! The journal: verifications and their append-only, hash-chained log.
//!
//! Only this folder knows sqlx. One trait, two drivers: `sqlite` for the desk, `postgres` for the pool. What only the
//! pool's needs (claims, leases, group commits, settlement) is in `postgres` alone.

mod chain;
mod keeping;
pub mod postgres;
mod recorder;
mod sqlite;
mod sqlite_calls;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::digest::Digest;
use crate::entry::{Entry, LogEntry, VerificationId, chain_start};
use crate::job::JobId;
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent};
use crate::outcome::Decision;
use crate::plan::PlanRef;
use crate::verdict::GradeError;
pub use chain::{Chain, ChainError, Link, verify_chain};
pub use keeping::JournalKeeper;
pub use postgres::*;
pub use recorder::record;
pub use sqlite::SqliteJournal;

/// Why a verification was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Somebody ran fixtures or a job at a desk; moves nothing.
    Desk,
    /// The work was handed in.
    Submission,
    /// Somebody disputes an earlier decision.
    Dispute,
}

impl Cause {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Submission => "submission",
            Self::Dispute => "dispute",
        }
    }
}

/// The text is no cause of a verification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cause of a verification")]
pub struct ParseCauseError(String);

impl std::str::FromStr for Cause {
    type Err = ParseCauseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Desk, Self::Submission, Self::Dispute]
            .into_iter()
            .find(|cause| cause.as_str() == text)
            .ok_or_else(|| ParseCauseError(text.to_owned()))
    }
}

/// A verification about to begin.
#[derive(Debug, Clone)]
pub struct NewVerification {
    /// Its id.
    pub id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Why it was started.
    pub cause: Cause,
    /// The plan that judges.
    pub plan: PlanRef,
    /// What is judged.
    pub submission: Digest,
    /// When it begins.
    pub started_at: Timestamp,
}

impl NewVerification {
    /// The hash that the verification's chain starts from: says what the verification is about.
    pub fn chain_start(&self) -> Digest {
        chain_start(
            self.id,
            &self.job_id,
            self.attempt,
            self.cause.as_str(),
            (&self.plan.name, self.plan.digest),
            self.submission,
        )
    }
}

/// A verification as the journal knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationRow {
    /// Its id.
    pub id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Why it was started.
    pub cause: Cause,
    /// The plan that judged.
    pub plan: PlanRef,
    /// What was judged.
    pub submission: Digest,
    /// When it began.
    pub started_at: Timestamp,
    /// `verified`, `retry`, `error`, or how else it ended (`taken-over`, `closed`); none while it runs.
    pub outcome: Option<String>,
    /// Entries so far.
    pub entries: u32,
    /// Hash of the last entry.
    pub head: Digest,
}

/// The journal cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file or server cannot be opened.
    #[error("the journal {place} cannot be opened")]
    Open {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Its tables cannot be brought up to date.
    #[error("the journal was written by another version of assay; move its file away to begin a new one")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The tables cannot be made.
    #[error("the journal's tables cannot be made")]
    SetUp(#[source] sqlx::migrate::MigrateError),
    /// The tables are missing or another version's.
    #[error(
        "the tables in {place} are not those of this version (applied {applied:?}, needed {newest:?}): run `assay setup`"
    )]
    NotSetUp {
        /// Where.
        place: String,
        /// The newest migration that was applied.
        applied: Option<i64>,
        /// The newest that this version knows.
        newest: Option<i64>,
    },
    /// A connection says nothing any more.
    #[error("{0} has not answered for too long: the connection is given up")]
    Stalled(String),
    /// The address cannot be read.
    #[error("the database's URL cannot be read: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url,
    /// A statement failed.
    #[error("the journal cannot be read or written")]
    Statement(#[from] sqlx::Error),
    /// The database will never have it: the data do not fit its tables, or a trigger of the marketplace says no.
    #[error("the database refuses it")]
    Refused(#[source] sqlx::Error),
    /// The marketplace's tables are not in this database.
    #[error(
        "{place} has no table `{table}` of a marketplace: point ASSAY_DATABASE_URL at the marketplace's database, or run \
         `assay setup --demo-marketplace`"
    )]
    NoMarketplace {
        /// Where.
        place: String,
        /// What is missing.
        table: &'static str,
    },
    /// There is no such exception, or somebody has closed it.
    #[error("there is no open exception {0}: `assay settle exceptions` shows those that are")]
    NoOpenException(i64),
    /// The verification does not exist or has ended.
    #[error("verification {0} is not under way")]
    NotUnderWay(VerificationId),
    /// A task that writes it died.
    #[error("the journal's writer died: {0}")]
    Lost(String),
    /// A row holds what no version of ours writes.
    #[error("the journal holds a row that cannot be read: {0}")]
    Damaged(String),
}

/// How a verification's end is written: its outcome, and the decision or the error as JSON.
pub(crate) fn ending_words(
    decision: &Result<Decision, GradeError>,
) -> Result<(&'static str, String), JournalError> {
    match decision {
        Ok(decision) => serde_json::to_string(decision)
            .map(|content| (decision.outcome.as_str(), content))
            .map_err(|error| JournalError::Damaged(error.to_string())),
        Err(error) => Ok(("error", error_words(error))),
    }
}

/// How an error is written at a verification's end, as JSON.
pub(crate) fn error_words(error: &GradeError) -> String {
    serde_json::json!({"error": error.kind, "message": error.message}).to_string()
}

/// Where verifications and their logs are kept. What a method has returned `Ok` for is durable.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Begins a verification.
    async fn begin(&self, verification: &NewVerification) -> Result<(), JournalError>;

    /// Appends entries to the verification's chain, all or none.
    async fn append(&self, id: VerificationId, entries: Vec<Entry>) -> Result<(), JournalError>;

    /// Ends the verification with what it came to. Only once: a second end is [`JournalError::NotUnderWay`].
    async fn conclude(
        &self,
        id: VerificationId,
        decision: &Result<Decision, GradeError>,
        at: Timestamp,
    ) -> Result<(), JournalError>;

    /// The job's verifications, oldest first.
    async fn verifications(&self, job_id: &JobId) -> Result<Vec<VerificationRow>, JournalError>;

    /// The verification's entries in order.
    async fn entries(&self, id: VerificationId) -> Result<Vec<LogEntry>, JournalError> {
        self.entries_from(id, 0).await
    }

    /// The verification's entries from place `seq` on.
    async fn entries_from(&self, id: VerificationId, seq: u32) -> Result<Vec<LogEntry>, JournalError>;

    /// Keeps a call of a model that a verification of that hand-in made. Whether the verification still holds its claim
    /// does not matter: the call was paid for.
    async fn keep_call(
        &self,
        about: (VerificationId, &JobId, u32),
        call: &ModelCall,
    ) -> Result<(), JournalError>;

    /// The latest answer to that question, from any verification of that hand-in, that may be used again, and which
    /// verification that was.
    async fn paid_call(
        &self,
        hand_in: (&JobId, u32),
        key: Digest,
    ) -> Result<Option<(VerificationId, ModelCall)>, JournalError>;

    /// The verification's calls of models in the order of time.
    async fn model_calls(&self, id: VerificationId) -> Result<Vec<ModelCall>, JournalError>;

    /// What was spent on models: for the job, and by everybody today. Calls under way count at what they may cost.
    async fn spent(&self, job_id: &JobId) -> Result<Spent, JournalError>;

    /// Notes a call about the job that is about to be made, unless it may exceed a ceiling: then nothing is noted, and what was
    /// spent is said. It counts until it is kept. Of several at once, each sees those before it.
    async fn reserve_spending(
        &self,
        job_id: &JobId,
        reservation: &Reservation,
    ) -> Result<Option<NoRoom>, JournalError>;

    /// The ids of all jobs, the latest verified first; at most `limit`.
    async fn jobs(&self, limit: u32) -> Result<Vec<JobId>, JournalError>;
}
