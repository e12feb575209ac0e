//! What is judged again is what was judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use assay::digest::Digest;
use assay::evidence::store::{BlobStore, EvidenceStore, Stores};
use axum::Router;
use axum::routing::get;
use serde_json::json;

use super::Disputed;
use crate::pool::{Deployment, Submission, job};

/// A host whose file changes.
async fn host() -> (String, Arc<AtomicBool>) {
    let changed = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&changed);
    let answer = get(move || {
        let text = if shared.load(Ordering::Relaxed) {
            "a,c\n"
        } else {
            "a,b\n"
        };
        async move { text }
    });
    let router = Router::new().route("/out.csv", answer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/out.csv", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, changed)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_serves_other_bytes_now_is_refused_with_both_hashes() {
    let (url, changed) = host().await;
    let submission = Submission {
        job: job(
            "j1",
            json!({"output_text": "as expected", "output_attachments": [{"name": "out.csv", "url": url}]}),
        ),
        plan: Some("quick".to_owned()),
    };
    let pool = Deployment::new().await;
    let disputed = Disputed::with(pool, &["work", "--any-network"], &[submission]).await;
    let same = disputed.reverify(&["j1", "--any-network"]);
    assert_eq!(same.code, 0, "{same:?}");
    changed.store(true, Ordering::Relaxed);
    let refused = disputed.reverify(&["j1", "--any-network"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    for sha256 in [Digest::of(b"a,b\n"), Digest::of(b"a,c\n")] {
        assert!(refused.err.contains(&sha256.to_string()), "{}", refused.err);
    }
    assert!(refused.err.contains("`out.csv` had sha256"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_other_bytes_now_is_judged_by_the_originals_where_they_are_kept() {
    let (url, changed) = host().await;
    let submission = Submission {
        job: job(
            "j1",
            json!({"output_text": "as expected", "output_attachments": [{"name": "out.csv", "url": url}]}),
        ),
        plan: Some("quick".to_owned()),
    };
    let pool = Deployment::new().await;
    let settings = std::fs::read_to_string(pool.bench.path("assay.toml")).unwrap();
    pool.bench.write(
        "assay.toml",
        &format!("{settings}\n[evidence]\nstore = \"evidence\"\n"),
    );
    let place = pool.bench.path("evidence").display().to_string();
    let store = EvidenceStore::new(BlobStore::open(&place, &Stores::new()).unwrap());
    let disputed = Disputed::with(pool, &["work", "--any-network"], &[submission]).await;
    store.put(Digest::of(b"a,b\n"), b"a,b\n".to_vec()).await.unwrap();
    changed.store(true, Ordering::Relaxed);
    let same = disputed.reverify(&["j1", "--any-network"]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(
        same.out.contains(&Digest::of(b"a,b\n").to_string()),
        "{}",
        same.out
    );
    // Not fetched at all any more.
    let same = disputed.reverify(&["j1"]);
    assert_eq!(same.code, 0, "{same:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_cannot_be_judged_again() {
    let disputed = Disputed::new(&[super::good("j1")]).await;
    let erase = ["erase", "j1", "--reason", "ticket 4711", "--by", "ann", "--yes"];
    assert!(disputed.pool.command(&erase).output().unwrap().status.success());
    let refused = disputed.reverify(&["j1"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("was erased by ann") && refused.err.contains("ticket 4711"),
        "{}",
        refused.err
    );
    let unknown = disputed.reverify(&["j2"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        unknown.err.contains("nothing was decided of the job `j2`"),
        "{}",
        unknown.err
    );
    let other = disputed.reverify(&["j1", "--attempt", "3"]);
    assert!(other.err.contains("decided attempts: 0"), "{}", other.err);
}
