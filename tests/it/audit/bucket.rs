//! Evidence and anchor in a bucket, named in the settings as an operator names it.

use std::process::{Command, Output};
use std::time::Duration;

use assay::digest::Digest;
use axum::Router;
use axum::extract::Request;
use serde_json::json;

use crate::bucket::{Bucket, KEY_ID, SECRET};
use crate::pool::{Deployment, Submission, job};

/// Longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A pool with a bucket.
struct Cold {
    pool: Deployment,
    bucket: Bucket,
    /// The host of the attachments, which workers alone reach.
    host: String,
}

impl Cold {
    async fn new() -> Self {
        let (pool, bucket) = (Deployment::new().await, Bucket::start().await);
        let settings = std::fs::read_to_string(pool.bench.path("assay.toml")).unwrap();
        let stores = bucket.settings();
        let keeping = "[evidence]\nstore = \"cold:files\"\n[audit]\nanchor = \"cold:anchor\"\n";
        pool.bench
            .write("assay.toml", &format!("{settings}\n{keeping}{stores}"));
        let router = Router::new().fallback(|request: Request| async move {
            format!("file-of-{}", request.uri().path().trim_start_matches('/'))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { pool, bucket, host }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.pool.command(args);
        command.env("ASSAY_STORE_COLD_ACCESS_KEY_ID", KEY_ID);
        command.env("ASSAY_STORE_COLD_SECRET_ACCESS_KEY", SECRET);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A worker judges so many jobs, each with a file, ends, and has sealed them.
    async fn judge(&self, jobs: &[&str]) -> Output {
        let before = self.decided().await;
        let worker = self
            .command(&["work", "--any-network"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let submissions: Vec<_> = jobs.iter().map(|id| self.submission(id)).collect();
        self.pool.publish(&submissions).await;
        let wanted = before + i64::try_from(jobs.len()).unwrap();
        self.pool
            .until("decided", LIMIT, async || self.decided().await == wanted)
            .await;
        let id = rustix::process::Pid::from_raw(i32::try_from(worker.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        worker.wait_with_output().unwrap()
    }

    async fn decided(&self) -> i64 {
        self.pool.count("SELECT count(*) FROM assay.decision").await
    }

    fn submission(&self, id: &str) -> Submission {
        let file = json!([{"name": "out.txt", "url": format!("{}/{id}", self.host)}]);
        Submission {
            job: job(
                id,
                json!({"output_text": "as expected", "output_attachments": file}),
            ),
            plan: Some("quick".to_owned()),
        }
    }

    fn objects(&self, folder: &str) -> usize {
        let keys = self.bucket.keys();
        keys.iter().filter(|key| key.starts_with(folder)).count()
    }
}

fn blob(id: &str) -> String {
    let sha256 = Digest::of(format!("file-of-{id}").as_bytes()).to_string();
    format!("assay/files/sha256/{}/{sha256}", &sha256[..2])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_files_and_checkpoints_tells_what_was_removed_and_forgets_what_is_erased() {
    let cold = Cold::new().await;
    for jobs in [&["j1"][..], &["j2"], &["j3"]] {
        let worker = cold.judge(jobs).await;
        assert!(worker.status.success(), "{worker:?}");
    }
    assert_eq!(cold.objects("assay/files/"), 3);
    assert!(
        cold.bucket.keys().contains(&blob("j1")),
        "{:?}",
        cold.bucket.keys()
    );
    assert_eq!(
        cold.objects("assay/anchor/checkpoints/"),
        3,
        "more than a page of a list"
    );
    let audited = cold.run(&["audit", "--all"]);
    let told = String::from_utf8(audited.stdout).unwrap();
    assert_eq!(audited.status.code(), Some(0), "{told}");
    assert!(
        told.contains("anchored at cold:anchor through checkpoint 3, 0 not yet"),
        "{told}"
    );

    // Without the network, judged again by what the bucket has; what somebody exchanged there is judged by nobody.
    let again = cold.run(&["reverify", "j2"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    cold.bucket.tamper(&blob("j2"), b"other");
    let refused = cold.run(&["reverify", "j2"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("the store cold:files serves other bytes"), "{told}");
    assert!(!told.contains(SECRET) && !told.contains(KEY_ID), "{told}");

    let erased = cold.run(&["erase", "j1", "--reason", "ticket 4711", "--yes"]);
    let told = String::from_utf8(erased.stdout).unwrap();
    assert!(told.contains("deleted 1 blobs from cold:files"), "{told}");
    assert!(!cold.bucket.keys().contains(&blob("j1")));
    assert_eq!(cold.objects("assay/files/"), 2);

    // The last checkpoint, with all that it covered, removed by the database's owner.
    sqlx::raw_sql(
        "SET session_replication_role = replica;
         DELETE FROM assay.checkpoint WHERE number = 3;
         DELETE FROM assay.checkpoint_leaf WHERE checkpoint = 3;
         RESET session_replication_role",
    )
    .execute(&cold.pool.journal.pool())
    .await
    .unwrap();
    let audited = cold.run(&["audit", "--all"]);
    let told = String::from_utf8(audited.stdout).unwrap();
    assert_eq!(audited.status.code(), Some(1), "{told}");
    assert!(told.contains("checkpoint-removed  checkpoint 3"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_takes_nothing_changes_no_verdict_and_what_it_did_not_take_is_told() {
    let cold = Cold::new().await;
    cold.bucket.is_read_only(true);
    let worker = cold.judge(&["j1"]).await;
    let log = String::from_utf8_lossy(&worker.stderr);
    assert!(log.contains("evidence is not kept"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(KEY_ID), "{log}");
    let states = "SELECT count(*) FROM assay.evidence WHERE state = 'doomed' AND why LIKE 'the store cold:files cannot be%'";
    assert_eq!(cold.pool.count(states).await, 1, "{log}");

    // What may have been stored of it goes with the next look, and the anchor catches up.
    cold.bucket.is_read_only(false);
    cold.judge(&["j2"]).await;
    let left = "SELECT count(*) FROM assay.evidence WHERE state = 'doomed'";
    assert_eq!(cold.pool.count(left).await, 0);
    assert_eq!(
        cold.bucket
            .keys()
            .iter()
            .filter(|key| **key == blob("j2"))
            .count(),
        1
    );
    let audited = cold.run(&["audit", "--all"]);
    let told = String::from_utf8(audited.stdout).unwrap();
    assert_eq!(audited.status.code(), Some(0), "{told}");
    assert!(told.contains("0 not yet"), "{told}");
}
