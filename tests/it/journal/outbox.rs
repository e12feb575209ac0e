//! The outbox: what was decided is published until it is confirmed, each outcome for itself.

use std::collections::HashSet;
use std::time::Duration;

use assay::entry::VerificationId;
use assay::journal::{Claims, Ended, GroupWriter, OutboxId, PgJournal};
use assay::metrics::Metrics;
use futures_util::future::join_all;
use sqlx::Executor as _;

use super::{LEASE, claim, decided, ending, journal, outcomes_are_due};

const AFTER: Duration = Duration::from_secs(60);

/// Decides so many jobs by one statement; gives back its row of the outbox.
async fn decide(journal: &PgJournal, jobs: usize) -> (OutboxId, Vec<VerificationId>) {
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let job = |_| claim(&VerificationId::new().to_string(), b"s");
    let new: Vec<_> = (0..jobs).map(job).collect();
    join_all(new.iter().map(|new| claims.claim(new.clone()))).await;
    let ends = new
        .iter()
        .map(|new| writer.end(ending(new, decided()), Vec::new()));
    let rows: HashSet<_> = join_all(ends)
        .await
        .into_iter()
        .map(|ended| match ended.unwrap() {
            Ended::Committed(row) => row,
            Ended::NotHeld => panic!("not held"),
        })
        .collect();
    assert_eq!(rows.len(), 1, "decided by one statement");
    let ids = new.iter().map(|new| new.verification.id).collect();
    (rows.into_iter().next().unwrap(), ids)
}

/// The outcomes that are due, and in which rows.
async fn due(journal: &PgJournal, limit: u32) -> HashSet<(OutboxId, VerificationId)> {
    let due = journal.unconfirmed(AFTER, limit).await.unwrap();
    due.into_iter()
        .map(|stored| (stored.outbox.unwrap(), stored.verification_id))
        .collect()
}

#[tokio::test]
async fn an_outcome_is_published_again_until_it_is_confirmed() {
    let (_database, journal) = journal().await;
    let (row, ids) = decide(&journal, 1).await;
    let ours = HashSet::from([(row, ids[0])]);
    assert_eq!(due(&journal, 9).await, HashSet::new(), "not due yet");
    outcomes_are_due(&journal).await;
    assert_eq!(due(&journal, 9).await, ours);
    assert_eq!(
        due(&journal, 9).await,
        HashSet::new(),
        "one sweeper of all takes it"
    );
    outcomes_are_due(&journal).await;
    journal.confirmed(&[(row, ids[0])]).await.unwrap();
    assert_eq!(due(&journal, 9).await, HashSet::new());
}

#[tokio::test]
async fn of_outcomes_decided_together_those_that_nobody_confirmed_are_published_again_and_no_others() {
    let (_database, journal) = journal().await;
    let (row, ids) = decide(&journal, 5).await;
    let (other_row, other_ids) = decide(&journal, 2).await;
    journal
        .confirmed(&[(row, ids[3]), (other_row, other_ids[0]), (row, ids[0])])
        .await
        .unwrap();
    // What a row does not hold, and what is told twice, changes nothing.
    journal
        .confirmed(&[(row, other_ids[1]), (row, ids[0])])
        .await
        .unwrap();
    outcomes_are_due(&journal).await;
    let rest = [
        (row, ids[1]),
        (row, ids[2]),
        (row, ids[4]),
        (other_row, other_ids[1]),
    ];
    assert_eq!(due(&journal, 9).await, HashSet::from(rest));

    journal.confirmed(&rest).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM assay.outbox")
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(rows, 0, "nothing of them is left");
}

/// As two workers do of which the second has published what the first has, too.
#[tokio::test]
async fn what_is_confirmed_of_the_same_row_at_the_same_time_is_noted_all_of_it() {
    let (_database, journal) = journal().await;
    let (row, ids) = decide(&journal, 3).await;
    let mut blocking = journal.pool().begin().await.unwrap();
    blocking
        .execute("SELECT FROM assay.outbox FOR UPDATE")
        .await
        .unwrap();
    let mut confirming = Vec::new();
    for id in [ids[0], ids[2]] {
        let journal = journal.clone();
        confirming.push(tokio::spawn(async move { journal.confirmed(&[(row, id)]).await }));
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(&journal.pool())
        .await
        .unwrap()
        < 2
    {
        tokio::task::yield_now().await;
    }
    blocking.commit().await.unwrap();
    for confirmed in confirming {
        confirmed.await.unwrap().unwrap();
    }
    outcomes_are_due(&journal).await;
    assert_eq!(due(&journal, 9).await, HashSet::from([(row, ids[1])]));
}

#[tokio::test]
async fn outcomes_that_are_due_are_taken_row_by_row_until_there_are_enough() {
    let (_database, journal) = journal().await;
    for _ in 0..3 {
        decide(&journal, 2).await;
    }
    outcomes_are_due(&journal).await;
    assert_eq!(due(&journal, 3).await.len(), 4, "a row is taken whole");
    assert_eq!(due(&journal, 1).await.len(), 2, "and at least one");
    assert_eq!(due(&journal, 9).await.len(), 0);
}

/// Before there was an outbox, a decided claim was due until its outcome was confirmed.
#[tokio::test]
async fn outcomes_that_nobody_had_confirmed_when_the_outbox_was_made_are_published_from_it() {
    let (_database, journal) = journal().await;
    let (_, ids) = decide(&journal, 2).await;
    let pool = journal.pool();
    pool.execute("DROP TABLE assay.outbox").await.unwrap();
    pool.execute("DELETE FROM assay.migration WHERE version >= 10")
        .await
        .unwrap();
    sqlx::query("UPDATE assay.claim SET due_at = now() - interval '1 s' WHERE verification_id = $1")
        .bind(ids[0].uuid())
        .execute(&pool)
        .await
        .unwrap();
    journal.set_up().await.unwrap();
    let due = journal.unconfirmed(AFTER, 9).await.unwrap();
    let due: Vec<_> = due.into_iter().map(|stored| stored.verification_id).collect();
    assert_eq!(due, [ids[0]], "the other was confirmed");
    let due: i64 = sqlx::query_scalar("SELECT count(due_at) FROM assay.claim")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(due, 0, "no claim is due any more");

    // As a worker of before that still runs.
    sqlx::query("UPDATE assay.claim SET due_at = now() - interval '1 s' WHERE verification_id = $1")
        .bind(ids[1].uuid())
        .execute(&pool)
        .await
        .unwrap();
    let mut due = Vec::new();
    for _ in 0..2 {
        due.extend(journal.unconfirmed(AFTER, 9).await.unwrap());
    }
    let due: Vec<_> = due.into_iter().map(|stored| stored.verification_id).collect();
    assert_eq!(due, [ids[1]], "once");
}
