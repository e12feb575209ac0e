//! An old verification runs again after everything it was made from has been edited.

use assay::plan::{KeptPlan, PlanFolders};
use serde_json::json;

use super::Disputed;
use crate::pool::{Deployment, Submission, job};

#[tokio::test(flavor = "multi_thread")]
async fn after_plans_checks_and_prompts_were_edited_the_old_verification_replays_to_the_same_verdict_and_fuel()
 {
    let pool = Deployment::new().await;
    let repo = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = std::fs::read_to_string(repo.join("graders/checks/csv-shape.wat")).unwrap();
    let prompt = std::fs::read_to_string(repo.join("prompts/rubric.md")).unwrap();
    pool.bench.write("graders/plans/own.wat", &check);
    pool.bench.write("graders/plans/own.md", &prompt);
    let plan = "[[graders]]\nname = \"form\"\nkind = \"check\"\nscript = \"own.wat\"\n\n[[graders]]\nname = \"quality\"\n\
                kind = \"rubric\"\nprompt = \"own.md\"\n[[graders.criteria]]\nid = \"good\"\ntext = \"It is good.\"\n\
                evidence = \"none\"\n";
    pool.bench.plan("old", plan);
    let submission = Submission {
        job: job("j1", json!({"output_text": "a,b\n1,2\n"})),
        plan: Some("old".to_owned()),
    };
    let disputed = Disputed::with(pool, &["work"], &[submission]).await;
    let bench = &disputed.pool.bench;
    bench.write("graders/plans/own.wat", "(component)");
    bench.write("graders/plans/own.md", "gone");
    bench.plan(
        "old",
        "[[graders]]\nname = \"form\"\nkind = \"diff\"\nexpected = { text = \"other\" }\n",
    );
    let asked = disputed.pool.judge.asked();
    // Nobody answers: what was kept is all there is.
    disputed.pool.judge.is_down(true);

    let replayed = disputed.reverify(&["j1", "--judge", "replay", "--json"]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    let comparison = &replayed.json()["comparison"];
    assert_eq!(comparison["differences"], json!([]), "{comparison:#}");
    let form = &comparison["graders"][0];
    assert!(form["now"]["ran"]["fuel"].as_u64().unwrap() > 0, "{form:#}");
    assert_eq!(form["then"], form["now"]);
    let quality = &comparison["graders"][1];
    assert_eq!(quality["then"]["reason"], quality["now"]["reason"]);
    assert_eq!(quality["criteria"][0]["id"], "good", "{quality:#}");
    assert_eq!(disputed.pool.judge.asked(), asked, "nobody was asked");

    let anew = disputed.reverify(&["j1", "--json"]);
    assert_eq!(anew.code, 3, "the judge is down: {anew:?}");
    assert_eq!(anew.json()["comparison"]["now"]["outcome"], "error");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_that_was_exchanged_since_is_taken_from_what_was_kept() {
    let pool = Deployment::new().await;
    let repo = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = repo.join(".assay/runtimes").display().to_string();
    pool.bench.plan(
        "words",
        "[[graders]]\nname = \"words\"\nkind = \"check\"\nscript = \"word-count.py\"\nparams = { min = 1 }\n",
    );
    let submission = Submission {
        job: job("j1", json!({"output_text": "as expected"})),
        plan: Some("words".to_owned()),
    };
    let disputed = Disputed::with(pool, &["work", "--runtimes", &built], &[submission]).await;
    // Another Python, which runs nothing.
    let other = "not a component";
    disputed.pool.bench.write("other/python.wasm", other);
    let digest = assay::digest::Digest::of(other.as_bytes());
    disputed
        .pool
        .bench
        .write("other/python.wasm.sha256", &format!("{digest}  python.wasm\n"));

    let again = disputed.reverify(&["j1", "--runtimes", "other", "--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    let comparison = &again.json()["comparison"];
    assert_eq!(comparison["differences"], json!([]), "{comparison:#}");
    assert!(
        comparison["graders"][0]["now"]["ran"]["runtime"].is_string(),
        "{comparison:#}"
    );
}

#[test]
fn every_plan_of_the_repository_is_the_same_after_it_was_kept() {
    let repo = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = |root: &std::path::Path| PlanFolders {
        plans: root.join("graders/plans"),
        checks: root.join("graders/checks"),
        prompts: root.join("prompts"),
        kinds: assay::graders::rules(),
    };
    let nowhere = tempfile::tempdir().unwrap();
    let names = folders(repo).names();
    assert!(!names.is_empty());
    for name in names {
        let plan = folders(repo).load(&name, None).unwrap();
        let restored = folders(nowhere.path()).restore(&KeptPlan::of(&plan)).unwrap();
        assert_eq!(restored.digest, plan.digest, "{name}");
        assert_eq!(KeptPlan::of(&restored), KeptPlan::of(&plan), "{name}");
        let without = KeptPlan {
            files: Vec::new(),
            ..KeptPlan::of(&plan)
        };
        if without != KeptPlan::of(&plan) {
            let error = folders(repo).restore(&without).unwrap_err().to_string();
            assert!(error.contains("was not kept with the plan"), "{error}");
        }
    }
}
