//! The private servers of the tests, started by `tests/servers`: a fresh virtual host or database for each
//! test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; which servers there are is told by the environment"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use assay::queue::Topology;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

const HOW: &str = "this test needs private servers: run `make test`, or `tests/servers run cargo test`";

/// How many virtual hosts `tests/servers` makes.
const VHOSTS: u32 = 110;

/// The URL of an empty virtual host that no other test has had, as a deployment is given it.
pub(crate) fn amqp_url() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let broker = std::env::var("ASSAY_TEST_AMQP_URL").expect(HOW);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
    assert!(
        number <= VHOSTS,
        "no virtual host is left: raise VHOSTS here and in tests/servers"
    );
    let url = format!("{broker}/t{number}");
    apart(empty(&url)).unwrap();
    url
}

/// A folder for servers of one test's own. What `tests/servers` finds there when the run ends, it stops.
pub(crate) fn own_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("own-")
        .tempdir_in(shared_folder())
        .unwrap()
}

/// The folder of the servers that all tests share.
pub(crate) fn shared_folder() -> String {
    std::env::var("ASSAY_TEST_SERVERS").expect(HOW)
}

/// Servers that were started by hand have seen earlier runs. Deleting what does not exist is no error.
async fn empty(url: &str) -> lapin::Result<()> {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let topology = Topology::new(true);
    for queue in topology.queues {
        channel
            .queue_delete(queue.name.into(), QueueDeleteOptions::default())
            .await?;
    }
    for exchange in topology.exchanges {
        channel
            .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
            .await?;
    }
    connection.close(200, "done".into()).await
}

/// Runs to its end on a thread of its own, since a test's runtime may not be blocked.
fn apart<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// A database of one test's own, dropped with it.
pub(crate) struct TestDatabase {
    /// Its URL, as its superuser.
    pub(crate) url: String,
    name: String,
    server: String,
}

/// A fresh, empty database.
pub(crate) async fn database() -> TestDatabase {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("ASSAY_TEST_DATABASE_URL").expect(HOW);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    let url = format!("{server}/{name}");
    let database = TestDatabase { url, name, server };
    database.on_server("CREATE DATABASE", "").await.unwrap();
    database
}

impl TestDatabase {
    /// The URL of a new login that is a member of the role.
    pub(crate) async fn login(&self, role: &str) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("login_{}_{number}", std::process::id());
        let create = format!("CREATE ROLE {name} LOGIN IN ROLE {role}");
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        connection.close().await.unwrap();
        let (_, server) = self.url.split_once('@').unwrap();
        format!("postgres://{name}@{server}")
    }

    /// CREATE and DROP DATABASE take no parameters; the name is ours.
    async fn on_server(&self, before: &str, after: &str) -> Result<(), sqlx::Error> {
        let statement = sqlx::AssertSqlSafe(format!("{before} {} {after}", self.name));
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.server)).await?;
        connection.execute(statement).await?;
        connection.close().await
    }
}

impl Drop for TestDatabase {
    /// The servers are temporary anyway; this keeps the disk small during a run.
    fn drop(&mut self) {
        drop(apart(self.on_server("DROP DATABASE IF EXISTS", "WITH (FORCE)")));
    }
}

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (first, second) = (database().await, database().await);
    assert_ne!(first.url, second.url);
    let mut connection = PgConnection::connect(&first.url).await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
}
