//! A rubric grader set up to judge one job.
#![expect(clippy::unwrap_used, reason = "what is set up here must work")]

use std::sync::Arc;
use std::time::Duration;

use assay::clock::Clock;
use assay::entry::{Entry, EntryType};
use assay::graders::rubric::{CallKeeper, Judge, JudgeSettings, nothing_kept};
use assay::graders::{self, Context, Grader, Tools};
use assay::log::{Log, LogReader};
use assay::plan::{Plan, PlanFolders};
use assay::sandbox::{Sandbox, SandboxConfig};
use assay::submission::Submission;
use assay::verdict::{GradeError, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::openai_server::OpenAiServer;

pub(super) const KEY: &str = "sk-canary-judge-key";

pub(super) const GOOD: &str = r#"{"refund": {"evidence": "80 EUR back", "reason": "It names the sum.", "met": true}, "polite": {"evidence": "Dear Ms Ortiz", "reason": "It greets.", "met": true}, "spam": {"reason": "There is none.", "met": false}}"#;

/// A rubric grader at work on one job.
pub(super) struct Bench {
    pub(super) grader: Arc<dyn Grader>,
    pub(super) submission: Submission,
    pub(super) context: Context,
    pub(super) entries: LogReader,
}

impl Bench {
    pub(super) fn new(judge: Judge) -> Self {
        Self::with(judge, "Dear Ms Ortiz,\nyou get 80 EUR back.\n", json!({}))
    }

    pub(super) fn with(judge: Judge, output: &str, more: Value) -> Self {
        Self::with_variables(judge, output, more, json!({"API_KEY": "sk-canary-123"}))
    }

    pub(super) fn with_variables(judge: Judge, output: &str, more: Value, variables: Value) -> Self {
        let job = serde_json::from_value(json!({
            "id": "j1", "status": "submitted", "sender": "s", "title": "A reply to a guest",
            "prompt": "Answer the guest.", "output_text": output, "env_vars": variables,
            "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
        }))
        .unwrap();
        let submission = Submission::of(&job);
        let (log, entries) = Log::new(Clock::system(), submission.secrets.clone());
        Self {
            grader: built(judge, nothing_kept(), more).unwrap(),
            submission,
            context: Context {
                log,
                clock: Clock::system(),
                cancel: CancellationToken::new(),
                deadline: Instant::now() + Duration::from_secs(60),
                judge_slots: assay::graders::JudgeSlots::Unlimited,
            },
            entries,
        }
    }

    /// The same with another judge, its calls kept there.
    pub(super) fn kept_by(self, judge: Judge, calls: Arc<dyn CallKeeper>, more: Value) -> Self {
        Self {
            grader: built(judge, calls, more).unwrap(),
            ..self
        }
    }

    /// The grader's word and everything it logged.
    pub(super) async fn grade(self) -> (Result<Verdict, GradeError>, Vec<Entry>) {
        let Self {
            grader,
            submission,
            context,
            mut entries,
        } = self;
        let grading = async move { grader.grade(&submission, &context).await };
        let reading = async {
            let mut seen = Vec::new();
            while let Some(entry) = entries.recv().await {
                seen.push(entry);
            }
            seen
        };
        tokio::join!(grading, reading)
    }
}

/// The grader of a plan with one rubric.
pub(super) fn built(
    judge: Judge,
    calls: Arc<dyn CallKeeper>,
    more: Value,
) -> Result<Arc<dyn Grader>, GradeError> {
    // No check is run: the cache stays empty.
    let cache = tempfile::tempdir().unwrap();
    let tools = Tools {
        sandbox: Sandbox::new(SandboxConfig::new(cache.path().join("cache"))).unwrap(),
        judge,
        calls,
        reveal: false,
    };
    graders::build(&plan(more).graders[0], &tools)
}

/// A plan with one rubric, with what `more` says of it.
pub(super) fn plan(more: Value) -> Plan {
    let mut grader = json!({"name": "quality", "kind": "rubric", "criteria": [
        {"id": "refund", "text": "The reply names the refund.", "weight": 2},
        {"id": "polite", "text": "The reply is polite."},
        {"id": "spam", "text": "There is advertising.", "weight": -1, "hidden": true},
    ]});
    for (key, value) in more.as_object().unwrap() {
        grader[key] = value.clone();
    }
    let folders = PlanFolders {
        plans: "graders/plans".into(),
        checks: "graders/checks".into(),
        prompts: "prompts".into(),
        kinds: graders::rules(),
    };
    folders.load_inline(json!({"graders": [grader]})).unwrap()
}

pub(super) fn settings(server: &OpenAiServer) -> JudgeSettings {
    JudgeSettings {
        call_timeout: Duration::from_secs(20),
        model: Some("asked-model".to_owned()),
        ..JudgeSettings::new(server.base_url.as_str(), KEY.into())
    }
}

pub(super) fn texts(entries: &[Entry], kind: EntryType) -> Vec<&str> {
    let of_kind = entries.iter().filter(|entry| entry.kind == kind);
    of_kind.map(|entry| entry.content.as_str()).collect()
}

/// The next entry; a log that stays silent fails the test instead of hanging it.
pub(super) async fn next(entries: &mut LogReader) -> Entry {
    let entry = tokio::time::timeout(Duration::from_secs(10), entries.recv()).await;
    entry.unwrap().unwrap()
}
