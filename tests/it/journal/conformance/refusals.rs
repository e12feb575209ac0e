//! What the databases themselves refuse.

use assay::journal::{Journal as _, PgJournal, SqliteJournal};
use jiff::Timestamp;

use super::{decision, entry, new};

#[tokio::test]
async fn postgres_itself_refuses_to_change_or_delete_what_is_kept_its_owner_too() {
    let database = crate::servers::database().await;
    let journal = PgJournal::connect(&database.url, 2).await.unwrap();
    journal.set_up().await.unwrap();
    let verification = new("kept", 1);
    journal.begin(&verification).await.unwrap();
    journal.append(verification.id, vec![entry("one")]).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for statement in [
        "UPDATE assay.log SET content = 'other'",
        "DELETE FROM assay.log",
        "TRUNCATE assay.log",
        "DELETE FROM assay.verification",
        "UPDATE assay.verification SET outcome = 'retry'",
        "UPDATE assay.verification SET plan_digest = '\\x00'",
        "TRUNCATE assay.decision",
        "TRUNCATE assay.settlement",
    ] {
        let refused = sqlx::query(statement).execute(&journal.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(journal.entries(verification.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn sqlite_itself_refuses_to_change_or_delete_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("journal.sqlite"))
        .await
        .unwrap();
    let verification = new("kept", 1);
    journal.begin(&verification).await.unwrap();
    journal.append(verification.id, vec![entry("one")]).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for statement in [
        "UPDATE log SET content = 'other'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT * FROM log",
        "DELETE FROM verification",
        "UPDATE verification SET outcome = 'retry'",
        "UPDATE verification SET plan_digest = 'x'",
    ] {
        let refused = sqlx::query(statement).execute(journal.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(journal.entries(verification.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_verification_is_about_cannot_be_changed_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("journal.sqlite"))
        .await
        .unwrap();
    journal.begin(&new("running", 1)).await.unwrap();
    for column in [
        "job_id",
        "attempt",
        "plan_digest",
        "submission_digest",
        "started_at",
    ] {
        let update = sqlx::AssertSqlSafe(format!("UPDATE verification SET {column} = 7"));
        assert!(
            sqlx::query(update).execute(journal.pool()).await.is_err(),
            "{column}"
        );
    }
}
