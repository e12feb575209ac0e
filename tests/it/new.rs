//! `assay new`: what it writes passes as it is, and nothing is overwritten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::workbench::Workbench;

/// A bench whose checks may be written.
fn bench() -> Workbench {
    let bench = Workbench::new();
    std::fs::remove_file(bench.path("graders/checks")).unwrap();
    bench
}

/// Types the command that `assay new` names next, but for `--watch`, which never ends.
fn type_next(bench: &Workbench, args: &[&str]) -> (String, String) {
    let ended = bench.assay(args);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let next = ended.out.lines().last().unwrap();
    let next = next.strip_prefix("next: assay ").unwrap();
    let next: Vec<_> = next.split(' ').filter(|word| *word != "--watch").collect();
    let run = bench.assay(&next);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    (ended.out, run.out)
}

#[test]
fn a_new_check_passes_and_tells_what_it_wrote() {
    let (written, run) = type_next(&bench(), &["new", "check", "my-check", "--lang", "wat"]);
    insta::assert_snapshot!(written, @r"
    wrote graders/checks/my-check.wat
    wrote graders/plans/my-check.toml
    wrote tests/fixtures/my-check/accepted/fixture.toml
    wrote tests/fixtures/my-check/accepted/job.json
    wrote tests/fixtures/my-check/rejected/fixture.toml
    wrote tests/fixtures/my-check/rejected/job.json

    next: assay run tests/fixtures/my-check --watch
    ");
    assert!(
        run.contains("2 of 2 fixtures as expected: 1 verified, 1 retry"),
        "{run}"
    );
}

#[test]
fn a_new_plan_accepts_and_rejects() {
    let bench = bench();
    let (_, run) = type_next(&bench, &["new", "plan", "my-plan"]);
    assert!(
        run.contains("2 of 2 fixtures as expected: 1 verified, 1 retry"),
        "{run}"
    );
    assert_eq!(bench.assay(&["plan", "check", "my-plan"]).code, 0);
}

#[test]
fn a_new_fixture_has_a_plan_of_its_own() {
    let (written, run) = type_next(
        &bench(),
        &["new", "fixture", "csv/my-case", "--fixtures", "cases"],
    );
    assert!(written.contains("wrote cases/csv/my-case/plan.toml"), "{written}");
    assert!(run.contains("1 of 1 fixtures as expected: 1 verified"), "{run}");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_half_written() {
    let bench = bench();
    bench.write("tests/fixtures/mine/rejected/job.json", "precious");
    let ended = bench.assay(&["new", "plan", "mine"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended
            .err
            .contains("tests/fixtures/mine/rejected/job.json exists already"),
        "{}",
        ended.err
    );
    let kept = std::fs::read_to_string(bench.path("tests/fixtures/mine/rejected/job.json"));
    assert_eq!(kept.unwrap(), "precious");
    assert!(!bench.path("graders/plans/mine.toml").exists());
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let ended = bench().assay(&["new", "check", "../mine"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("`../mine` is no name for a check"),
        "{}",
        ended.err
    );
}
