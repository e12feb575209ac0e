//! `assay schema`: what is right fits, what is wrong does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use assay::schema::Subject;
use serde_json::{Map, Value, json};

use crate::workbench::Workbench;

/// Whether a value fits a schema. Knows the keywords that our schemas use, and no others: a new one stops the test rather
/// than pass for checked.
struct Validator {
    root: Value,
}

impl Validator {
    fn of(subject: Subject) -> Self {
        Self {
            root: subject.schema().to_value(),
        }
    }

    fn accepts(&self, value: &Value) -> bool {
        self.fits(&self.root, value)
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let schema = match schema {
            Value::Bool(all) => return *all,
            schema => schema.as_object().unwrap(),
        };
        schema
            .iter()
            .all(|(key, rule)| self.keyword(key, rule, schema, value))
    }

    fn keyword(&self, key: &str, rule: &Value, schema: &Map<String, Value>, value: &Value) -> bool {
        let each = || rule.as_array().unwrap().iter();
        let fitting = || each().filter(|one| self.fits(one, value)).count();
        let object = value.as_object();
        let number = value.as_f64();
        let least = |size: Option<usize>| size.is_none_or(|size| size as u64 >= rule.as_u64().unwrap());
        let most = |size: Option<usize>| size.is_none_or(|size| size as u64 <= rule.as_u64().unwrap());
        let characters = value.as_str().map(|text| text.chars().count());
        match key {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                self.fits(self.root.pointer(pointer).unwrap(), value)
            }
            "allOf" => fitting() == rule.as_array().unwrap().len(),
            "anyOf" => fitting() > 0,
            "oneOf" => fitting() == 1,
            "not" => !self.fits(rule, value),
            "const" => same(rule, value),
            "enum" => each().any(|one| same(one, value)),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_of(name.as_str().unwrap(), value)),
                name => is_of(name.as_str().unwrap(), value),
            },
            "required" => {
                object.is_none_or(|map| each().all(|name| map.contains_key(name.as_str().unwrap())))
            }
            "properties" => object.is_none_or(|map| {
                let named = rule.as_object().unwrap();
                map.iter()
                    .all(|(name, item)| named.get(name).is_none_or(|rule| self.fits(rule, item)))
            }),
            "additionalProperties" => object.is_none_or(|map| {
                let named = schema.get("properties").and_then(Value::as_object);
                let others = map
                    .iter()
                    .filter(|(name, _)| named.is_none_or(|named| !named.contains_key(*name)));
                others.into_iter().all(|(_, item)| self.fits(rule, item))
            }),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| self.fits(rule, item))),
            "minItems" => least(value.as_array().map(Vec::len)),
            "maxItems" => most(value.as_array().map(Vec::len)),
            "minProperties" => least(object.map(Map::len)),
            "maxProperties" => most(object.map(Map::len)),
            "minLength" => least(characters),
            "maxLength" => most(characters),
            "minimum" => number.is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= rule.as_f64().unwrap()),
            "exclusiveMinimum" => number.is_none_or(|number| number > rule.as_f64().unwrap()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| matches_pattern(rule.as_str().unwrap(), text)),
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            other => panic!("the validator of this test does not know `{other}`"),
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[A-Za-z0-9._-]+$" => {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        }
        "^[0-9a-f]{64}$" => text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')),
        other => panic!("the validator of this test does not know the pattern `{other}`"),
    }
}

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

mod messages {
    use proptest::prelude::*;

    use assay::message::{MessageError, OutcomeMessage, PlanChoice, SubmittedJob, Work};

    use super::*;

    fn job() -> Value {
        json!({
            "id": "job_1", "status": "submitted", "prompt": "Write it.", "title": "T", "sender": "s",
            "attempt_count": 2, "output_text": "Here.", "env_vars": {"KEY": "sk-canary-123"},
            "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z", "later_field": 1,
        })
    }

    fn parse(message: &Value) -> Result<SubmittedJob, MessageError> {
        SubmittedJob::parse(message.to_string().as_bytes())
    }

