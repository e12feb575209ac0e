//! What is parked for a person: once, until it is closed.

use assay::digest::Digest;
use assay::job::JobId;
use assay::journal::{Claims, NewParked};

use super::{LEASE, claim, journal};

#[tokio::test]
async fn a_message_that_cannot_be_graded_is_parked_once_however_often_it_comes() {
    let (_database, journal) = journal().await;
    let parked = NewParked {
        about: None,
        reason: "undecodable",
        detail: "no JSON".into(),
        message: b"x".to_vec(),
        digest: Digest::of(b"x"),
    };
    for is_new in [true, false, false] {
        assert_eq!(journal.park(&parked).await.unwrap(), is_new, "counted once");
    }
    let rows = journal.parked(false, 9).await.unwrap();
    assert_eq!(rows.len(), 1);
    let (open, _) = journal.parked_open().await.unwrap();
    assert_eq!(open, 1);
    assert!(
        journal
            .close_parked(rows[0].id, false, ("me", "a test"))
            .await
            .unwrap()
    );
    assert_eq!(journal.parked(false, 9).await.unwrap(), []);
    assert_eq!(
        journal.parked(true, 9).await.unwrap().len(),
        1,
        "closed rows are kept"
    );
    journal.park(&parked).await.unwrap();
    assert_eq!(
        journal.parked(false, 9).await.unwrap().len(),
        1,
        "and the message may come again"
    );
}

#[tokio::test]
async fn what_was_parked_as_lost_is_closed_once_its_message_came_after_all() {
    let (_database, journal) = journal().await;
    for (job, reason) in [
        ("late", "message-lost"),
        ("lost", "message-lost"),
        ("late", "undecodable"),
    ] {
        let parked = NewParked {
            about: Some((JobId::new(job), 0)),
            reason,
            detail: "d".to_owned(),
            message: b"{}".to_vec(),
            digest: Digest::of(job.as_bytes()),
        };
        journal.park(&parked).await.unwrap();
    }
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    claims.claim(claim("late", b"s")).await.unwrap();
    assert_eq!(journal.close_found().await.unwrap(), 1);
    assert_eq!(journal.close_found().await.unwrap(), 0);
    let open: Vec<_> = journal
        .parked(false, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.job_id.unwrap().to_string(), row.reason))
        .collect();
    let row = |job: &str, reason: &str| (job.to_owned(), reason.to_owned());
    assert_eq!(open, [row("lost", "message-lost"), row("late", "undecodable")]);
}
