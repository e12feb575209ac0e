//! Claims that come back or are set aside: what they keep, what they count, and how long their chains are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType};
use assay::job::JobId;
use assay::journal::{
    Chain, ClaimAnswer, Claims, EndingState, GroupWriter, Held, Journal as _, NewClaim, PgJournal, Unplanned,
    verify_chain,
};
use assay::metrics::Metrics;
use jiff::Timestamp;

use super::{LEASE, claim, end, journal, lease_ends};

async fn held(claims: &Claims, new: &NewClaim) -> Held {
    match claims.claim(new.clone()).await.unwrap() {
        ClaimAnswer::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

fn waits(not_found: Option<Digest>) -> EndingState {
    EndingState::Waits {
        after: Duration::from_secs(60),
        counts: true,
        not_found,
        for_judge: false,
    }
}

#[tokio::test]
async fn what_is_claimed_again_comes_with_the_message_that_was_claimed_first() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let first = NewClaim {
        message: Arc::new(b"first".to_vec()),
        ..claim("j", b"s")
    };
    assert_eq!(held(&claims, &first).await.kept, None, "it is at hand");
    lease_ends(&journal).await;
    let second = NewClaim {
        message: Arc::new(b"second".to_vec()),
        ..claim("j", b"s")
    };
    let kept = held(&claims, &second).await.kept;
    assert_eq!(kept.as_deref().map(Vec::as_slice), Some(b"first".as_slice()));
}

#[tokio::test]
async fn each_missing_file_is_counted_from_the_first_time_that_it_was_missing() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    // A run that met other trouble says nothing of the file.
    let told = [
        (Some(a), a, 1),
        (Some(a), a, 2),
        (None, a, 2),
        (Some(a), a, 3),
        (Some(b), b, 1),
        (Some(a), a, 1),
    ];
    let mut new = claim("j", b"s");
    held(&claims, &new).await;
    for (missing, file, times) in told {
        assert!(end(&writer, &new, waits(missing)).await);
        sqlx::query(
            "UPDATE assay.claim
             SET due_at = now() - interval '1 second', first_not_found = first_not_found - interval '1 hour'",
        )
        .execute(&journal.pool())
        .await
        .unwrap();
        new = claim("j", b"s");
        let found = held(&claims, &new).await.not_found.unwrap();
        assert_eq!((found.file, found.times), (file, times));
        let hours = found.since.as_secs() / 3600;
        assert_eq!(hours == 1, times == 1, "the first time is its own: {found:?}");
    }
}

fn unplanned(submission: &[u8], choice: &[u8]) -> Unplanned {
    Unplanned {
        job_id: JobId::new("j"),
        attempt: 0,
        submission: Digest::of(submission),
        plan_choice: Digest::of(choice),
        message: Arc::new(b"{}".to_vec()),
        traceparent: None,
        has_judge: false,
    }
}

async fn ask(journal: &PgJournal, unplanned: &Unplanned, wait: Option<Duration>) -> Option<ClaimAnswer> {
    let reason = ("plan-unknown", "no such plan");
    journal
        .claim_unplanned(unplanned, reason, |_| wait)
        .await
        .unwrap()
}

async fn state(journal: &PgJournal) -> (String, i32) {
    sqlx::query_as("SELECT state, tries FROM assay.claim")
        .fetch_one(&journal.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_message_without_a_plan_parks_what_nobody_claimed_and_nothing_else() {
    let (_database, journal) = journal().await;
    let soon = Some(Duration::from_secs(60));
    assert_eq!(ask(&journal, &unplanned(b"s", b"choice"), soon).await, None);
    assert_eq!(state(&journal).await.0, "parked");
    assert_eq!(
        ask(&journal, &unplanned(b"s", b"choice"), soon).await,
        Some(ClaimAnswer::Ended)
    );
    assert_eq!(
        ask(&journal, &unplanned(b"other", b"choice"), soon).await,
        Some(ClaimAnswer::SubmissionChanged)
    );
    assert_eq!(journal.parked(false, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_message_without_a_plan_leaves_the_claim_of_those_that_had_one_until_all_tries_are_used_up() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let new = claim("j", b"s");
    held(&claims, &new).await;
    let soon = Some(Duration::from_secs(60));
    let same = unplanned(b"s", b"choice");
    for (message, expected) in [
        (unplanned(b"other", b"gone"), ClaimAnswer::SubmissionChanged),
        (unplanned(b"s", b"gone"), ClaimAnswer::PlanChanged),
    ] {
        assert_eq!(ask(&journal, &message, soon).await, Some(expected));
    }
    assert!(matches!(
        ask(&journal, &same, soon).await,
        Some(ClaimAnswer::Busy(_))
    ));
    assert_eq!(state(&journal).await, ("running".to_owned(), 0));

    // Its worker dies: the claim waits, and the run that held it has ended.
    lease_ends(&journal).await;
    assert!(matches!(
        ask(&journal, &same, soon).await,
        Some(ClaimAnswer::Busy(_))
    ));
    assert_eq!(state(&journal).await, ("waiting".to_owned(), 1));
    assert!(!end(&writer, &new, waits(None)).await, "it is fenced");
    let row = journal.verifications(&JobId::new("j")).await.unwrap().remove(0);
    assert_eq!(verify_chain(&row, &[]), Ok(()));
    assert_eq!(row.outcome.as_deref(), Some("taken-over"));

    lease_ends(&journal).await;
    assert_eq!(ask(&journal, &same, None).await, None);
    assert_eq!(state(&journal).await.0, "parked");
}

/// The owner of a claim is alive and writes while somebody else finds that its lease has ended.
#[tokio::test]
async fn what_is_parked_has_the_whole_chain_that_its_owner_committed_meanwhile() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let held = claim("j", b"s");
    claims.claim(held.clone()).await.unwrap();
    lease_ends(&journal).await;
    let mut chain = Chain::new(held.verification.chain_start());
    let link = chain.push(Entry {
        kind: EntryType::Info,
        content: "alive".to_owned(),
        audience: Audience::Public,
        created_at: Timestamp::from_second(2).unwrap(),
    });
    let mut owner = journal.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM assay.claim WHERE job_id = 'j' FOR SHARE")
        .execute(&mut *owner)
        .await
        .unwrap();
    let parking = tokio::spawn({
        let journal = journal.clone();
        async move {
            journal
                .park_claimed((&JobId::new("j"), 0), "kills-worker", "d")
                .await
        }
    });
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !sqlx::query_scalar::<_, bool>(waits)
        .fetch_one(&journal.pool())
        .await
        .unwrap()
    {
        tokio::task::yield_now().await;
    }
    sqlx::query(
        "INSERT INTO assay.log (job_id, verification_id, seq, type, content, audience, created_at, salt, hash)
         VALUES ('j', $1, 0, 'info', 'alive', 'public', 'epoch'::timestamptz + interval '2 seconds', $2, $3)",
    )
    .bind(held.verification.id.uuid())
    .bind(link.salt.as_slice())
    .bind(link.hash.as_bytes())
    .execute(&mut *owner)
    .await
    .unwrap();
    owner.commit().await.unwrap();
    parking.await.unwrap().unwrap();
    let row = journal.verifications(&JobId::new("j")).await.unwrap().remove(0);
    let entries = journal.entries(held.verification.id).await.unwrap();
    assert_eq!((row.entries, entries.len()), (1, 1));
    assert_eq!(verify_chain(&row, &entries), Ok(()));
}
