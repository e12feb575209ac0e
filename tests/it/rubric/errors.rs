//! The table of everything that can go wrong with a judge, for docs/judging.md.

use assay::verdict::{ErrorKind, Recourse};

#[test]
fn every_trouble_of_judging_comes_back_or_waits_for_a_person_and_none_is_a_retry() {
    use ErrorKind::*;
    let rows = [
        ("429, with or without JSON", ModelRateLimited),
        (
            "5xx, reset or refused connection, silence, no whole answer in time",
            ModelUnavailable,
        ),
        (
            "stream cut, or without finish_reason; garbage; error inside the stream",
            ModelStreamCut,
        ),
        ("every judge's slot is taken", JudgesBusy),
        ("the day's ceiling of spending", SpendCeilingDay),
        ("the verification's time is over", DeadlineExceeded),
        ("called off, e.g. at a shutdown", Cancelled),
        ("the journal cannot keep the call", Journal),
        ("the job's ceiling of spending", SpendCeilingJob),
        (
            "key, model or parameters refused, with and without a schema",
            ModelRequestRefused,
        ),
        (
            "no judge is set up, or no price where there is a ceiling",
            NoJudge,
        ),
        (
            "off the menu, truncated, empty or too long twice, and escalated where the plan says to whom",
            JudgeOffMenu,
        ),
        ("the model or its filter refuses", JudgeRefused),
        (
            "not all can be shown, and the plan has not said `partial`",
            JudgeInputTooLarge,
        ),
        (
            "a value of a variable was kept from the judge, and it did not find all fulfilled",
            JudgeInputRedacted,
        ),
        (
            "the second question finds an attempt to influence the grading, and the plan parks",
            InfluenceSuspected,
        ),
        ("no recorded, scripted or kept answer fits", ReplayMismatch),
        (
            "a kept answer is not the one that the log of its verification names",
            AnswerChanged,
        ),
        ("the plan or its prompt is broken", PlanInvalid),
    ];
    let lines: Vec<_> = rows
        .iter()
        .map(|(what, kind)| {
            let next = match kind.recourse() {
                Recourse::Transient => "comes back",
                Recourse::Permanent => "parked for a person",
            };
            format!("| {what} | `{kind}` | {next} |")
        })
        .collect();
    let page = include_str!("../../../docs/judging.md");
    for line in &lines {
        assert!(page.contains(line.as_str()), "docs/judging.md lacks {line}");
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    | 429, with or without JSON | `model-rate-limited` | comes back |
    | 5xx, reset or refused connection, silence, no whole answer in time | `model-unavailable` | comes back |
    | stream cut, or without finish_reason; garbage; error inside the stream | `model-stream-cut` | comes back |
    | every judge's slot is taken | `judges-busy` | comes back |
    | the day's ceiling of spending | `spend-ceiling-day` | comes back |
    | the verification's time is over | `deadline-exceeded` | comes back |
    | called off, e.g. at a shutdown | `cancelled` | comes back |
    | the journal cannot keep the call | `journal` | comes back |
    | the job's ceiling of spending | `spend-ceiling-job` | parked for a person |
    | key, model or parameters refused, with and without a schema | `model-request-refused` | parked for a person |
    | no judge is set up, or no price where there is a ceiling | `no-judge` | parked for a person |
    | off the menu, truncated, empty or too long twice, and escalated where the plan says to whom | `judge-off-menu` | parked for a person |
    | the model or its filter refuses | `judge-refused` | parked for a person |
    | not all can be shown, and the plan has not said `partial` | `judge-input-too-large` | parked for a person |
    | a value of a variable was kept from the judge, and it did not find all fulfilled | `judge-input-redacted` | parked for a person |
    | the second question finds an attempt to influence the grading, and the plan parks | `influence-suspected` | parked for a person |
    | no recorded, scripted or kept answer fits | `replay-mismatch` | parked for a person |
    | a kept answer is not the one that the log of its verification names | `answer-changed` | parked for a person |
    | the plan or its prompt is broken | `plan-invalid` | parked for a person |
    ");
}
