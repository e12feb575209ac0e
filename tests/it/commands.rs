//! Commands of the pool that tell a wrong use from trouble: `submit`, `parked retry`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};

use assay::digest::Digest;
use assay::job::JobId;
use assay::journal::{NewParked, PgJournal};
use serde_json::json;

use crate::servers;

fn assay(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn job(id: &str, status: &str, output: &str) -> serde_json::Value {
    json!({
        "id": id, "status": status, "prompt": "p", "title": "t", "sender": "s", "output_text": output,
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    })
}

/// No broker listens there: whoever gets that far has trouble.
const NOWHERE: (&str, &str) = ("ASSAY_AMQP_URL", "amqp://127.0.0.1:1");

#[test]
fn a_job_that_no_message_holds_is_wrong_use_and_nothing_is_submitted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, output: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, job(name, "submitted", output).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (small, large) = (write("small", "x"), write("large", &"x".repeat(1024 * 1024)));
    let output = assay(&["submit", &small, &large], &[NOWHERE]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the job large has") && said.contains("nothing was submitted"),
        "{said}"
    );
}

#[test]
fn no_fixtures_at_all_are_wrong_use() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let output = assay(
        &["submit", "--from-fixtures", fixtures, "--count", "0"],
        &[NOWHERE],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_message_comes_back_only_if_the_job_is_read_anew() {
    let (database, broker) = (servers::database().await, servers::amqp_url());
    let variables = [
        ("ASSAY_DATABASE_URL", database.url.as_str()),
        ("ASSAY_AMQP_URL", broker.as_str()),
    ];
    let set_up = assay(&["setup"], &variables);
    assert!(set_up.status.success(), "{set_up:?}");
    let journal = PgJournal::connect(&database.url, 2).await.unwrap();
    let whole = json!({"v": 1, "job": job("whole", "accepted", "x")});
    let thin = json!({"v": 1, "job_id": "thin", "attempt": 0});
    for (id, message) in [("whole", whole), ("thin", thin)] {
        let message = message.to_string().into_bytes();
        let parked = NewParked {
            about: Some((JobId::new(id), 0)),
            reason: "stale",
            detail: "the job is not handed in".to_owned(),
            digest: Digest::of(&message),
            message,
        };
        journal.park(&parked).await.unwrap();
    }
    for row in journal.parked(false, 10).await.unwrap() {
        let number = row.id.to_string();
        let output = assay(
            &["parked", "retry", &number, "--reason", "handed in now"],
            &variables,
        );
        let said = String::from_utf8_lossy(&output.stdout).replace(&number, "N");
        let job = row.job_id.unwrap().to_string();
        let (code, words) = match job.as_str() {
            "thin" => (0, "N comes back\n"),
            _ => (
                1,
                "N cannot be graded again as it is (stale): have it submitted anew, then close this\n",
            ),
        };
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(code), words),
            "{job}"
        );
    }
    let open = journal.parked(false, 10).await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
}
