//! Whatever is published to the exchange without a worker's decision moves nothing and is in the exceptions.

use assay::job::{Job, JobStatus};
use assay::journal::{Effect, Settled, Tried};
use assay::message::{GraderWords, OutcomeMessage};
use assay::outcome::{GraderEnd, Outcome};
use assay::receipt::{Purpose, SigningKey, TrustFile};
use assay::verdict::Score;

use super::{Decision, World, message, unknown_job};

/// A way to forge an outcome.
type Forge = fn(&mut OutcomeMessage, &Job);

#[tokio::test]
async fn an_altered_outcome_moves_nothing() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let other = world.job("j2", |_| ()).await;
    let genuine = world.decide(&job, Outcome::Retry).await;
    let alterations: [(&str, Forge); 12] = [
        ("receipt-differs", |message, _| {
            message.outcome = Outcome::Verified
        }),
        ("receipt-differs", |message, other| {
            message.job_id = other.id.clone()
        }),
        ("receipt-differs", |message, _| message.attempt = 1),
        ("receipt-differs", |message, _| message.score = Score::ZERO),
        ("receipt-differs", |message, _| {
            message.verification_id = assay::entry::VerificationId::new()
        }),
        ("receipt-signature", |message, _| {
            message.outcome = Outcome::Verified;
            message.receipt.outcome = Outcome::Verified;
        }),
        ("receipt-signature", |message, _| {
            message.receipt.price_cents = Some(100_000)
        }),
        ("receipt-signature", |message, _| {
            message.receipt.receiver = Some("sender".to_owned())
        }),
        ("receipt-signature", |message, other| {
            message.job_id = other.id.clone();
            message.receipt.job_id = other.id.clone();
        }),
        ("receipt-signature", |message, _| {
            message.receipt.signature = String::new()
        }),
        ("receipt-key-unknown", |message, _| {
            message.receipt = message.receipt.clone().sign(&SigningKey::generate());
        }),
        // All words of the message are the worker's, not only those that are signed.
        ("decision-differs", |message, _| message.threshold = 0.1),
    ];
    for (reason, alter) in alterations {
        let mut forged = genuine.message.clone();
        alter(&mut forged, &other);
        let forged = Decision::of(forged);
        assert_eq!(
            world.settle(&forged).await,
            Settled::Exception(reason),
            "{:?}",
            forged.message
        );
    }
    assert_eq!(world.exceptions().await.len(), 12);
    assert_untouched(&world, &[&job, &other]).await;
}

/// Whoever holds a key can sign anything: what is signed must still be what the job's row and the workers' table say.
#[tokio::test]
async fn a_signed_outcome_that_does_not_fit_the_job_moves_nothing() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let other = world
        .job("j2", |job| job.output_text = Some("other".to_owned()))
        .await;
    let alterations: [(&str, Forge); 6] = [
        ("price-differs", |message, _| {
            message.receipt.price_cents = Some(100_000)
        }),
        ("price-differs", |message, _| message.receipt.price_cents = None),
        ("receiver-differs", |message, _| {
            message.receipt.receiver = Some("sender".to_owned())
        }),
        ("submission-differs", |message, other| {
            message.receipt.submission = assay::submission::Submission::of(other).digest;
        }),
        ("moved-on", |message, _| {
            message.attempt = 1;
            message.receipt.attempt = 1;
        }),
        ("no-such-job", |message, _| {
            message.job_id = unknown_job();
            message.receipt.job_id = unknown_job();
        }),
    ];
    for (reason, alter) in alterations {
        let mut forged = message(&job, Outcome::Verified);
        alter(&mut forged, &other);
        forged.receipt = forged.receipt.sign(&world.key);
        let forged = Decision::of(forged);
        assert_eq!(
            world.settle(&forged).await,
            Settled::Exception("unknown-decision")
        );
        // Even with the workers' table forged.
        world
            .execute("ALTER TABLE assay.decision DISABLE TRIGGER USER")
            .await;
        world.execute("DELETE FROM assay.decision").await;
        world.store(&forged).await;
        assert_eq!(world.settle(&forged).await, Settled::Exception(reason));
    }
    assert_untouched(&world, &[&job, &other]).await;
}

#[tokio::test]
async fn a_preview_and_the_receipt_of_another_deployment_move_nothing() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let preview = world
        .decide_with(&job, Outcome::Verified, |message| {
            message.receipt.purpose = Purpose::Preview
        })
        .await;
    assert_eq!(
        world.settle(&preview).await,
        Settled::Exception("receipt-preview")
    );
    let mut staging = message(&job, Outcome::Verified);
    staging.receipt.deployment = "staging".to_owned();
    staging.receipt = staging.receipt.sign(&world.key);
    assert_eq!(
        world.settle(&Decision::of(staging)).await,
        Settled::Exception("receipt-deployment")
    );
    assert_untouched(&world, &[&job]).await;
}

