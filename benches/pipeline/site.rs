//! A deployment for one round: a fresh database, empty queues, a folder with a plan and a key.

use assay::journal::PgJournal;
use assay::queue::{RabbitSettings, Topology};
use assay::receipt::SigningKey;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::{IN_FLIGHT, jobs};

const DATABASE: &str = "bench_pipeline";

pub(crate) struct Site {
    pub(crate) amqp: String,
    pub(crate) database: String,
    pub(crate) folder: tempfile::TempDir,
    server: String,
}

/// What a worker has written for one job.
#[derive(Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) entries: Vec<TemplateEntry>,
    pub(crate) outcome: Vec<u8>,
    pub(crate) traceparent: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TemplateEntry {
    pub(crate) kind: String,
    pub(crate) content: String,
    pub(crate) audience: String,
}

impl Site {
    pub(crate) async fn fresh() -> Self {
        let how = "needs private servers: tests/servers run cargo bench --profile dev --bench pipeline";
        let (Ok(broker), Ok(server)) = (
            std::env::var("ASSAY_TEST_AMQP_URL"),
            std::env::var("ASSAY_TEST_DATABASE_URL"),
        ) else {
            panic!("{how}")
        };
        let site = Self {
            amqp: format!("{broker}/t1"),
            database: format!("{server}/{DATABASE}"),
            folder: tempfile::tempdir().unwrap(),
            server,
        };
        let topology = Topology::new(true);
        empty(&site.amqp, &topology).await.unwrap();
        topology
            .declare(RabbitSettings::new(site.amqp.clone().into(), "bench"))
            .await
            .unwrap();
        site.drop_database().await;
        site.on_server(&format!("CREATE DATABASE {DATABASE}")).await;
        let journal = PgJournal::connect(&site.database, 1).await.unwrap();
        journal.set_up().await.unwrap();
        journal.close().await;
        // What the last round left to write is written now, not during this one.
        site.on_server("CHECKPOINT").await;
        site.write_settings();
        site
    }

    /// Leaves PostgreSQL with so many segments of its write-ahead log (16 MB each) to use again, as a server has them that was
    /// under load before. One that has none makes them as it goes: it writes 16 MB of zeros and flushes them, while every
    /// commit waits.
    pub(crate) async fn make_segments(&self, segments: u32) {
        for _ in 0..segments {
            self.on_server("SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()")
                .await;
        }
        self.on_server("CHECKPOINT").await;
    }

    fn write_settings(&self) {
        let folder = self.folder.path();
        std::fs::create_dir_all(folder.join("graders/plans")).unwrap();
        std::fs::write(folder.join("graders/plans/expected.txt"), jobs::expected()).unwrap();
        std::fs::write(
            folder.join("graders/plans/bench.toml"),
            "[[graders]]\nname = \"text\"\nkind = \"diff\"\ncompare = \"lines\"\n\
             expected = { file = \"expected.txt\" }\n",
        )
        .unwrap();
        std::fs::create_dir_all(folder.join("prompts")).unwrap();
        std::fs::copy("prompts/rubric.md", folder.join("prompts/rubric.md")).unwrap();
        std::fs::write(
            folder.join("graders/plans/slow.toml"),
            "[[graders]]\nname = \"good\"\nkind = \"rubric\"\nprompt = \"rubric\"\n\
             criteria = [{ id = \"good\", text = \"It is good.\", evidence = \"none\" }]\n",
        )
        .unwrap();
        std::fs::write(
            folder.join("assay.toml"),
            format!(
                "[pool]\nlisten = \"off\"\nmarketplace = false\nin_flight = {IN_FLIGHT}\n\
                 signing_key = \"signing.key\"\ntrust = \"trust.toml\"\n"
            ),
        )
        .unwrap();
        SigningKey::generate()
            .write_new(&folder.join("signing.key"))
            .unwrap();
    }

    /// What is in the database of the one job that was taken.
    pub(crate) async fn template(&self) -> Template {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        let entries = connection
            .fetch_all("SELECT type, content, audience FROM assay.log ORDER BY seq")
            .await
            .unwrap();
        let decision = connection
            .fetch_one("SELECT message, traceparent FROM assay.decision")
            .await
            .unwrap();
        Template {
            entries: entries
                .iter()
                .map(|row| TemplateEntry {
                    kind: row.get("type"),
                    content: row.get("content"),
                    audience: row.get("audience"),
                })
                .collect(),
            outcome: decision.get("message"),
            traceparent: decision.get("traceparent"),
        }
    }

    pub(crate) async fn remove(self) {
        self.drop_database().await;
    }

    async fn drop_database(&self) {
        self.on_server(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
            .await;
    }

    async fn on_server(&self, statement: &str) {
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.server))
            .await
            .unwrap();
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Deleting what does not exist is no error.
async fn empty(url: &str, topology: &Topology) -> lapin::Result<()> {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in &topology.queues {
        channel
            .queue_delete(queue.name.into(), QueueDeleteOptions::default())
            .await?;
    }
    for &exchange in &topology.exchanges {
        channel
            .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
            .await?;
    }
    connection.close(200, "done".into()).await
}
