//! Disputes in a pool at work: `assay reverify` beside real workers and settlement.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod evidence;
mod forged;
mod json;
mod once;
mod replay;
mod selection;
mod set_refusals;
mod sets;

use std::process::Stdio;

use assay::journal::PgJournal;
use serde_json::{Value, json};

use crate::pool::{Deployment, Process, Submission, job};

/// A set of all that the plan `quick` decided, judged by a stricter one.
pub(crate) const SET_OF_ALL: [&str; 8] = [
    "--set",
    "all",
    "--plan",
    "stricter.toml",
    "--where",
    "plan=quick",
    "--reason",
    "the plan was too lax",
];

/// A pool that has decided and settled some jobs.
pub(crate) struct Disputed {
    pub(crate) pool: Deployment,
    _worker: Process,
    settler: Option<Process>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The last line, as JSON.
    pub(crate) fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What must not change as long as nothing is published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) balances: Vec<(String, i64)>,
    pub(crate) jobs: Vec<(String, String, i32)>,
    pub(crate) decisions: i64,
    pub(crate) ledger: i64,
}

impl Disputed {
    /// A pool in which these jobs are handed in, judged and settled.
    pub(crate) async fn new(submissions: &[Submission]) -> Self {
        Self::with(Deployment::new().await, &["work"], submissions).await
    }

    pub(crate) async fn with(pool: Deployment, work: &[&str], submissions: &[Submission]) -> Self {
        pool.insert(submissions).await;
        let worker = pool.ready(pool.start(work), "the worker takes jobs").await;
        let settler = pool.settler().await;
        pool.publish(submissions).await;
        let count = i64::try_from(submissions.len()).unwrap();
        pool.until("all settled", std::time::Duration::from_secs(60), async || {
            pool.count("SELECT count(*) FROM assay.settlement").await == count
        })
        .await;
        Self {
            pool,
            _worker: worker,
            settler: Some(settler),
        }
    }

    /// Kills settlement.
    pub(crate) fn kill_settlement(&mut self) {
        self.settler.take().unwrap().kill();
    }

    pub(crate) fn reverify(&self, args: &[&str]) -> Said {
        said(
            self.pool
                .command(&[&["reverify"], args].concat())
                .output()
                .unwrap(),
        )
    }

    /// Starts the command; its output is had from the child.
    pub(crate) fn start_reverify(&self, args: &[&str]) -> std::process::Child {
        self.pool
            .command(&[&["reverify"], args].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) async fn standing(&self) -> Standing {
        let rows = sqlx::query_as("SELECT id, balance_cents FROM users ORDER BY id");
        let balances = rows.fetch_all(&self.pool.journal.pool()).await.unwrap();
        let rows = sqlx::query_as("SELECT id, status::text, attempt_count FROM jobs ORDER BY id");
        Standing {
            balances,
            jobs: rows.fetch_all(&self.pool.journal.pool()).await.unwrap(),
            decisions: self.pool.count("SELECT count(*) FROM assay.decision").await,
            ledger: self.pool.count("SELECT count(*) FROM ledger_entries").await,
        }
    }

    /// Does something as the superuser of the database.
    pub(crate) async fn execute(&self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&self.pool.journal.pool())
            .await
            .unwrap();
    }

    /// Promise 5 holds.
    pub(crate) async fn assert_balanced(&self, total: i64) {
        let sums = self.pool.market.audit_sums().await.unwrap();
        assert_eq!((sums.total(), sums.unbalanced), (total, Vec::<String>::new()));
    }

    pub(crate) fn journal(&self) -> &PgJournal {
        &self.pool.journal
    }
}

pub(crate) fn said(output: std::process::Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A job whose text the plan `quick` expects.
pub(crate) fn good(id: &str) -> Submission {
    Submission {
        job: job(id, json!({"output_text": "as expected"})),
        plan: Some("quick".to_owned()),
    }
}

/// A plan that verifies no such text.
pub(crate) fn stricter(pool: &Deployment) {
    pool.bench.write(
        "stricter.toml",
        "[[graders]]\nname = \"text\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"stricter\" }\n",
    );
}
