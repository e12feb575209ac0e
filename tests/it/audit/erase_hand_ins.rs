//! What real workers and disputes leave of a hand-in goes when it is erased: files, senders' own plans, attempts.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use assay::digest::Digest;
use assay::entry::VerificationId;
use assay::evidence::store::{BlobStore, EvidenceStore, Stores};
use assay::keeping::{Keeper, retain};
use assay::message::{PlanChoice, SubmittedJob, Work};
use assay::queue::{Destination, Lane, Outgoing, Queue as _};
use assay::submission::{EvidenceFile, FileRole, Submission as HandIn};
use serde_json::{Value, json};

use super::World;
use super::erase_places::places_of;
use crate::pool::{Deployment, Submission, job};

/// Longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A pool whose workers keep evidence in a folder.
struct Keeping {
    pool: Deployment,
    store: EvidenceStore,
}

impl Keeping {
    async fn new() -> Self {
        let pool = Deployment::new().await;
        let settings = std::fs::read_to_string(pool.bench.path("assay.toml")).unwrap();
        let settings = format!("{settings}\n[evidence]\nstore = \"evidence\"\n");
        pool.bench.write("assay.toml", &settings);
        let place = pool.bench.path("evidence").display().to_string();
        Self {
            store: EvidenceStore::new(BlobStore::open(&place, &Stores::new()).unwrap()),
            pool,
        }
    }

    /// Hands in a job at an attempt, with a file of that text and a plan of the sender's own.
    async fn hand_in(&self, id: &str, attempt: u32, file: &str, plan: &Value) {
        let data = format!("data:text/plain,{}", file.replace(' ', "%20"));
        let fields = json!({
            "output_text": "canary in the text", "attempt_count": attempt,
            "output_attachments": [{"name": "canary.txt", "url": data}],
        });
        let message = SubmittedJob {
            work: Work::Whole(Box::new(job(id, fields))),
            plan: Some(PlanChoice::Inline(plan.as_object().unwrap().clone())),
        };
        let outgoing = Outgoing {
            to: Destination::Lane(Lane::Submitted),
            message_id: format!("{id}-{attempt}"),
            body: message.to_json().unwrap(),
            traceparent: None,
        };
        let decided = self.decided().await;
        self.pool.queue.publish(outgoing).await.unwrap();
        self.pool
            .until("decided", LIMIT, async || self.decided().await > decided)
            .await;
    }

    async fn decided(&self) -> i64 {
        self.pool.count("SELECT count(*) FROM assay.decision").await
    }

    fn erase(&self, arguments: &[&str]) -> Output {
        let arguments = [
            &["erase", "--yes", "--reason", "ticket 4711", "--by", "ann"],
            arguments,
        ]
        .concat();
        self.pool.command(&arguments).output().unwrap()
    }

