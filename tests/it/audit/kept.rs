//! What a real worker leaves: files of hand-ins in the evidence store until their time is over, and a database that holds.

use std::process::{Child, Stdio};
use std::time::Duration;

use assay::digest::Digest;
use assay::evidence::store::{BlobStore, EvidenceStore, Stores};
use serde_json::json;

use crate::pool::{Deployment, Submission, job};

/// Longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A worker that keeps evidence. Killed when it is dropped.
struct Keeping(Child);

impl Keeping {
    fn start(pool: &Deployment, folder: &str) -> Self {
        let mut command = pool.command(&["work"]);
        command.env("ASSAY_EVIDENCE", folder).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// SIGTERM: it drains, and seals what it decided.
    fn terminate(mut self) {
        let id = i32::try_from(self.0.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the manifest says of every file.
async fn states(pool: &Deployment) -> Vec<(String, String)> {
    sqlx::query_as("SELECT name, state FROM assay.evidence ORDER BY verification_id, place")
        .fetch_all(&pool.journal.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_an_attachment_until_its_time_is_over_and_its_output_passes_the_audit() {
    let pool = Deployment::new().await;
    let settings = std::fs::read_to_string(pool.bench.path("assay.toml")).unwrap();
    pool.bench
        .write("assay.toml", &format!("{settings}\n[evidence]\nkeep_days = 1\n"));
    let folder = pool.bench.path("evidence").display().to_string();
    let store = EvidenceStore::new(BlobStore::open(&folder, &Stores::new()).unwrap());
    let (bytes, attached) = (
        b"a,b\n".to_vec(),
        json!([{"name": "out.csv", "data": "YSxiCg=="}]),
    );
    let sha256 = Digest::of(&bytes);
    let submission = Submission {
        job: job(
            "kept",
            json!({"output_text": "as expected", "output_attachments": attached}),
        ),
        plan: Some("script".to_owned()),
    };

    let worker = Keeping::start(&pool, &folder);
    pool.insert(std::slice::from_ref(&submission)).await;
    pool.publish(&[submission]).await;
    pool.until("decided", LIMIT, async || {
        pool.count("SELECT count(*) FROM assay.decision").await == 1
    })
    .await;
    worker.terminate();
    assert_eq!(states(&pool).await, [("out.csv".to_owned(), "kept".to_owned())]);
    assert_eq!(store.get(sha256).await.unwrap(), Some(bytes));

    sqlx::query("UPDATE assay.evidence SET noted_at = now() - interval '25 hours'")
        .execute(&pool.journal.pool())
        .await
        .unwrap();
    let worker = Keeping::start(&pool, &folder);
    pool.until("deleted", LIMIT, async || {
        pool.count("SELECT count(*) FROM assay.evidence WHERE state = 'deleted'")
            .await
            == 1
    })
    .await;
    worker.terminate();
    assert_eq!(store.get(sha256).await.unwrap(), None);
    let acts = "SELECT count(*) FROM assay.act WHERE what = 'retention' AND reason = 'kept for 1 days'";
    assert_eq!(pool.count(acts).await, 1);

    let audited = pool.command(&["audit", "--all"]).output().unwrap();
    let said = String::from_utf8_lossy(&audited.stdout);
    assert_eq!(audited.status.code(), Some(0), "{said}");
    assert!(
        said.contains("1 verifications (0 running)") && said.contains("1 receipts, 1 plans, 1 checkpoints"),
        "{said}"
    );
}