#[tokio::test]
async fn a_key_that_is_revoked_while_settlement_runs_pays_nothing_any_more() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let decision = world.decide(&job, Outcome::Verified).await;
    let mut trust = TrustFile::read(&world.trust).unwrap();
    let kid = world.key.id().as_str();
    trust
        .revoke(kid, "2026-11-24T12:00:00Z".parse().unwrap(), "stolen")
        .unwrap();
    trust.write(&world.trust).unwrap();
    assert_eq!(
        world.settle(&decision).await,
        Settled::Exception("receipt-key-revoked")
    );
    let exceptions = world.market.exceptions(false).await.unwrap();
    insta::assert_snapshot!(
        exceptions[0].detail.replace(kid, "KID"),
        @"the key KID was revoked at 2026-11-24T12:00:00Z: stolen"
    );
    assert_untouched(&world, &[&job]).await;
}

#[tokio::test]
async fn what_is_no_outcome_is_noted_once() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let genuine = world.decide(&job, Outcome::Verified).await;
    let mut unsigned: serde_json::Value = serde_json::from_slice(&genuine.body).unwrap();
    unsigned.as_object_mut().unwrap().remove("receipt");
    let mut later: serde_json::Value = serde_json::from_slice(&genuine.body).unwrap();
    later["v"] = 2.into();
    let twice = [genuine.body.clone(), genuine.body.clone()].concat();
    for body in [
        b"".to_vec(),
        b"\xff\0[".to_vec(),
        b"{\"v\":1,\"\\u0000\":1}".to_vec(),
        unsigned.to_string().into_bytes(),
        later.to_string().into_bytes(),
        twice,
    ] {
        for _ in 0..2 {
            assert_eq!(
                world.settler.settle(&body).await.unwrap(),
                Settled::Exception("undecodable")
            );
        }
    }
    assert_eq!(world.exceptions().await, ["undecodable"; 6]);
    let details = world.market.exceptions(false).await.unwrap();
    // Where it ends depends on how many digits the time of the decision has.
    let words = details[3].detail.split(" at line").next().unwrap();
    insta::assert_snapshot!(words, @"the message cannot be read: missing field `receipt`");
    assert_untouched(&world, &[&job]).await;
}

/// Whoever can publish to the exchange may alter the unsigned words of a message and send it after the genuine one.
#[tokio::test]
async fn an_altered_outcome_that_comes_after_the_genuine_one_is_an_exception_and_stays_one() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let genuine = world.decide_with(&job, Outcome::Verified, with_words).await;
    assert_eq!(world.settle(&genuine).await, Settled::Applied(Effect::Paid));
    let alterations: [(&str, Forge); 3] = [
        ("the threshold", |message, _| message.threshold = 0.1),
        ("a reason", |message, _| {
            message.graders[0].reason = "Bad.".to_owned()
        }),
        ("a grader", |message, _| message.graders.clear()),
    ];
    for (what, alter) in alterations {
        let mut altered = genuine.message.clone();
        alter(&mut altered, &job);
        let altered = Decision::of(altered);
        for _ in 0..2 {
            let settled = world.settle(&altered).await;
            assert_eq!(settled, Settled::Exception("decision-differs"), "{what}");
        }
    }
    let open = world.market.exceptions(false).await.unwrap();
    assert_eq!(open.len(), 3, "each is noted once");
    let tried = Tried {
        exception: open[0].id,
        by: "ann",
    };
    let again = world.settler.again(tried).await.unwrap();
    assert_eq!(again, Settled::Exception("decision-differs"));
    assert_eq!(world.exceptions().await, ["decision-differs"; 3]);
    assert_eq!(world.settle(&genuine).await, Settled::Already);
    assert_eq!(world.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_late_copy_with_words_that_were_erased_since_or_written_otherwise_is_no_exception() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let genuine = world.decide_with(&job, Outcome::Verified, with_words).await;
    assert_eq!(world.settle(&genuine).await, Settled::Applied(Effect::Paid));
    let spaced = serde_json::to_vec_pretty(&genuine.message).unwrap();
    assert_eq!(world.settler.settle(&spaced).await.unwrap(), Settled::Already);
    world
        .execute("ALTER TABLE assay.decision DISABLE TRIGGER USER")
        .await;
    world
        .execute("UPDATE assay.decision SET message = assay.without_reasons(message)")
        .await;
    assert_eq!(world.settle(&genuine).await, Settled::Already);
    assert_eq!(world.exceptions().await, Vec::<String>::new());
    let mut altered = genuine.message.clone();
    altered.threshold = 0.1;
    let altered = Decision::of(altered);
    assert_eq!(
        world.settle(&altered).await,
        Settled::Exception("decision-differs"),
        "its other words still count"
    );
}

fn with_words(message: &mut OutcomeMessage) {
    message.graders.push(GraderWords {
        name: "text".to_owned(),
        kind: "diff".to_owned(),
        verdict: GraderEnd::Pass,
        score: Some(Score::ONE),
        reason: "Good.".to_owned(),
    });
}

async fn assert_untouched(world: &World, jobs: &[&Job]) {
    for job in jobs {
        assert_eq!(world.load(job).await.status, JobStatus::Submitted);
        assert_eq!(world.load(job).await.attempt_count, job.attempt_count);
    }
    assert_eq!(world.ledger().await, []);
    assert_eq!(world.balances().await, [].into());
}
