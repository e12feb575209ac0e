//! The private servers of the tests, started by `tests/servers`: a fresh virtual host or database for each test.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; which servers there are is told by the environment"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection as _, Executor as _, PgConnection};

const HOW: &str = "this test needs private servers: run `make test`, or `tests/servers run cargo test`";

/// How many virtual hosts `tests/servers` makes.
const VHOSTS: u32 = 60;

/// The URL of a virtual host that no other test has had, as a deployment is given it.
pub(crate) fn amqp_url() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let broker = std::env::var("ASSAY_TEST_AMQP_URL").expect(HOW);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
    assert!(
        number <= VHOSTS,
        "no virtual host is left: raise VHOSTS here and in tests/servers"
    );
    format!("{broker}/t{number}")
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
    /// CREATE and DROP DATABASE take no parameters; the name is ours.
    async fn on_server(&self, before: &str, after: &str) -> Result<(), sqlx::Error> {
        let statement = sqlx::AssertSqlSafe(format!("{before} {} {after}", self.name));
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.server)).await?;
        connection.execute(statement).await?;
        connection.close().await
    }

    fn drop_it(&self) {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            // The servers are temporary anyway; this keeps the disk small during a run.
            drop(runtime.block_on(self.on_server("DROP DATABASE IF EXISTS", "WITH (FORCE)")));
        }
    }
}

impl Drop for TestDatabase {
    /// On a thread of its own, since a test's runtime may not be blocked.
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.drop_it());
        });
    }
}

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (first, second) = (database().await, database().await);
    assert_ne!(first.url, second.url);
    let mut connection = PgConnection::connect(&first.url).await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
}