    /// `assay erase --json`, which succeeds.
    fn erased(&self, arguments: &[&str]) -> Value {
        let output = self.erase(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn audit_finds_nothing(&self) {
        let audited = self.pool.command(&["audit", "--all"]).output().unwrap();
        assert_eq!(audited.status.code(), Some(0), "{audited:?}");
    }

    async fn kept_plans(&self) -> i64 {
        self.pool
            .count("SELECT count(*) FROM assay.plan WHERE name = 'inline'")
            .await
    }
}

/// A plan of a sender's own that lets such hand-ins pass or fail.
fn plan(expected: &str) -> Value {
    json!({"graders": [{
        "name": "text", "kind": "diff", "compare": "exact", "expected": {"text": expected}
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_with_its_files_and_its_senders_plan_is_gone_everywhere_and_the_proofs_stay() {
    let keeping = Keeping::new().await;
    let _worker = keeping.pool.worker().await;
    let plan = plan("canary in the text");
    keeping.hand_in("j1", 0, "canary of j1", &plan).await;
    keeping.hand_in("j2", 0, "canary of j2", &plan).await;
    let (first, second) = (Digest::of(b"canary of j1"), Digest::of(b"canary of j2"));
    assert!(keeping.store.has(first).await.unwrap() && keeping.store.has(second).await.unwrap());
    let digest: Vec<u8> = sqlx::query_scalar("SELECT digest FROM assay.plan WHERE name = 'inline'")
        .fetch_one(&keeping.pool.journal.pool())
        .await
        .unwrap();
    let digest = Digest::from(<[u8; 32]>::try_from(digest).unwrap());

    let erased = keeping.erased(&["j1"]);
    assert_eq!(
        (&erased["files"], &erased["deleted"]),
        (&json!(1), &json!(1)),
        "{erased}"
    );
    assert!(!keeping.store.has(first).await.unwrap(), "the blob is gone");
    assert!(keeping.store.has(second).await.unwrap(), "another's is there");
    // The plan judged another, whose hand-in stays: it is named.
    assert_eq!(erased["plans"], json!([]));
    assert_eq!(
        erased["shared_plans"],
        json!([{"plan": digest, "verifications": 1, "job_id": "j2", "attempt": 0}])
    );
    let told = erased["not_reached"][0].as_str().unwrap();
    assert!(
        told.contains(&digest.to_string()) && told.contains("attempt 0 of j2"),
        "{told}"
    );
    assert_eq!(keeping.kept_plans().await, 1);

    let erased = keeping.erased(&["j2"]);
    assert_eq!(
        (&erased["plans"], &erased["shared_plans"]),
        (&json!([digest]), &json!([]))
    );
    assert!(!keeping.store.has(second).await.unwrap());
    assert_eq!(
        places_of(&keeping.pool.journal, "canary").await,
        Vec::<String>::new()
    );
    let tombstones = keeping.pool.journal.erasures(None).await.unwrap();
    assert_eq!(
        [&tombstones[0].plans[..], &tombstones[1].plans[..]],
        [&[][..], &[digest][..]]
    );
    keeping.audit_finds_nothing();

    // The same plan comes once more, to a worker that has kept it before.
    keeping.hand_in("j3", 0, "three", &plan).await;
    assert_eq!(keeping.kept_plans().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_attempt_is_erased_and_the_others_stay_as_they_are() {
    let keeping = Keeping::new().await;
    let _worker = keeping.pool.worker().await;
    keeping
        .hand_in("j1", 0, "canary of both", &plan("canary: other"))
        .await;
    keeping
        .hand_in("j1", 1, "canary of both", &plan("canary in the text"))
        .await;
    let rows = async |attempt: i32| -> (Vec<u8>, Vec<u8>, String) {
        sqlx::query_as(
            "SELECT d.message, h.message, (SELECT string_agg(content, chr(10) ORDER BY seq) FROM assay.log l
                                           WHERE l.verification_id = d.verification_id)
             FROM assay.decision d JOIN assay.hand_in h USING (job_id, attempt) WHERE attempt = $1",
        )
        .bind(attempt)
        .fetch_one(&keeping.pool.journal.pool())
        .await
        .unwrap()
    };
    let before = rows(1).await;
    let erased = keeping.erased(&["j1", "--attempt", "0"]);
    assert_eq!(
        [
            &erased["attempt"],
            &erased["verifications"],
            &erased["files"],
            &erased["deleted"]
        ],
        [&json!(0), &json!(1), &json!(1), &json!(0)],
        "the other attempt handed in the same bytes: {erased}"
    );
    assert_eq!(erased["plans"].as_array().unwrap().len(), 1, "{erased}");
    assert_eq!(rows(1).await, before);
    let (message, hand_in, log) = rows(0).await;
    for text in [message, hand_in, log.into_bytes()] {
        assert!(!String::from_utf8(text).unwrap().contains("canary"));
    }
    assert!(keeping.store.has(Digest::of(b"canary of both")).await.unwrap());
    assert_eq!(keeping.kept_plans().await, 1, "the other attempt's plan stays");
    keeping.audit_finds_nothing();

    let again = keeping
        .pool
        .command(&["reverify", "j1", "--attempt", "1"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let refused = keeping
        .pool
        .command(&["reverify", "j1", "--attempt", "0"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("attempt 0 of the job `j1` was erased by ann (role "),
        "{told}"
    );
    assert!(
        told.contains("because: ticket 4711: nobody can judge it again"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_dispute_is_not_erased_under_its_hands_and_a_killed_one_hinders_nobody() {
    let keeping = Keeping::new().await;
    let worker = keeping.pool.worker().await;
    let submission = Submission {
        job: job("j1", json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    keeping.pool.publish(&[submission]).await;
    keeping
        .pool
        .until("decided", LIMIT, async || keeping.decided().await == 1)
        .await;
    worker.terminate();
    keeping.pool.judge.takes(LIMIT);
    let asked = keeping.pool.judge.asked();
    let mut reverify = keeping.pool.command(&["reverify", "j1"]);
    let mut reverify = reverify
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    keeping
        .pool
        .until("the judge is asked again", LIMIT, async || {
            keeping.pool.judge.asked() > asked
        })
        .await;
    let refused = keeping.erase(&["j1"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("j1 is in dispute"), "{told}");
    assert_eq!(keeping.pool.count("SELECT count(*) FROM assay.erasure").await, 0);

    reverify.kill().unwrap();
    reverify.wait().unwrap();
    keeping
        .pool
        .until("erased", LIMIT, async || keeping.erase(&["j1"]).status.success())
        .await;
    let left = places_of(&keeping.pool.journal, "as expected").await;
    assert_eq!(left, ["plan.settings"], "that of the operator");
    keeping.audit_finds_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_a_failure_is_deleted_all_the_same() {
    let world = World::new().await;
    let place = world.folder.path().join("evidence").display().to_string();
    let store = EvidenceStore::new(BlobStore::open(&place, &Stores::new()).unwrap());
    let keeper = Keeper {
        journal: world.journal.clone(),
        store: Some(store.clone()),
    };
    let file = |name: &str, text: &str| {
        let path = world.folder.path().join(name);
        (
            path.clone(),
            EvidenceFile {
                name: name.to_owned(),
                content_type: None,
                size: text.len() as u64,
                sha256: Digest::of(text.as_bytes()),
                role: FileRole::Output,
                path,
            },
        )
    };
    let (path, there) = file("a.txt", "is stored");
    std::fs::write(path, "is stored").unwrap();
    let (_, missing) = file("b.txt", "is gone before it is stored");
    let mut hand_in = HandIn::of(&job("j1", json!({"output_text": "t"})));
    hand_in.files = vec![there, missing];
    let id = VerificationId::new();
    keeper.keep(id, &hand_in).await;
    let states = async || -> BTreeMap<String, String> {
        let kept = world.journal.evidence(id).await.unwrap();
        kept.into_iter()
            .inspect(|file| assert!(file.why.as_ref().unwrap().contains("cannot be read"), "{file:?}"))
            .map(|file| (file.name, file.state))
            .collect()
    };
    let all = |state: &str| {
        let names = ["a.txt", "b.txt"].map(String::from);
        BTreeMap::from(names.map(|name| (name, state.to_owned())))
    };
    assert!(store.has(Digest::of(b"is stored")).await.unwrap());
    assert_eq!(states().await, all("doomed"));
    assert_eq!(retain(&keeper, None, "w").await.unwrap(), 1);
    assert!(!store.has(Digest::of(b"is stored")).await.unwrap());
    assert_eq!(states().await, all("deleted"));
}
