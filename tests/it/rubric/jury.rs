//! Several votes: samples, jurors, a stronger judge, several calls for many criteria.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assay::entry::EntryType;
use assay::graders::rubric::Judge;
use assay::verdict::{ErrorKind, GradeError, Verdict};
use serde_json::{Value, json};

use super::bench::{Bench, GOOD, settings, texts};
use crate::openai_server::{OpenAiServer, Script, content};

const OUTPUT: &str = "Dear Ms Ortiz,\nyou get 80 EUR back.\n";

/// As [`GOOD`], but not polite.
fn rude() -> String {
    let polite = r#""polite": {"evidence": "Dear Ms Ortiz", "reason": "It greets.", "met": true}"#;
    let changed = GOOD.replace(
        polite,
        r#""polite": {"evidence": "", "reason": "It is curt.", "met": false}"#,
    );
    assert_ne!(changed, GOOD);
    changed
}

async fn judged(scripts: Vec<Script>, plan: Value) -> (Result<Verdict, GradeError>, String, Vec<String>) {
    let server = OpenAiServer::start(scripts).await.unwrap();
    let judge = Judge::live(settings(&server)).unwrap();
    let (result, entries) = Bench::with(judge, OUTPUT, plan).grade().await;
    let votes: Vec<_> = texts(&entries, EntryType::Info)
        .into_iter()
        .filter(|text| text.contains("vote") || text.contains("word counts"))
        .collect();
    let requests = server.requests();
    let models = requests
        .iter()
        .map(|request| request["model"].as_str().unwrap().to_owned());
    let mut models: Vec<_> = models.collect();
    models.sort();
    (result, votes.join("\n"), models)
}

#[tokio::test]
async fn a_majority_of_jurors_decides_and_every_vote_is_in_the_log() {
    let scripts = vec![
        Script::answer(GOOD).only_for("a"),
        Script::answer(&rude()).only_for("b"),
        Script::answer(GOOD).only_for("c"),
    ];
    let (result, votes, models) = judged(scripts, json!({"jurors": ["a", "b", "c"]})).await;
    let verdict = result.unwrap();
    assert!(verdict.passed);
    insta::assert_snapshot!(verdict.reason, @"3 of 3 criteria fulfilled, score 1.000 (passes at 1.000); decided by 3 votes, not unanimous");
    insta::assert_snapshot!(votes, @r"
    vote 1 of 3 (a, sample 0): refund met, polite met, spam not met
    vote 2 of 3 (b, sample 0): refund met, polite not met, spam not met
    vote 3 of 3 (c, sample 0): refund met, polite met, spam not met
    ");
    assert_eq!(models, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_tie_fails_and_samples_are_asked_as_often_as_the_plan_says() {
    let scripts = vec![
        Script::answer(GOOD).only_for("asked-model"),
        Script::answer(&rude()).only_for("asked-model"),
    ];
    let (result, _, models) = judged(scripts, json!({"samples": 2})).await;
    let verdict = result.unwrap();
    assert!(!verdict.passed);
    insta::assert_snapshot!(verdict.reason, @"2 of 3 criteria fulfilled, score 0.666 (passes at 1.000); not fulfilled: polite; decided by 2 votes, not unanimous");
    assert_eq!(models.len(), 2);
}

#[tokio::test]
async fn a_juror_without_an_answer_turns_nothing_into_a_fail() {
    let broken = || Script::stream([content("{")]).only_for("c");
    let two = |second: &str| {
        vec![
            Script::answer(GOOD).only_for("a"),
            Script::answer(second).only_for("b"),
            broken(),
        ]
    };
    let plan = json!({"jurors": ["a", "b", "c"]});
    // Two of three agree: the third could not turn it.
    let (result, votes, _) = judged(two(GOOD), plan.clone()).await;
    assert!(result.unwrap().passed);
    assert!(
        votes.contains("vote 3 of 3 (c, sample 0): none (model-stream-cut)"),
        "{votes}"
    );
    // One for, one against: it hangs on our trouble, so it comes back.
    let (result, _, _) = judged(two(&rude()), plan.clone()).await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::ModelStreamCut);
    let off_menu = vec![
        Script::answer(GOOD).only_for("a"),
        Script::answer(&rude()).only_for("b"),
        Script::answer("I like it.").only_for("c"),
    ];
    let (result, _, _) = judged(off_menu, plan).await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::JudgeOffMenu);
}

#[tokio::test]
async fn what_the_judges_leave_open_the_stronger_one_decides() {
    let strong = |answer: &str| Script::answer(answer).only_for("strong");
    // They disagree.
    let scripts = vec![
        Script::answer(GOOD).only_for("a"),
        Script::answer(&rude()).only_for("b"),
        strong(&rude()),
    ];
    let (result, votes, models) =
        judged(scripts, json!({"jurors": ["a", "b"], "escalate_to": "strong"})).await;
    assert_eq!(result.unwrap().score.millionths(), 666_667);
    insta::assert_snapshot!(votes, @r"
    vote 1 of 2 (a, sample 0): refund met, polite met, spam not met
    vote 2 of 2 (b, sample 0): refund met, polite not met, spam not met
    the judges disagree: strong is asked, and its word counts
    vote of strong: refund met, polite not met, spam not met
    ");
    assert_eq!(models, ["a", "b", "strong"]);
    // Off the menu twice.
    let scripts = vec![Script::answer("no").only_for("weak"), strong(GOOD)];
    let (result, _, models) = judged(scripts, json!({"model": "weak", "escalate_to": "strong"})).await;
    assert!(result.unwrap().passed);
    assert_eq!(models, ["strong", "weak", "weak"]);
    // Close to the score that passes; and not close.
    for (margin, expected) in [(0.34, 2), (0.3, 1)] {
        let scripts = vec![Script::answer(&rude()).only_for("weak"), strong(GOOD)];
        let plan = json!({"model": "weak", "escalate_to": "strong", "escalate_margin": margin});
        let (result, _, models) = judged(scripts, plan).await;
        assert_eq!((result.unwrap().passed, models.len()), (expected == 2, expected));
    }
    // The stronger one says nothing of use either.
    let scripts = vec![Script::answer("no").only_for("weak"), strong("neither")];
    let (result, _, _) = judged(scripts, json!({"model": "weak", "escalate_to": "strong"})).await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::JudgeOffMenu);
}

#[tokio::test]
async fn many_criteria_are_asked_about_in_several_calls() {
    let answers = [
        r#"{"refund": {"evidence": "80 EUR back", "reason": "r", "met": true}, "polite": {"evidence": "Dear Ms Ortiz", "reason": "r", "met": true}}"#,
        r#"{"spam": {"reason": "r", "met": true}}"#,
    ];
    let scripts = answers.iter().map(|answer| Script::answer(answer)).collect();
    let (result, _, models) = judged(scripts, json!({"max_criteria": 2})).await;
    assert_eq!(result.unwrap().score.millionths(), 666_667);
    assert_eq!(models.len(), 2);
}
