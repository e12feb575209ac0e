//! Kept answers of a judge: replayed as the log names them, or not at all.

use assay::graders::rubric::JudgeMode;
use assay::journal::Journal as _;
use assay::receipt::TrustFile;
use assay::reverify::{Case, Comparison, Reverified};
use assay::verdict::{Provenance, Score};
use serde_json::{Value, json};

use super::{Disputed, Said, said};
use crate::pool::{Deployment, Submission, job};

/// A pool in which a judge found the work good.
async fn judged() -> Disputed {
    let pool = Deployment::new().await;
    let submission = Submission {
        job: job("j1", json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    Disputed::with(pool, &["work"], &[submission]).await
}

fn replay(disputed: &Disputed) -> (i32, Value) {
    let replayed = disputed.reverify(&["j1", "--judge", "replay", "--publish", "--yes", "--json"]);
    (replayed.code, replayed.json())
}

fn audit(disputed: &Disputed) -> Said {
    said(disputed.pool.command(&["audit", "j1"]).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_that_was_changed_or_removed_gives_no_verdict_and_the_audit_finds_it() {
    let disputed = judged().await;
    let before = disputed.standing().await;
    let (code, told) = replay(&disputed);
    assert_eq!(
        (code, &told["comparison"]["replays"]),
        (0, &json!(true)),
        "{told:#}"
    );
    assert_eq!(audit(&disputed).code, 0, "{:?}", audit(&disputed));

    disputed
        .execute(
            "ALTER TABLE assay.model_call DISABLE TRIGGER ALL;
             UPDATE assay.model_call SET answer = convert_to(replace(convert_from(answer, 'UTF8'), 'true', 'false'), 'UTF8')",
        )
        .await;
    let (code, told) = replay(&disputed);
    assert_eq!(code, 3, "{told:#}");
    let error = told["comparison"]["now"]["error"].as_str().unwrap();
    assert!(error.contains("answer-changed"), "{error}");
    let found = audit(&disputed);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.out.contains("answer-changed"), "{}", found.out);

    disputed.execute("DELETE FROM assay.model_call").await;
    let (code, told) = replay(&disputed);
    assert_eq!(code, 3, "{told:#}");
    let error = told["comparison"]["now"]["error"].as_str().unwrap();
    assert!(error.contains("none is kept"), "{error}");
    let found = audit(&disputed);
    assert!(found.out.contains("answer-changed"), "{}", found.out);
    assert_eq!(disputed.standing().await, before, "nothing has moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_put_in_later_is_not_replayed_and_the_audit_finds_it() {
    let disputed = judged().await;
    disputed
        .execute(
            "INSERT INTO assay.model_call
             SELECT 'ffffffff-ffff-7fff-bfff-ffffffffffff', verification_id, job_id, attempt, grader, criteria, sample,
                    model_asked, model, judge_mode, parameters, prompt, prompt_digest,
                    convert_to(replace(convert_from(answer, 'UTF8'), 'true', 'false'), 'UTF8'), answer_digest, finish,
                    rejected, prompt_tokens, answer_tokens, tokens_estimated, cost_microcents, key, reused, started_at,
                    ended_at
             FROM assay.model_call",
        )
        .await;
    let (code, told) = replay(&disputed);
    assert_eq!(
        (code, &told["comparison"]["differences"]),
        (0, &json!([])),
        "{told:#}"
    );
    let found = audit(&disputed);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.out.contains("answer-changed"), "{}", found.out);
}

/// The case, and what it would come to again if nothing had changed.
async fn again(disputed: &Disputed) -> (Case, Reverified) {
    let trust = TrustFile::read(&disputed.pool.bench.path("trust.toml")).unwrap();
    let job_id = assay::job::JobId::new("j1");
    let case = Case::load(disputed.journal(), Some(&trust), &job_id, None)
        .await
        .unwrap();
    let made = disputed.reverify(&["j1", "--judge", "replay", "--json"]).json();
    let id: assay::entry::VerificationId =
        serde_json::from_value(made["comparison"]["now"]["verification_id"].clone()).unwrap();
    let preview = disputed.journal().preview(id).await.unwrap().unwrap();
    let preview: assay::message::OutcomeMessage = serde_json::from_slice(&preview).unwrap();
    let row = disputed.journal().verifications(&job_id).await.unwrap();
    let plan = row.iter().find(|row| row.id == id).unwrap().plan.clone();
    let decision = assay::outcome::Decision {
        outcome: preview.outcome,
        score: preview.score,
        threshold: preview.threshold,
        plan,
        submission: preview.receipt.submission,
        evidence: preview.receipt.evidence,
    };
    let graders = preview.graders.iter().map(|words| assay::outcome::GraderReport {
        name: words.name.clone(),
        kind: words.kind.clone(),
        verdict: words.verdict,
        score: words.score,
        reason: words.reason.clone(),
        millis: 0,
    });
    let verification = assay::outcome::Verification {
        decision: Ok(decision),
        graders: graders.collect(),
        runtimes: preview.receipt.runtimes.clone(),
    };
    let told = case.told.clone();
    let reverified = Reverified {
        id,
        judge: JudgeMode::Kept,
        verification,
        preview: Some(preview),
        told,
    };
    (case, reverified)
}

fn whats(comparison: &Comparison) -> Vec<(&'static str, Option<&str>)> {
    let differences = comparison.differences.iter();
    differences
        .map(|difference| (difference.what, difference.grader.as_deref()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_same_is_named_and_another_verdict_does_not_replay() {
    let disputed = judged().await;
    let (case, same) = again(&disputed).await;
    let plan = case.message.plan.clone();
    let compare = |now: &Reverified| Comparison::of(&case, &plan, now, Vec::new());
    let comparison = compare(&same);
    assert_eq!((whats(&comparison), comparison.replays), (vec![], Some(true)));

    let mut fuel = same.clone();
    let ran = Provenance {
        fuel: Some(17),
        ..case.told.ran.get("text").cloned().unwrap_or_default()
    };
    fuel.told.ran.insert("text".to_owned(), ran);
    let comparison = compare(&fuel);
    assert_eq!(whats(&comparison), [("fuel", Some("text"))]);
    assert_eq!(comparison.replays, Some(true), "the verdict is the same");

    let mut score = same.clone();
    let half = Score::new(0.5).unwrap();
    if let Ok(decision) = &mut score.verification.decision {
        decision.score = half;
    }
    score.verification.graders[1].score = Some(half);
    score.verification.graders[1].reason = "otherwise".to_owned();
    let preview = score.preview.as_mut().unwrap();
    preview.score = half;
    let comparison = compare(&score);
    assert_eq!(
        whats(&comparison),
        [
            ("score", None),
            ("score", Some("quality")),
            ("reason", Some("quality"))
        ]
    );
    assert!(comparison.same_outcome && comparison.does_not_replay());
    // Of another plan, or of a model asked anew, nobody says that it replays.
    score.judge = JudgeMode::Live;
    assert_eq!(compare(&score).replays, None);

    let mut criterion = same;
    let of = criterion.told.criteria.get_mut("quality").unwrap();
    of.get_mut("good").unwrap().met = false;
    let comparison = compare(&criterion);
    assert_eq!(whats(&comparison), [("criterion", Some("quality"))]);
    assert_eq!(comparison.differences[0].criterion.as_deref(), Some("good"));
}
