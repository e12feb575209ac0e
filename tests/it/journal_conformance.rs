//! What every driver of the journal keeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::{
    Cause, ChainError, Journal, JournalError, NewVerification, SqliteJournal, verify_chain,
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
    })
}

/// The suite: each driver's test calls it with an empty journal.
async fn conforms(journal: &dyn Journal) {
    entries_come_back_as_they_were_written(journal).await;
    a_verification_ends_once(journal).await;
    an_ended_or_unknown_verification_takes_no_entries(journal).await;
    verifications_of_a_job_come_oldest_first(journal).await;
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
    let seqs: Vec<_> = read.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [0, 1, 2]);
    let contents: Vec<_> = read.iter().map(|entry| entry.entry.clone()).collect();
    assert_eq!(contents, written);
    let row = &journal.verifications(&verification.job_id).await.unwrap()[0];
    assert_eq!((row.entries, row.outcome.as_deref()), (3, None));
    assert_eq!(verify_chain(&row.job_id, row.id, &read, row.head), Ok(()));

    let mut changed = read.clone();
    changed[1].entry.content.push('x');
    assert_eq!(
        verify_chain(&row.job_id, row.id, &changed, row.head),
        Err(ChainError::Changed(1))
    );
    let mut audience = read.clone();
    audience[2].entry.audience = Audience::Public;
    assert_eq!(
        verify_chain(&row.job_id, row.id, &audience, row.head),
        Err(ChainError::Changed(2))
    );
    let removed = [read[0].clone(), read[2].clone()];
    assert_eq!(
        verify_chain(&row.job_id, row.id, &removed, row.head),
        Err(ChainError::Gap {
            expected: 1,
            found: 2
        })
    );
    assert_eq!(
        verify_chain(&row.job_id, row.id, &read[..2], row.head),
        Err(ChainError::Head(2))
    );
    assert_eq!(
        verify_chain(&JobId::new("other"), row.id, &read, row.head),
        Err(ChainError::Changed(0)),
        "a chain belongs to its job"
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
async fn sqlite_itself_refuses_to_change_or_delete_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("journal.sqlite"))
        .await
        .unwrap();
    let verification = new("kept", 1);
    journal.begin(&verification).await.unwrap();
    journal.append(verification.id, vec![entry("one")]).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for statement in [
        "UPDATE log SET content = 'other'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT * FROM log",
        "DELETE FROM verification",
        "UPDATE verification SET outcome = 'retry'",
    ] {
        let refused = sqlx::query(statement).execute(journal.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(journal.entries(verification.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_processes_may_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let (one, other) = (
        SqliteJournal::open(&path).await.unwrap(),
        SqliteJournal::open(&path).await.unwrap(),
    );
    let (first, second) = (new("first", 1), new("second", 1));
    one.begin(&first).await.unwrap();
    other.begin(&second).await.unwrap();
    let write = async |journal: &SqliteJournal, id| {
        for number in 0..50 {
            journal
                .append(id, vec![entry(&number.to_string())])
                .await
                .unwrap();
        }
    };
    tokio::join!(write(&one, first.id), write(&other, second.id));
    for verification in [first, second] {
        let entries = other.entries(verification.id).await.unwrap();
        let row = &other.verifications(&verification.job_id).await.unwrap()[0];
        assert_eq!(entries.len(), 50);
        assert_eq!(verify_chain(&row.job_id, row.id, &entries, row.head), Ok(()));
    }
}
