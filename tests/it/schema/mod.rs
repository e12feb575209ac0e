//! `assay schema`: what is right fits, what is wrong does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod messages;
mod validator;

use std::path::Path;

use assay::schema::Subject;
use serde_json::{Value, json};

use crate::workbench::Workbench;
use validator::Validator;

fn plan(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// Files of that name below a folder of the repository.
fn files(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let found: Vec<_> = entries
        .map(walkdir::DirEntry::into_path)
        .filter(|path| wanted(path))
        .collect();
    assert!(!found.is_empty());
    found
}

#[test]
fn every_plan_of_the_repository_fits_the_plans_schema() {
    let validator = Validator::of(Subject::Plan);
    let mut plans = files("graders/plans", |path| {
        path.extension().is_some_and(|end| end == "toml")
    });
    plans.extend(files("tests/fixtures", |path| path.ends_with("plan.toml")));
    for path in plans {
        let plan = plan(&std::fs::read_to_string(&path).unwrap());
        assert!(validator.accepts(&plan), "{}", path.display());
    }
}

#[test]
fn a_wrong_plan_does_not_fit() {
    let validator = Validator::of(Subject::Plan);
    let diff =
        "[[graders]]\nname = \"d\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"x\" }\n";
    let check = "[[graders]]\nname = \"c\"\nkind = \"check\"\nscript = \"x.py\"\n";
    let rubric = "[[graders]]\nname = \"r\"\nkind = \"rubric\"\ncriteria = [{ id = \"a\", text = \"t\" }]\n";
    for right in [
        diff.to_owned(),
        check.to_owned(),
        rubric.to_owned(),
        format!("\"$schema\" = \"plan.schema.json\"\nthreshold = 0.5\n{diff}{check}{rubric}"),
    ] {
        assert!(validator.accepts(&plan(&right)), "{right}");
    }
    for wrong in [
        "threshold = 0.5\n".to_owned(),
        "graders = []\n".to_owned(),
        format!("treshold = 0.5\n{diff}"),
        format!("threshold = 0\n{diff}"),
        format!("threshold = 1.5\n{diff}"),
        format!("required_files = \"a\"\n{diff}"),
        diff.replace("\"diff\"", "\"dif\""),
        diff.replace("\"d\"", "\"d d\""),
        diff.replace("name = \"d\"\n", ""),
        diff.replace("exact", "exactly"),
        diff.replace("text = \"x\"", "text = \"x\", file = \"y\""),
        diff.replace("text = \"x\"", ""),
        format!("{diff}weight = 0\n"),
        format!("{diff}gate = \"yes\"\n"),
        format!("{diff}ignore_kase = true\n"),
        format!("{diff}abs_tol = -1\n"),
        format!("{diff}script = \"x.py\"\n"),
        check.replace("script = \"x.py\"\n", ""),
        format!("{check}on_exhausted = \"pass\"\n"),
        format!("{check}memory_mib = 100_000\n"),
        rubric.replace("{ id = \"a\", text = \"t\" }", ""),
        rubric.replace("text = \"t\"", "text = \"t\", weight = 0"),
        rubric.replace("text = \"t\"", "text = \"t\", evidence = \"trust\""),
        format!("{rubric}pass_score = 2\n"),
    ] {
        assert!(!validator.accepts(&plan(&wrong)), "{wrong}");
    }
}

#[test]
fn every_job_of_the_repository_fits_the_jobs_schema() {
    let validator = Validator::of(Subject::Job);
    let mut job = Value::Null;
    for path in files("tests/fixtures", |path| path.ends_with("job.json")) {
        job = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert!(validator.accepts(&job), "{}", path.display());
    }
    job["attachments"] = json!(["https://files.example/a.csv", {"url": "data:,x"}]);
    job["env_vars"] = Value::Null;
    job["new_field"] = json!(1);
    assert!(validator.accepts(&job), "{job}");
    for (key, wrong) in [
        ("status", json!("done")),
        ("attempt_count", json!(-1)),
        ("attachments", json!([{"data": "aGk="}])),
        ("env_vars", json!("KEY=1")),
        ("id", Value::Null),
    ] {
        let mut job = job.clone();
        job[key] = wrong;
        assert!(!validator.accepts(&job), "{key}");
    }
}

#[test]
fn a_report_fits_the_reports_schema() {
    let bench = Workbench::new();
    let journal = bench.path("journal.sqlite");
    let output = bench
        .command(&["run", "--json", "--journal", journal.to_str().unwrap()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = Validator::of(Subject::Report);
    assert!(validator.accepts(&report));
    for wrong in [
        "/v",
        "/summary/total",
        "/fixtures/0/outcome",
        "/fixtures/0/log/0/audience",
    ] {
        let mut report = report.clone();
        *report.pointer_mut(wrong).unwrap() = json!("wrong");
        assert!(!validator.accepts(&report), "{wrong}");
    }
}

#[test]
fn every_schema_is_printed_as_json_of_the_2020_draft() {
    let bench = Workbench::new();
    for name in ["job", "message", "outcome", "plan", "report"] {
        let ended = bench.assay(&["schema", name]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let schema: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(
            schema["title"].is_string() && schema["type"] == "object",
            "{name}"
        );
    }
}
