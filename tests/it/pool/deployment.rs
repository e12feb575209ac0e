//! A deployment of a test's own: real broker and database, `assay work` and `assay settle` as processes, a judge that can be
//! slow or down.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assay::job::Job;
use assay::journal::{Market, PgJournal};
use assay::queue::{Outgoing, Queue as _, RabbitQueue, RabbitSettings};
use rustix::process::Signal;

use super::judge::SlowJudge;
use super::submission::Submission;
use crate::roles::ROLES;
use crate::servers;
use crate::workbench::Workbench;

/// Where broker and database are.
pub(crate) struct Urls {
    pub(crate) amqp: String,
    pub(crate) database: String,
}

pub(crate) struct Deployment {
    pub(crate) bench: Workbench,
    pub(crate) urls: Urls,
    pub(crate) journal: PgJournal,
    pub(crate) market: Market,
    pub(crate) judge: SlowJudge,
    pub(crate) queue: Arc<RabbitQueue>,
    processes: std::sync::Mutex<Vec<u32>>,
    database: Option<servers::TestDatabase>,
}

/// A process of the deployment. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Deployment {
    /// On the servers that all tests share.
    pub(crate) async fn new() -> Self {
        let database = servers::database().await;
        let urls = Urls {
            amqp: servers::amqp_url(),
            database: database.url.clone(),
        };
        Self::on(urls, Some(database)).await
    }

    /// On servers of its own.
    pub(crate) async fn on(urls: Urls, database: Option<servers::TestDatabase>) -> Self {
        let bench = Workbench::new();
        std::os::unix::fs::symlink(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".assay/cache"),
            bench.path("cache"),
        )
        .unwrap();
        let judge = SlowJudge::start().await;
        plans(&bench);
        bench.write(
            "assay.toml",
            "[pool]\nlease = \"3s\"\ngrace = \"20s\"\nlisten = \"off\"\ndefault_plan = \"quick\"\nlost = \"default\"\n\
             lost_after = \"12s\"\nsigning_key = \"signing.key\"\ntrust = \"trust.toml\"\njudge_slots = 4\n",
        );
        let journal = PgJournal::connect(&urls.database, 4).await.unwrap();
        Self {
            market: {
                let set_up = Self::command_on(&bench, &urls, &judge, &["setup", "--demo-marketplace"])
                    .output()
                    .unwrap();
                assert!(
                    set_up.status.success(),
                    "{}",
                    String::from_utf8_lossy(&set_up.stderr)
                );
                journal.market().await.unwrap()
            },
            queue: Arc::new(
                RabbitQueue::connect(RabbitSettings::new(urls.amqp.clone().into(), "test"))
                    .await
                    .unwrap(),
            ),
            bench,
            urls,
            journal,
            judge,
            processes: std::sync::Mutex::default(),
            database,
        }
    }

    /// The same servers, the database as a login of the workers' role.
    pub(crate) async fn as_worker(&self) -> Urls {
        sqlx::raw_sql(ROLES).execute(&self.journal.pool()).await.unwrap();
        let database = self.database.as_ref().unwrap();
        Urls {
            amqp: self.urls.amqp.clone(),
            database: database.login("assay_worker").await,
        }
    }

    fn command_on(bench: &Workbench, urls: &Urls, judge: &SlowJudge, args: &[&str]) -> Command {
        let mut command = bench.command(args);
        command
            .env("ASSAY_AMQP_URL", &urls.amqp)
            .env("ASSAY_DATABASE_URL", &urls.database)
            .env("OPENAI_BASE_URL", judge.base_url())
            .env("OPENAI_API_KEY", "none")
            .env("ASSAY_MODEL", "slow");
        command
    }

    /// Changes the configuration of what is started from now on.
    pub(crate) fn configure(&self, change: impl FnOnce(&str) -> String) {
        let path = self.bench.path("assay.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        self.bench.write("assay.toml", &change(&config));
    }

    /// Workers that are started from now on take so many at a time.
    pub(crate) fn in_flight(&self, count: u32) {
        self.configure(|config| config.replace("[pool]\n", &format!("[pool]\nin_flight = {count}\n")));
    }

    /// A command of `assay` in this deployment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        Self::command_on(&self.bench, &self.urls, &self.judge, args)
    }

    /// Starts `assay` in the background, its log in a file.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        self.start_on(&self.urls, args)
    }

    /// The same, reaching broker and database by other addresses.
    pub(crate) fn start_on(&self, urls: &Urls, args: &[&str]) -> Process {
        self.start_command(Self::command_on(&self.bench, urls, &self.judge, args))
    }

    /// The same of a command that a test has made itself.
    pub(crate) fn start_command(&self, mut command: Command) -> Process {
        let number = self.processes.lock().unwrap().len();
        let log = self.bench.path(&format!("process-{number}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let child = command
            .env("ASSAY_LOG", "info")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.processes.lock().unwrap().push(child.id());
        Process { child, log }
    }

    /// A worker that takes jobs.
    pub(crate) async fn worker(&self) -> Process {
        self.ready(self.start(&["work"]), "the worker takes jobs").await
    }

    /// Settlement at work.
    pub(crate) async fn settler(&self) -> Process {
        self.ready(self.start(&["settle"]), "settlement begins").await
    }

    /// The process, once it has said so.
    pub(crate) async fn ready(&self, process: Process, says: &str) -> Process {
        self.until(says, Duration::from_secs(60), async || {
            process.log().contains(says)
        })
        .await;
        process
    }

    /// Puts the jobs into the marketplace, as handed in.
    pub(crate) async fn insert(&self, jobs: &[Submission]) {
        let jobs: Vec<Job> = jobs.iter().map(|submission| submission.job.clone()).collect();
        self.market.insert_demo(&jobs, 10_000_000).await.unwrap();
    }

    /// Publishes the messages, and waits for the broker's word on each.
    pub(crate) async fn publish(&self, jobs: &[Submission]) {
        for some in jobs.chunks(200) {
            let published = some
                .iter()
                .map(|submission| self.queue.publish(submission.outgoing()));
            for confirmed in futures_util::future::join_all(published).await {
                confirmed.unwrap();
            }
        }
    }

    /// The same, every other message saying only where its job is.
    pub(crate) async fn publish_half_thin(&self, jobs: &[Submission]) {
        for some in jobs.chunks(200) {
            let published = some.iter().enumerate().map(|(number, submission)| {
                let mut outgoing = submission.outgoing();
                if number % 2 == 1 {
                    outgoing.body = submission.thin().to_json().unwrap();
                }
                self.queue.publish(outgoing)
            });
            for confirmed in futures_util::future::join_all(published).await {
                confirmed.unwrap();
            }
        }
    }

    /// Publishes a message that says where the job is.
    pub(crate) async fn queue_thin(&self, submission: &Submission) {
        let outgoing = Outgoing {
            body: submission.thin().to_json().unwrap(),
            ..submission.outgoing()
        };
        self.queue.publish(outgoing).await.unwrap();
    }

    /// A number from the database.
    pub(crate) async fn count(&self, select: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT ({select})::int8")))
            .fetch_one(&self.journal.pool())
            .await
            .unwrap()
    }

    /// Waits until `done` says so.
    pub(crate) async fn until(&self, what: &str, limit: Duration, done: impl AsyncFn() -> bool) {
        if !self.comes_about(limit, done).await {
            panic!("{what}: not within {limit:?}; {}", self.states().await);
        }
    }

    /// Waits until `done` says so, but no longer; whether it did.
    pub(crate) async fn comes_about(&self, limit: Duration, done: impl AsyncFn() -> bool) -> bool {
        let give_up = tokio::time::Instant::now() + limit;
        while !done().await {
            if tokio::time::Instant::now() > give_up {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        true
    }

    /// How the claims stand, and what the processes said last.
    pub(crate) async fn states(&self) -> String {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT state, count(*) FROM assay.claim GROUP BY 1")
            .fetch_all(&self.journal.pool())
            .await
            .unwrap_or_default();
        format!("claims {rows:?}; {}", self.logs())
    }

    /// The last lines of every process's log.
    fn logs(&self) -> String {
        let count = self.processes.lock().unwrap().len();
        let logs = (0..count).map(|number| {
            let path = self.bench.path(&format!("process-{number}.log"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(6).collect();
            format!(
                "\nprocess {number}:\n{}",
                lines.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        });
        logs.collect()
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.ask_to_end();
        self.child.wait().unwrap()
    }

    /// SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Where it says that it serves its health.
    pub(crate) fn health(&self) -> String {
        let log = self.log();
        let said = log
            .split_once("health=Some(")
            .and_then(|(_, rest)| rest.split_once(')'));
        said.map(|(address, _)| address.to_owned())
            .unwrap_or_else(|| panic!("no address in {log}"))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plans(bench: &Workbench) {
    bench.plan(
        "quick",
        "[[graders]]\nname = \"text\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"as expected\" }\n",
    );
    bench.plan(
        "script",
        "[[graders]]\nname = \"form\"\nkind = \"check\"\nscript = \"csv-shape.wat\"\n",
    );
    bench.plan(
        "judged",
        "[[graders]]\nname = \"text\"\nkind = \"diff\"\ngate = true\ncompare = \"exact\"\n\
         expected = { text = \"as expected\" }\n\n[[graders]]\nname = \"quality\"\nkind = \"rubric\"\n\
         [[graders.criteria]]\nid = \"good\"\ntext = \"It is good.\"\nevidence = \"none\"\n",
    );
}
