//! The commands: `keys`, `settle held|approve|exceptions|again|close`, `pause`, `resume`.

use std::process::{Command, Output};

use assay::outcome::Outcome;
use assay::receipt::{SigningKey, TrustFile};
use assay::settle::SettleSettings;

use super::World;

pub(super) fn assay(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(arguments)
        .envs(variables.iter().copied())
        .env("USER", "ann")
        .output()
        .unwrap()
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (key, trust) = (folder.path().join("key"), folder.path().join("trust.toml"));
    let (key_text, trust_text) = (key.to_str().unwrap(), trust.to_str().unwrap());
    let variables = [("ASSAY_SIGNING_KEY", key_text), ("ASSAY_TRUST", trust_text)];
    let made = assay(&["keys", "new", "--json"], &variables);
    assert!(made.status.success(), "{made:?}");
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(!stdout(&made).contains(secret.trim()));
    let kid = SigningKey::read(&key).unwrap().id().to_string();
    assert!(stdout(&made).contains(&kid));
    assert_eq!(TrustFile::read(&trust).unwrap().keys()[0].deployment, "default");

    // A key is never overwritten.
    let again = assay(&["keys", "new"], &variables);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), secret);

    let listed = stdout(&assay(&["keys", "list"], &variables));
    insta::assert_snapshot!(listed.replace(&kid, "KID"), @"KID  valid          default  0 days old");
    let revoked = assay(&["keys", "revoke", &kid, "--reason", "laptop stolen"], &variables);
    assert!(revoked.status.success(), "{revoked:?}");
    let listed = stdout(&assay(&["keys", "list", "--json"], &variables));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (listed["state"].as_str(), listed["reason"].as_str()),
        (Some("revoked"), Some("laptop stolen"))
    );
    let twice = assay(&["keys", "revoke", &kid, "--reason", "again"], &variables);
    assert_eq!(twice.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_shown_and_approved_and_exceptions_are_tried_again_or_closed() {
    let world = World::with(SettleSettings {
        hold_above_cents: Some(10),
        ..SettleSettings::default()
    })
    .await;
    let job = world.job("j1", |_| ()).await;
    let decision = world.decide(&job, Outcome::Verified).await;
    let trust = world.trust.to_str().unwrap();
    let variables = [
        ("ASSAY_DATABASE_URL", world.database.url.as_str()),
        ("ASSAY_TRUST", trust),
    ];
    let run = |arguments: &[&str]| assay(arguments, &variables);
    let id = decision.id().to_string();

    let paused = run(&["pause", "--reason", "looks wrong"]);
    assert!(paused.status.success(), "{paused:?}");
    world.settle(&decision).await;
    assert!(stdout(&run(&["settle", "held"])).contains(&id));
    assert!(stdout(&run(&["settle", "approve", "j1"])).contains(&id));
    assert_eq!(run(&["settle", "approve", "j1"]).status.code(), Some(2));
    assert!(stdout(&run(&["settle", "held"])).contains("approved by ann"));
    assert!(run(&["resume"]).status.success());
    assert_eq!(world.settler.release().await.unwrap(), 1);
    assert_eq!(stdout(&run(&["settle", "held"])), "");

    let spent = world.dispute(&job, Outcome::Retry, decision.id()).await;
    world
        .execute("UPDATE users SET balance_cents = 0 WHERE id = 'receiver'")
        .await;
    world.settle(&spent).await;
    let number = world.market.exceptions(false).await.unwrap()[0].id.to_string();
    let still = run(&["settle", "again", &number]);
    assert_eq!(
        (still.status.code(), stdout(&still)),
        (
            Some(1),
            format!("{number}: still an exception: balance-too-low\n")
        )
    );
    world
        .execute("UPDATE users SET balance_cents = 6000 WHERE id = 'receiver'")
        .await;
    assert_eq!(
        stdout(&run(&["settle", "again", &number])),
        format!("{number}: reversed-requeued\n")
    );
    assert_eq!(stdout(&run(&["settle", "exceptions"])), "");
    let all = stdout(&run(&["settle", "exceptions", "--all", "--json"]));
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["closed_by"], "ann");

    world.settler.settle(b"noise").await.unwrap();
    let number = world.market.exceptions(false).await.unwrap()[0].id.to_string();
    assert!(
        run(&["settle", "close", &number, "--reason", "noise"])
            .status
            .success()
    );
    assert_eq!(
        run(&["settle", "close", &number, "--reason", "noise"])
            .status
            .code(),
        Some(2)
    );
    drop(world.folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_marketplace_is_told() {
    let database = crate::servers::database().await;
    let journal = assay::journal::PgJournal::connect(&database.url, 2)
        .await
        .unwrap();
    journal.set_up().await.unwrap();
    let error = journal.market().await.unwrap_err().to_string();
    let place = error.find(" has no").unwrap();
    insta::assert_snapshot!(&error[place..], @" has no table `jobs` of a marketplace: point ASSAY_DATABASE_URL at the marketplace's database, or run `assay setup --demo-marketplace`");
}
