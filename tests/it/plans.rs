//! Every kind of mistake in a plan gets one message with file, line and key, and exit code 2.

use crate::workbench::Workbench;

const DIFF: &str =
    "[[graders]]\nname = \"d\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"x\" }\n";

fn message(plan: &str) -> String {
    let bench = Workbench::new();
    bench.plan("p", plan);
    let ended = bench.assay(&["plan", "check"]);
    assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    ended.err.trim_end().trim_start_matches("assay: ").to_owned()
}

#[test]
fn a_mistake_is_named_by_file_line_and_key() {
    let rubric =
        |criteria: &str| format!("[[graders]]\nname = \"r\"\nkind = \"rubric\"\ncriteria = [{criteria}]\n");
    let check = |more: &str| format!("[[graders]]\nname = \"c\"\nkind = \"check\"\n{more}\n");
    let cases: Vec<(&str, String)> = vec![
        ("broken TOML", "threshold = \n".to_owned()),
        ("unknown key", format!("treshold = 0.5\n{DIFF}")),
        ("empty plan", "threshold = 0.5\n".to_owned()),
        ("threshold", format!("threshold = 1.5\n{DIFF}")),
        ("threshold not a number", format!("threshold = nan\n{DIFF}")),
        (
            "required file",
            format!("required_files = [\"ok.csv\", \"../x\"]\n{DIFF}"),
        ),
        ("duplicate name", format!("{DIFF}\n{DIFF}")),
        ("bad name", DIFF.replace("\"d\"", "\"d d\"")),
        ("no name", DIFF.replace("name = \"d\"\n", "")),
        ("unknown kind", DIFF.replace("\"diff\"", "\"dif\"")),
        ("zero weight", format!("{DIFF}weight = 0\n")),
        ("infinite weight", format!("{DIFF}weight = inf\n")),
        ("negative weight", format!("{DIFF}weight = -1\n")),
        ("huge weight", format!("{DIFF}weight = 1e308\n")),
        ("name of the built-in gate", DIFF.replace("\"d\"", "\"hand-in\"")),
        (
            "too many graders",
            (0..33)
                .map(|n| DIFF.replace("\"d\"", &format!("\"d{n}\"")))
                .collect(),
        ),
        (
            "tolerance not finite",
            format!("{}abs_tol = inf\n", DIFF.replace("exact", "tokens")),
        ),
        ("a date", format!("description = 2024-01-01\n{DIFF}")),
        ("unknown comparator", DIFF.replace("exact", "exactly")),
        ("option of another comparator", format!("{DIFF}abs_tol = 0.1\n")),
        ("unknown option", format!("{DIFF}ignore_kase = true\n")),
        (
            "bad tolerance",
            format!("{}abs_tol = -1\n", DIFF.replace("exact", "tokens")),
        ),
        (
            "two expectations",
            DIFF.replace("{ text = \"x\" }", "{ text = \"x\", file = \"y\" }"),
        ),
        (
            "missing expected file",
            DIFF.replace("text = \"x\"", "file = \"none.txt\""),
        ),
        ("no script", check("")),
        ("missing script", check("script = \"none.wat\"")),
        ("script outside", check("script = \"../../x.wat\"")),
        (
            "too much fuel",
            check("script = \"csv-shape.wat\"\nfuel = 9_000_000_000"),
        ),
        (
            "unknown on_exhausted",
            check("script = \"csv-shape.wat\"\non_exhausted = \"pass\""),
        ),
        ("no criteria", rubric("")),
        (
            "duplicate criteria",
            rubric("{ id = \"a\", text = \"t\" }, { id = \"a\", text = \"u\" }"),
        ),
        (
            "zero weight of a criterion",
            rubric("{ id = \"a\", text = \"t\", weight = 0 }"),
        ),
        (
            "only negative weights",
            rubric("{ id = \"a\", text = \"t\", weight = -1 }"),
        ),
        ("empty criterion", rubric("{ id = \"a\", text = \" \" }")),
        (
            "unknown evidence",
            rubric("{ id = \"a\", text = \"t\", evidence = \"trust\" }"),
        ),
        (
            "missing prompt",
            format!("{}prompt = \"none\"\n", rubric("{ id = \"a\", text = \"t\" }")),
        ),
    ];
    let lines: Vec<_> = cases
        .iter()
        .map(|(what, plan)| format!("{what}: {}", message(plan)))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_prompt_that_cannot_be_filled_is_named() {
    let bench = Workbench::new();
    bench.write("graders/plans/mine.md", "Judge {{submision}}.");
    bench.plan("p", "[[graders]]\nname = \"r\"\nkind = \"rubric\"\nprompt = \"mine.md\"\ncriteria = [{ id = \"a\", text = \"t\" }]\n");
    let ended = bench.assay(&["plan", "check"]);
    assert_eq!(ended.code, 2);
    let expected = "assay: graders/plans/p.toml:4: graders[0].prompt: graders/plans/mine.md: the prompt has an unknown placeholder";
    assert!(ended.err.starts_with(expected), "{}", ended.err);
}

#[test]
fn every_plan_of_the_repository_is_sound() {
    let bench = Workbench::new();
    let plans = concat!(env!("CARGO_MANIFEST_DIR"), "/graders/plans");
    std::os::unix::fs::symlink(plans, bench.path("graders/plans")).expect("a link can be made");
    let ended = bench.assay(&["plan", "check"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let shown = bench.assay(&["plan", "show", "csv-cleanup", "--json"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
}

#[test]
fn a_plans_digest_follows_its_scripts_and_not_its_layout() {
    let digest = |plan: &str, script: &str| {
        let bench = Workbench::new();
        bench.write("graders/plans/s.wat", script);
        bench.plan("p", plan);
        let shown = bench.assay(&["plan", "show", "p", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.out).expect("JSON");
        shown["digest"].as_str().expect("a digest").to_owned()
    };
    let plan = "[[graders]]\nname = \"c\"\nkind = \"check\"\nscript = \"s.wat\"\nparams = { a = 1, b = 2 }\n";
    let other_layout = "# A remark.\n[[graders]]\nkind = \"check\"\nname = \"c\"\nparams = { b = 2, a = 1 }\n\nscript = \"s.wat\"\n";
    assert_eq!(digest(plan, "(component)"), digest(other_layout, "(component)"));
    assert_ne!(digest(plan, "(component)"), digest(plan, "(component )"));
    assert_ne!(
        digest(plan, "(component)"),
        digest(&plan.replace("a = 1", "a = 3"), "(component)")
    );
}

proptest::proptest! {
    /// Inline plans come from strangers.
    #[test]
    fn no_inline_plan_makes_loading_panic(
        key in "(threshold|graders|name|kind|gate|weight|compare|expected|criteria|script|params|x)",
        text in "\\PC{0,12}",
        number: f64,
        kind in "(diff|check|rubric|none)",
    ) {
        let folders = assay::plan::PlanFolders {
            plans: "".into(), checks: "".into(), prompts: "".into(), kinds: assay::graders::rules(),
        };
        for value in [serde_json::json!(text), serde_json::json!(number), serde_json::json!([text]), serde_json::json!({&key: number})] {
            let mut grader = serde_json::json!({"name": "g", "kind": kind});
            grader[&key] = value.clone();
            let mut plan = serde_json::json!({"graders": [grader]});
            let _ = folders.load_inline(plan.clone());
            plan[&key] = value;
            let _ = folders.load_inline(plan);
        }
    }
}

proptest::proptest! {
    /// A dispute months later, and the audit, compare the digest of what was kept with the one that was signed.
    #[test]
    fn a_plan_keeps_its_digest_in_the_database_whatever_digits_its_numbers_have(
        threshold in 0.001..1.0,
        weight in 0.001..1_000.0,
    ) {
        let folders = assay::plan::PlanFolders {
            plans: "".into(), checks: "".into(), prompts: "".into(), kinds: assay::graders::rules(),
        };
        let grader = serde_json::json!({
            "name": "g", "kind": "diff", "weight": weight, "compare": "exact", "expected": {"text": "x"},
        });
        let plan = folders.load_inline(serde_json::json!({"threshold": threshold, "graders": [grader]})).unwrap();
        let mut kept = assay::plan::KeptPlan::of(&plan);
        kept.settings = serde_json::from_str(&kept.settings.to_string()).unwrap();
        proptest::prop_assert_eq!(kept.computed_digest().unwrap(), plan.digest);
        proptest::prop_assert_eq!(folders.restore(&kept).unwrap().digest, plan.digest);
    }
}
