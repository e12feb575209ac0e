//! Several processes on one journal.

use assay::journal::{Journal as _, PgJournal, SqliteJournal, verify_chain};

use super::{entry, new};

#[tokio::test]
async fn several_processes_may_set_the_tables_up_at_once() {
    let database = crate::servers::database().await;
    let journal = PgJournal::connect(&database.url, 8).await.unwrap();
    let (one, two, three) = tokio::join!(journal.set_up(), journal.set_up(), journal.set_up());
    one.and(two).and(three).unwrap();
}

#[tokio::test]
async fn two_processes_may_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let (one, other) = (
        SqliteJournal::open(&path).await.unwrap(),
        SqliteJournal::open(&path).await.unwrap(),
    );
    let (first, second) = (new("first", 1), new("second", 1));
    one.begin(&first).await.unwrap();
    other.begin(&second).await.unwrap();
    let write = async |journal: &SqliteJournal, id| {
        for number in 0..50 {
            journal
                .append(id, vec![entry(&number.to_string())])
                .await
                .unwrap();
        }
    };
    tokio::join!(write(&one, first.id), write(&other, second.id));
    for verification in [first, second] {
        let entries = other.entries(verification.id).await.unwrap();
        let row = &other.verifications(&verification.job_id).await.unwrap()[0];
        assert_eq!(entries.len(), 50);
        assert_eq!(verify_chain(row, &entries), Ok(()));
    }
}

#[test]
fn processes_that_start_at_once_on_a_new_journal_do_not_collide() {
    let bench = crate::workbench::Workbench::new();
    bench.plan(
        "p",
        "[[graders]]\nname = \"d\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"x\" }\n",
    );
    bench.fixture(
        "a",
        "plan = \"p\"\nexpect = \"verified\"\n",
        serde_json::json!({"output_text": "x"}),
    );
    let children: Vec<_> = (0..6)
        .map(|_| {
            bench
                .command(&["run", "fixtures", "--json"])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &str| std::fs::metadata(bench.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(".assay"), mode(".assay/journal.sqlite")),
        (0o700, 0o600),
        "the journal is nobody else's to read"
    );
}
