//! A process that asks.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assay::clock::Clock;
use assay::graders::rubric::{Judge, JudgeSettings, nothing_kept};
use assay::graders::{self, Context, JudgeSlots, Tools};
use assay::journal::{PgJournal, PgLeases};
use assay::log::Log;
use assay::pacing::{Pace, Pacer};
use assay::plan::PlanFolders;
use assay::sandbox::{Sandbox, SandboxConfig};
use assay::submission::Submission;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

pub(crate) const ROLE: &str = "ASSAY_BENCH_CLIENT";

/// What a client does.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) base_url: String,
    pub(crate) name: String,
    /// Gradings under way.
    pub(crate) parallel: u32,
    /// Gradings in all.
    pub(crate) calls: u32,
    pub(crate) max_concurrent: usize,
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) tokens_per_minute: Option<u64>,
    /// Where the budget is shared.
    pub(crate) database: Option<String>,
    /// Seconds before the first.
    pub(crate) start_after: u64,
}

/// What it tells at its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

impl Task {
    pub(crate) fn new(server: &Server, name: &str) -> Self {
        Self {
            base_url: server.base_url.clone(),
            name: name.to_owned(),
            parallel: 1,
            calls: 1,
            max_concurrent: 1,
            requests_per_minute: None,
            tokens_per_minute: None,
            database: None,
            start_after: 0,
        }
    }
}

pub(crate) struct Client(Child);

impl Client {
    pub(crate) fn start(task: &Task) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, serde_json::to_string(task).unwrap())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    pub(crate) fn wait(self) -> Told {
        let output = self.0.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub(crate) async fn run(task: Task) {
    let pace = Pace {
        max_concurrent: task.max_concurrent,
        requests_per_minute: task.requests_per_minute,
        tokens_per_minute: task.tokens_per_minute,
    };
    let pacer = match &task.database {
        Some(url) => {
            let journal = PgJournal::connect(url, 2).await.unwrap();
            let leases = PgLeases::new(journal, "bench".to_owned());
            Pacer::shared(pace, Arc::new(leases), task.name.clone())
        }
        None => Pacer::alone(pace),
    };
    let judge = Judge::live(JudgeSettings {
        model: Some("bench".to_owned()),
        pacer,
        ..JudgeSettings::new(task.base_url.as_str(), task.name.as_str().into())
    })
    .unwrap();
    let folders = PlanFolders {
        plans: "graders/plans".into(),
        checks: "graders/checks".into(),
        prompts: "prompts".into(),
        kinds: graders::rules(),
    };
    let plan = folders
        .load_inline(
            json!({"graders": [{"name": "quality", "kind": "rubric", "criteria": [
                {"id": "polite", "text": "The reply is polite."},
            ]}]}),
        )
        .unwrap();
    let cache = tempfile::tempdir().unwrap();
    let tools = Tools {
        sandbox: Sandbox::new(SandboxConfig::new(cache.path().join("cache"))).unwrap(),
        judge,
        calls: nothing_kept(),
        reveal: false,
    };
    let grader = graders::build(&plan.graders[0], &tools).unwrap();
    let job = serde_json::from_value(json!({
        "id": "j1", "status": "submitted", "sender": "s", "title": "A reply to a guest", "prompt": "Answer the guest.",
        "output_text": "Dear Ms Ortiz,\nyou get 80 EUR back.\n",
        "created_at": "2026-11-25T09:00:00Z", "updated_at": "2026-11-25T09:00:00Z",
    }))
    .unwrap();
    let submission = Arc::new(Submission::of(&job));
    tokio::time::sleep(Duration::from_secs(task.start_after)).await;
    let began = Instant::now();
    let begun = Arc::new(AtomicU32::new(0));
    let grading: Vec<_> = (0..task.parallel)
        .map(|_| {
            let (grader, submission, begun) =
                (Arc::clone(&grader), Arc::clone(&submission), Arc::clone(&begun));
            tokio::spawn(async move {
                while begun.fetch_add(1, Ordering::Relaxed) < task.calls {
                    let (log, mut entries) = Log::new(Clock::system(), submission.secrets.clone());
                    let context = Context {
                        log,
                        clock: Clock::system(),
                        cancel: CancellationToken::new(),
                        deadline: Instant::now() + Duration::from_secs(600),
                        judge_slots: JudgeSlots::Unlimited,
                    };
                    let grading = async {
                        let verdict = grader.grade(&submission, &context).await;
                        drop(context);
                        verdict
                    };
                    let reading = async { while entries.recv().await.is_some() {} };
                    tokio::join!(grading, reading).0.unwrap();
                }
            })
        })
        .collect();
    for graded in grading {
        graded.await.unwrap();
    }
    let told = Told {
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(),
    };
    println!("{}", serde_json::to_string(&told).unwrap());
}

/// Of this process so far; ticks are hundredths of a second wherever Linux runs.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13]
        .iter()
        .map(|field| field.parse::<f64>().unwrap() / 100.0)
        .sum()
}
