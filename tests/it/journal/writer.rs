//! Group commits: a fenced or broken verification does not take its neighbours along.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use assay::entry::{Audience, Entry, EntryType};
use assay::job::JobId;
use assay::journal::{
    Chain, Claims, Ended, EndingState, GroupWriter, Journal as _, Link, NewClaim, verify_chain,
};
use assay::metrics::Metrics;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{LEASE, claim, decided, end, ending, journal, lease_ends, written};

fn links(chain: &mut Chain, texts: &[&str]) -> Vec<Link> {
    let entry = |text: &&str| Entry {
        kind: EntryType::Result,
        content: (*text).to_owned(),
        audience: Audience::Public,
        created_at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
    };
    texts.iter().map(|text| chain.push(entry(text))).collect()
}

async fn held(claims: &Claims, job: &str) -> (NewClaim, Chain) {
    let new = claim(job, b"s");
    claims.claim(new.clone()).await.unwrap();
    let chain = Chain::new(new.verification.chain_start());
    (new, chain)
}

#[tokio::test]
async fn a_verdict_and_its_reasons_are_committed_together_and_the_chain_holds() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let (new, mut chain) = held(&claims, "j").await;
    let first = links(&mut chain, &["{\"a\":1}"]);
    let fenced = CancellationToken::new();
    writer
        .entries(written(&new), first, fenced.clone())
        .await
        .unwrap();
    let last = links(&mut chain, &["{\"outcome\":\"verified\"}"]);
    let mut end = ending(&new, decided());
    end.chain = chain;
    assert!(writer.end(end, last).await.unwrap().is_committed());
    assert!(!fenced.is_cancelled());
    let row = journal.verifications(&JobId::new("j")).await.unwrap().remove(0);
    let entries = journal.entries(new.verification.id).await.unwrap();
    assert_eq!((row.entries, entries.len()), (2, 2));
    assert_eq!(verify_chain(&row, &entries), Ok(()));
}

#[tokio::test]
async fn a_stale_worker_writes_nothing_and_its_neighbours_in_the_batch_do() {
    let (_database, journal) = journal().await;
    let (mine, theirs) = (
        Claims::start(journal.clone(), "slow".into(), LEASE),
        Claims::start(journal.clone(), "quick".into(), LEASE),
    );
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let (stale, mut stale_chain) = held(&mine, "stale").await;
    lease_ends(&journal).await;
    let (taker, _) = held(&theirs, "stale").await;
    let (fine, mut chain) = held(&mine, "fine").await;

    let fenced = CancellationToken::new();
    let entries = links(&mut stale_chain, &["late"]);
    let writes = async {
        writer
            .entries(written(&stale), entries, fenced.clone())
            .await
            .unwrap();
        let mut end = ending(&stale, decided());
        end.chain = stale_chain;
        writer.end(end, Vec::new()).await.unwrap().is_committed()
    };
    let neighbours = async {
        let last = links(&mut chain, &["{}"]);
        let mut end = ending(&fine, decided());
        end.chain = chain;
        writer.end(end, last).await.unwrap().is_committed()
    };
    let (stale_ended, fine_ended) = tokio::join!(writes, neighbours);
    assert!(!stale_ended, "a stale worker cannot decide");
    assert!(fine_ended);
    assert!(fenced.is_cancelled(), "and is told so");
    assert_eq!(journal.entries(stale.verification.id).await.unwrap(), []);
    let decisions: Vec<String> = sqlx::query_scalar("SELECT job_id FROM assay.decision")
        .fetch_all(&journal.pool())
        .await
        .unwrap();
    assert_eq!(decisions, ["fine"]);
    assert!(end(&writer, &taker, decided()).await);
}

#[tokio::test]
async fn an_entry_that_breaks_the_batch_fails_its_own_verification_only() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let mut ends = Vec::new();
    for number in 0..20 {
        let (new, mut chain) = held(&claims, &format!("j{number}")).await;
        let text = if number == 7 { "nul \0" } else { "{}" };
        let last = links(&mut chain, &[text]);
        let mut end = ending(&new, decided());
        end.chain = chain;
        let writer = writer.clone();
        let ended = tokio::spawn(async move { writer.end(end, last).await });
        ends.push((new.verification.id, ended));
    }
    for (number, (id, ended)) in ends.into_iter().enumerate() {
        match ended.await.unwrap() {
            Ok(Ended::Committed(row)) if number != 7 => journal.confirmed(&[(row, id)]).await.unwrap(),
            ended => assert!(ended.is_err() && number == 7, "{number}: {ended:?}"),
        }
    }
    let unconfirmed: i64 = sqlx::query_scalar("SELECT count(*) FROM assay.outbox")
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(unconfirmed, 0, "each was told its own row");
    // It is still held, and its lease brings it back.
    let running: i64 = sqlx::query_scalar("SELECT count(*) FROM assay.claim WHERE state = 'running'")
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(running, 1);
}

/// Its receipt would sign a log that nobody can show.
#[tokio::test]
async fn a_verification_with_entries_that_could_not_be_written_does_not_end() {
    for apart in [false, true] {
        let (_database, journal) = journal().await;
        let claims = Claims::start(journal.clone(), "w".into(), LEASE);
        let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
        let (new, mut chain) = held(&claims, "j").await;
        let fenced = CancellationToken::new();
        for text in ["nul \0", "{}"] {
            let entries = links(&mut chain, &[text]);
            writer
                .entries(written(&new), entries, fenced.clone())
                .await
                .unwrap();
            if apart {
                fenced.cancelled().await;
            }
        }
        let last = links(&mut chain, &["{}"]);
        let mut end = ending(&new, decided());
        end.chain = chain;
        assert!(writer.end(end, last).await.is_err(), "{apart}");
        assert!(fenced.is_cancelled());
        let decisions: i64 = sqlx::query_scalar("SELECT count(*) FROM assay.decision")
            .fetch_one(&journal.pool())
            .await
            .unwrap();
        assert_eq!(decisions, 0, "{apart}");
    }
}

#[tokio::test]
async fn a_lease_is_lengthened_only_for_whoever_holds_it() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), Duration::from_secs(3));
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let (kept, _) = held(&claims, "kept").await;
    let (lost, _) = held(&claims, "lost").await;
    sqlx::query("UPDATE assay.claim SET due_at = now() - interval '1 s' WHERE job_id = 'lost'")
        .execute(&journal.pool())
        .await
        .unwrap();
    held(&claims, "lost").await;
    let ids = vec![kept.verification.id, lost.verification.id];
    let still = writer.lengthen(ids).await.unwrap();
    assert_eq!(
        still.into_iter().collect::<Vec<_>>(),
        [kept.verification.id.uuid()]
    );
    let left: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM due_at - now())::float8 FROM assay.claim WHERE job_id = 'kept'",
    )
    .fetch_one(&journal.pool())
    .await
    .unwrap();
    assert!(left > 50.0, "{left}");
}

#[tokio::test]
async fn a_parked_ending_keeps_its_reason_and_closes_nothing_else() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let (new, _) = held(&claims, "j").await;
    let parked = EndingState::Parked {
        reason: "script-failed",
        detail: "line 3".into(),
    };
    assert!(end(&writer, &new, parked).await);
    let rows = journal.parked(false, 9).await.unwrap();
    assert_eq!(
        (rows[0].reason.as_str(), rows[0].detail.as_str()),
        ("script-failed", "line 3")
    );
    let unnoticed = journal.parked_unnoticed(9).await.unwrap();
    journal.parked_noticed(unnoticed[0].id).await.unwrap();
    assert_eq!(journal.parked_unnoticed(9).await.unwrap(), []);
}
