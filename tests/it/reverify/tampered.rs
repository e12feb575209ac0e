//! What was decided in a dispute is found out when it is taken away or put in, as the superuser of a database can.

use std::time::Duration;

use assay::audit::Sealer;
use assay::clock::Clock;
use assay::receipt::SigningKey;

use super::{Disputed, good, said, stricter};

impl Disputed {
    /// Makes a checkpoint of what has ended and what was published.
    async fn seal(&self) {
        let sealer = Sealer {
            journal: self.journal().clone(),
            key: SigningKey::read(&self.pool.bench.path("signing.key")).unwrap(),
            deployment: "default".to_owned(),
            anchor: None,
            clock: Clock::system(),
        };
        sealer.round(Duration::ZERO, true).await.unwrap();
    }

    /// Runs SQL with every trigger disabled.
    async fn tamper(&self, statement: &str) {
        let mut connection = self.journal().pool().acquire().await.unwrap();
        for statement in [
            "SET session_replication_role = replica",
            statement,
            "RESET session_replication_role",
        ] {
            let run = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
            run.execute(&mut *connection).await.unwrap();
        }
    }

    /// What an audit of everything finds, and where.
    fn audit(&self) -> Vec<(String, String)> {
        let audited = said(self.pool.command(&["audit", "--all", "--json"]).output().unwrap());
        let report = audited.json();
        let findings = report["findings"].as_array().unwrap();
        let found: Vec<_> = findings
            .iter()
            .map(|finding| ["what", "place"].map(|key| finding[key].as_str().unwrap().to_owned()))
            .map(|[what, place]| (what, place))
            .collect();
        assert_eq!(audited.code, i32::from(!found.is_empty()), "{audited:?}");
        found
    }
}

/// Only of decisions that overturned others.
const OVERTURNING: &str =
    "verification_id IN (SELECT verification_id FROM assay.decision WHERE trigger = 'dispute')";

fn one(what: &str, place: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), place.to_owned())]
}

async fn overturned() -> Disputed {
    let disputed = Disputed::new(&[good("j1"), good("j2")]).await;
    stricter(&disputed.pool);
    let published = disputed.reverify(&["j1", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(published.code, 1, "{published:?}");
    disputed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_decision_that_was_taken_away_is_missed() {
    let disputed = overturned().await;
    assert_eq!(disputed.audit(), []);
    // The decision goes last: by it the others are known.
    let settlement = format!("DELETE FROM assay.settlement WHERE {OVERTURNING}");
    disputed.tamper(&settlement).await;
    disputed
        .tamper("DELETE FROM assay.decision WHERE trigger = 'dispute'")
        .await;
    assert_eq!(disputed.audit(), one("decision-missing", "decision"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_decision_that_was_taken_away_with_every_trace_is_missed_by_its_checkpoint() {
    let disputed = overturned().await;
    disputed.seal().await;
    assert_eq!(disputed.audit(), []);
    for table in ["settlement", "dispute_outcome"] {
        let statement = format!("DELETE FROM assay.{table} WHERE {OVERTURNING}");
        disputed.tamper(&statement).await;
    }
    disputed
        .tamper("DELETE FROM assay.decision WHERE trigger = 'dispute'")
        .await;
    let found = disputed.audit();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "decision-missing");
    assert!(found[0].1.starts_with("checkpoint "), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_was_put_among_the_decisions_is_found() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let looked = disputed.reverify(&["j1", "--plan", "stricter.toml"]);
    assert_eq!(looked.code, 1, "{looked:?}");
    assert_eq!(disputed.audit(), []);
    disputed
        .tamper(
            "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, supersedes, outcome, message)
             SELECT v.id, v.job_id, v.attempt, 'dispute', d.disputes, v.outcome, p.message
             FROM assay.preview p JOIN assay.verification v ON v.id = p.verification_id
             JOIN assay.dispute d USING (verification_id)",
        )
        .await;
    let found = disputed.audit();
    let receipt = (
        "receipt-invalid".to_owned(),
        "decision.message.receipt".to_owned(),
    );
    assert!(found.contains(&receipt), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_was_made_a_dispute_nobody_published_is_found() {
    let disputed = Disputed::new(&[good("j1")]).await;
    disputed.seal().await;
    disputed
        .tamper(
            "DELETE FROM assay.settlement; DELETE FROM assay.decision;
             UPDATE assay.claim SET state = 'closed'; UPDATE assay.verification SET cause = 'dispute'",
        )
        .await;
    let found = disputed.audit();
    let whats: Vec<_> = found.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(whats, ["link-broken", "sealed-otherwise"], "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_went_elsewhere_than_the_receipt_says_is_found() {
    for change in ["paid_user = 'sender'", "amount_cents = amount_cents * 10"] {
        let disputed = Disputed::new(&[good("j1")]).await;
        disputed
            .tamper(&format!("UPDATE assay.settlement SET {change}"))
            .await;
        assert_eq!(
            disputed.audit(),
            one("settlement-differs", "settlement"),
            "{change}"
        );
    }
}
