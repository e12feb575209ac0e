//! `deploy/roles.sql`: what each role may do, and what it is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod may;
mod may_not;

use std::time::Duration;

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::postgres::PgJournal;
use assay::journal::{Cause, NewVerification};
use assay::plan::PlanRef;
use jiff::Timestamp;
use sqlx::Executor as _;

use crate::servers::{self, TestDatabase};

pub(crate) const ROLES: &str = include_str!("../../../deploy/roles.sql");

const LEASE: Duration = Duration::from_secs(30);

/// A database as `assay setup` and `deploy/roles.sql` leave it.
struct Deployment {
    database: TestDatabase,
    owner: PgJournal,
}

impl Deployment {
    async fn new() -> Self {
        let database = servers::database().await;
        let owner = PgJournal::connect(&database.url, 2).await.unwrap();
        owner.set_up().await.unwrap();
        owner.set_up_demo_marketplace().await.unwrap();
        owner.pool().execute(ROLES).await.unwrap();
        Self { database, owner }
    }

    /// A login of its own, a member of the role.
    async fn login(&self, role: &str) -> PgJournal {
        PgJournal::connect(&self.database.login(role).await, 2)
            .await
            .unwrap()
    }
}

/// How the database refuses the statement: its code and message.
async fn refusal(journal: &PgJournal, statement: &'static str) -> (String, String) {
    let error = journal.pool().execute(statement).await.unwrap_err();
    let error = error.as_database_error().unwrap();
    (error.code().unwrap().into_owned(), error.message().to_owned())
}

fn verification(job: &str) -> NewVerification {
    NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new(job),
        attempt: 0,
        cause: Cause::Submission,
        plan: PlanRef {
            name: "p".to_owned(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        started_at: Timestamp::now().round(jiff::Unit::Microsecond).unwrap(),
    }
}

fn entry() -> Entry {
    Entry {
        kind: EntryType::Info,
        audience: Audience::Public,
        content: "begun".to_owned(),
        created_at: Timestamp::from_second(1).unwrap(),
    }
}