    #[test]
    fn both_forms_of_a_submitted_job_round_trip_and_fit() {
        let validator = Validator::of(Subject::Message);
        let inline = json!({"graders": [{"name": "d", "kind": "diff"}]});
        for message in [
            json!({"v": 1, "job": job()}),
            json!({"v": 1, "job": job(), "plan": "csv-cleanup"}),
            json!({"v": 1, "job": job(), "plan": inline}),
            json!({"v": 1, "job_id": "job_1", "attempt": 2}),
            json!({"v": 1, "job_id": "job_1", "attempt": 2, "submission_sha256": "ab".repeat(32), "plan": null}),
        ] {
            assert!(validator.accepts(&message), "{message}");
            let read = parse(&message).unwrap();
            let written = read.to_json().unwrap();
            assert_eq!(SubmittedJob::parse(&written).unwrap(), read, "{message}");
            let written: Value = serde_json::from_slice(&written).unwrap();
            assert!(validator.accepts(&written), "{written}");
        }
        let thin = parse(&json!({"v": 1, "job_id": "job_1", "attempt": 2, "plan": "p"})).unwrap();
        assert!(matches!(thin.work, Work::Thin { attempt: 2, .. }));
        assert_eq!(thin.plan, Some(PlanChoice::Named("p".to_owned())));
    }

    #[test]
    fn a_wrong_message_is_refused_and_does_not_fit() {
        let validator = Validator::of(Subject::Message);
        for wrong in [
            json!({"v": 2, "job": job()}),
            json!({"job": job()}),
            json!({"v": 1}),
            json!({"v": 1, "job": job(), "job_id": "job_1", "attempt": 2}),
            json!({"v": 1, "job_id": "job_1"}),
            json!({"v": 1, "job_id": "job_1", "attempt": -1}),
            json!({"v": 1, "job": job(), "plan": 5}),
            json!({"v": 1, "job": job(), "plann": "typo"}),
            json!({"v": 1, "job_id": "job_1", "attempt": 2, "submission_sha256": "ab"}),
            json!([]),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
            assert!(!validator.accepts(&wrong), "{wrong}");
        }
        let error = |message: &Value| parse(message).unwrap_err().to_string();
        insta::assert_snapshot!(error(&json!({"v": 2, "job": job()})), @"version 2 of the message is not 1, which this program reads");
        insta::assert_snapshot!(error(&json!({"v": 1})), @"the message needs either `job` or `job_id` with `attempt`");
        let mut wrong = job();
        wrong["env_vars"] = json!("KEY=sk-canary-123");
        let error = error(&json!({"v": 1, "job": wrong}));
        assert!(
            error.starts_with("job.env_vars: ") && !error.contains("canary"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_message_whatever_makes_the_reader_panic(bytes in any::<Vec<u8>>(), at in 0_usize..200, byte in any::<u8>()) {
            drop(SubmittedJob::parse(&bytes));
            let mut message = json!({"v": 1, "job": job(), "plan": {"graders": []}}).to_string().into_bytes();
            message[at] = byte;
            drop(SubmittedJob::parse(&message));
        }
    }

    #[test]
    fn a_message_above_1_mib_is_refused_before_it_is_read() {
        let large = vec![b'['; 1024 * 1024 + 1];
        assert_eq!(
            SubmittedJob::parse(&large),
            Err(MessageError::TooLarge(1024 * 1024 + 1))
        );
    }

    #[test]
    fn an_outcome_round_trips_and_fits() {
        let digest = "0f".repeat(32);
        let id = "0193a5c0-0000-7000-8000-000000000001";
        let message = json!({
            "v": 1, "outcome": "verified", "job_id": "job_1", "attempt": 2, "verification_id": id,
            "trigger": "submission", "score": 0.75, "threshold": 0.5,
            "graders": [{"name": "d", "kind": "diff", "verdict": "pass", "score": 0.75, "reason": "the same"}],
            "plan": {"name": "p", "digest": digest}, "decided_at": "2026-11-24T09:00:00Z",
            "receipt": {
                "kid": "k1", "deployment": "main", "purpose": "settle", "trigger": "submission",
                "verification_id": id, "job_id": "job_1", "attempt": 2, "outcome": "verified", "score": 0.75,
                "receiver": "u2", "price_cents": 1250, "plan": digest, "runtimes": {"python": digest},
                "submission": digest, "log_head": digest, "decided_at": "2026-11-24T09:00:00Z", "signature": "c2ln",
            },
        });
        let validator = Validator::of(Subject::Outcome);
        assert!(validator.accepts(&message));
        let read: OutcomeMessage = serde_json::from_value(message.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), message);
        for wrong in ["/receipt/purpose", "/score", "/graders/0/verdict", "/plan/digest"] {
            let mut message = message.clone();
            *message.pointer_mut(wrong).unwrap() = json!("wrong");
            assert!(!validator.accepts(&message), "{wrong}");
            assert!(
                serde_json::from_value::<OutcomeMessage>(message).is_err(),
                "{wrong}"
            );
        }
    }
}
