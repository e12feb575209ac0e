//! The journal: what both drivers keep, and what only the pool's promises.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims;
mod conformance;
mod cut_off;
mod outbox;
mod parked;
mod set_aside;
mod shares;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use assay::digest::Digest;
use assay::entry::VerificationId;
use assay::job::JobId;
use assay::journal::{
    Cause, Chain, Ending, EndingState, GroupWriter, NewClaim, NewVerification, PgJournal, Written,
};
use assay::outcome::Outcome;
use assay::plan::PlanRef;
use jiff::Timestamp;

use crate::servers::{TestDatabase, database};

/// Long enough for every test, so that only those which want to see it end see it end.
const LEASE: Duration = Duration::from_secs(60);

async fn journal() -> (TestDatabase, PgJournal) {
    let database = database().await;
    let journal = PgJournal::connect(&database.url, 6).await.unwrap();
    journal.set_up().await.unwrap();
    (database, journal)
}

fn claim(job: &str, submission: &[u8]) -> NewClaim {
    NewClaim {
        verification: NewVerification {
            id: VerificationId::new(),
            job_id: JobId::new(job),
            attempt: 0,
            cause: Cause::Submission,
            plan: PlanRef {
                name: "p".into(),
                digest: Digest::of(b"plan"),
            },
            submission: Digest::of(submission),
            started_at: Timestamp::from_second(1).unwrap(),
        },
        plan_choice: Digest::of(b"choice"),
        message: Arc::new(b"{}".to_vec()),
        traceparent: None,
        has_judge: false,
    }
}

fn written(claim: &NewClaim) -> Written {
    Written {
        id: claim.verification.id,
        job_id: claim.verification.job_id.clone(),
        attempt: claim.verification.attempt,
    }
}

fn ending(claim: &NewClaim, state: EndingState) -> Ending {
    Ending {
        of: written(claim),
        outcome: match state {
            EndingState::Decided { outcome, .. } => outcome.as_str(),
            EndingState::Waits { .. } | EndingState::Parked { .. } => "error",
            EndingState::Closed => "closed",
        },
        state,
        error: None,
        chain: Chain::new(claim.verification.chain_start()),
        at: Timestamp::from_second(2).unwrap(),
    }
}

/// Ends the verification of a claim; gives back whether that is committed.
async fn end(writer: &GroupWriter, claim: &NewClaim, state: EndingState) -> bool {
    let ended = writer.end(ending(claim, state), Vec::new()).await.unwrap();
    ended.is_committed()
}

fn decided() -> EndingState {
    EndingState::Decided {
        outcome: Outcome::Verified,
        message: b"{\"outcome\":\"verified\"}".to_vec(),
        traceparent: Some("00-1-1-01".into()),
    }
}

/// As if so much time had passed since: leases run on the database's clock.
async fn lease_ends(journal: &PgJournal) {
    sqlx::query("UPDATE assay.claim SET due_at = now() - interval '1 second'")
        .execute(&journal.pool())
        .await
        .unwrap();
}

/// As if so much time had passed since these outcomes were published.
async fn outcomes_are_due(journal: &PgJournal) {
    sqlx::query("UPDATE assay.outbox SET due_at = now() - interval '1 second'")
        .execute(&journal.pool())
        .await
        .unwrap();
}
