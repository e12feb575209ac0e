//! A process that is cut off from the database in the middle of something.

use std::time::Duration;

use assay::journal::PgJournal;
use sqlx::Executor as _;

use super::journal;

/// Its network is gone, and the server hears nothing of that. Settlement would wait for the locks of such a session as long as TCP
/// waits for the other end: for two hours.
#[tokio::test]
async fn locks_of_a_transaction_that_never_goes_on_are_free_again_before_those_who_wait_give_up() {
    let (database, journal) = journal().await;
    let other = PgJournal::connect(&database.url, 1).await.unwrap();
    let mut cut_off = other.pool().begin().await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(7)";
    cut_off.execute(lock).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(20), journal.pool().execute(lock)).await;
    assert!(matches!(waited, Ok(Ok(_))), "{waited:?}");
    assert!(cut_off.commit().await.is_err(), "its session has ended");
}
