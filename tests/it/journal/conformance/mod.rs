//! What every driver of the journal keeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod processes;
mod refusals;

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::{
    Cause, ChainError, Journal, JournalError, NewVerification, PgJournal, SqliteJournal, VerificationRow,
    verify_chain,
};
use assay::outcome::{Decision, Outcome};
use assay::plan::PlanRef;
use assay::verdict::{ErrorKind, GradeError, Score};
use jiff::Timestamp;

fn new(job: &str, second: i64) -> NewVerification {
    NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new(job),
        attempt: 2,
        cause: Cause::Desk,
        plan: PlanRef {
            name: "p".into(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        started_at: Timestamp::from_second(second).unwrap(),
    }
}

fn entry(content: &str) -> Entry {
    Entry {
        kind: EntryType::Reasoning,
        content: content.into(),
        audience: Audience::Operator,
        created_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
    }
}

fn decision() -> Result<Decision, GradeError> {
    Ok(Decision {
        outcome: Outcome::Verified,
        score: Score::ONE,
        threshold: 0.5,
        plan: PlanRef {
            name: "p".into(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        evidence: Digest::of(b"evidence"),
    })
}

/// The suite: each driver's test calls it with an empty journal.
async fn conforms(journal: &dyn Journal) {
    entries_come_back_as_they_were_written(journal).await;
    a_verification_ends_once(journal).await;
    an_ended_or_unknown_verification_takes_no_entries(journal).await;
    verifications_of_a_job_come_oldest_first(journal).await;
    calls::calls_of_models_are_kept_and_found_again(journal).await;
    calls::calls_under_way_count_against_the_ceilings(journal).await;
}

async fn entries_come_back_as_they_were_written(journal: &dyn Journal) {
    let verification = new("written", 1);
    journal.begin(&verification).await.unwrap();
    let written = [entry("one"), entry("zwei\n\tü"), entry("")];
    journal
        .append(verification.id, written[..2].to_vec())
        .await
        .unwrap();
    journal
        .append(verification.id, written[2..].to_vec())
        .await
        .unwrap();
    let read = journal.entries(verification.id).await.unwrap();
    assert_eq!(journal.entries_from(verification.id, 1).await.unwrap(), read[1..]);
    let seqs: Vec<_> = read.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [0, 1, 2]);
    let contents: Vec<_> = read.iter().map(|entry| entry.entry.clone()).collect();
    assert_eq!(contents, written);
    let row = &journal.verifications(&verification.job_id).await.unwrap()[0];
    assert_eq!((row.entries, row.outcome.as_deref()), (3, None));
    assert_eq!(verify_chain(row, &read), Ok(()));

    let mut changed = read.clone();
    changed[1].entry.content.push('x');
    assert_eq!(verify_chain(row, &changed), Err(ChainError::Changed(1)));
    let mut audience = read.clone();
    audience[2].entry.audience = Audience::Public;
    assert_eq!(verify_chain(row, &audience), Err(ChainError::Changed(2)));
    let removed = [read[0].clone(), read[2].clone()];
    assert_eq!(
        verify_chain(row, &removed),
        Err(ChainError::Gap {
            expected: 1,
            found: 2
        })
    );
    let swapped = [read[1].clone(), read[0].clone(), read[2].clone()];
    assert_eq!(
        verify_chain(row, &swapped),
        Err(ChainError::Gap {
            expected: 0,
            found: 1
        })
    );
    assert_eq!(verify_chain(row, &read[..2]), Err(ChainError::Head(2)));
    for other in [
        VerificationRow {
            job_id: JobId::new("other"),
            ..row.clone()
        },
        VerificationRow {
            cause: Cause::Submission,
            ..row.clone()
        },
        VerificationRow {
            attempt: 3,
            ..row.clone()
        },
        VerificationRow {
            submission: Digest::of(b"other"),
            ..row.clone()
        },
        VerificationRow {
            plan: PlanRef {
                name: "p".into(),
                digest: Digest::of(b"other"),
            },
            ..row.clone()
        },
    ] {
        assert_eq!(
            verify_chain(&other, &read),
            Err(ChainError::Changed(0)),
            "a chain says what it is about"
        );
    }
    let claimed = VerificationRow {
        outcome: Some("verified".into()),
        ..row.clone()
    };
    assert!(
        matches!(verify_chain(&claimed, &read), Err(ChainError::Outcome { .. })),
        "an outcome nobody told"
    );
}

async fn a_verification_ends_once(journal: &dyn Journal) {
    let verification = new("ends", 1);
    journal.begin(&verification).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    let error = Err(GradeError::new(ErrorKind::ModelUnavailable, "down"));
    let again = journal
        .conclude(verification.id, &error, Timestamp::from_second(3).unwrap())
        .await;
    assert!(matches!(again, Err(JournalError::NotUnderWay(id)) if id == verification.id));
    let row = &journal.verifications(&verification.job_id).await.unwrap()[0];
    assert_eq!(row.outcome.as_deref(), Some("verified"));
}

async fn an_ended_or_unknown_verification_takes_no_entries(journal: &dyn Journal) {
    let verification = new("closed", 1);
    journal.begin(&verification).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for id in [verification.id, VerificationId::new()] {
        let refused = journal.append(id, vec![entry("late")]).await;
        assert!(
            matches!(refused, Err(JournalError::NotUnderWay(_))),
            "{refused:?}"
        );
    }
    assert_eq!(journal.entries(verification.id).await.unwrap(), []);
}

async fn verifications_of_a_job_come_oldest_first(journal: &dyn Journal) {
    let (late, early) = (new("twice", 20), new("twice", 10));
    journal.begin(&late).await.unwrap();
    journal.begin(&early).await.unwrap();
    let rows = journal.verifications(&JobId::new("twice")).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [early.id, late.id]
    );
    assert_eq!(journal.jobs(1).await.unwrap(), [JobId::new("twice")]);
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("new/journal.sqlite"))
        .await
        .unwrap();
    conforms(&journal).await;
}

#[tokio::test]
async fn postgres_conforms() {
    let database = crate::servers::database().await;
    let journal = PgJournal::connect(&database.url, 4).await.unwrap();
    assert!(
        matches!(journal.check_set_up().await, Err(JournalError::NotSetUp { .. })),
        "an empty database says so"
    );
    journal.set_up().await.unwrap();
    journal.set_up().await.unwrap();
    journal.check_set_up().await.unwrap();
    conforms(&journal).await;
}

#[tokio::test]
async fn a_database_url_is_never_repeated_in_an_error() {
    for url in ["postgres://u:hunter2@127.0.0.1:1/x", "postgres//u:hunter2@"] {
        let error = PgJournal::connect(url, 1).await.err().unwrap();
        let told = format!("{error} {error:?} {}", assay::causes::in_full(&error));
        assert!(!told.contains("hunter2"), "{told}");
    }
}
