//! The marketplace's own tables, in the same database: jobs are read, settlement moves money and attempts.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::PgJournal;
use crate::job::{Job, JobId};
use crate::journal::JournalError;

/// Rows that one statement inserts: keeps a demonstration's thousands of jobs within a few megabytes each.
const ROWS_AT_A_TIME: usize = 500;

/// The marketplace's tables. Cheap to clone.
///
/// A marketplace may keep ids as text or as uuid: which it is, is asked once, so that statements compare the columns as
/// they are and use their indexes.
#[derive(Debug, Clone)]
pub struct Market {
    pub(super) journal: PgJournal,
    pub(super) job_id: IdType,
    pub(super) user_id: IdType,
}

/// The type of an id column, as the catalogue writes it.
#[derive(Debug, Clone)]
pub(super) struct IdType(String);

impl IdType {
    /// A parameter that holds the id as text, as a value of the column's type.
    pub(super) fn one(&self, parameter: &str) -> String {
        format!("{parameter}::text::{}", self.0)
    }

    /// A parameter that holds ids as texts, as an array of the column's type.
    pub(super) fn many(&self, parameter: &str) -> String {
        format!("{parameter}::text[]::{}[]", self.0)
    }
}

/// Money that moves to a user or from one, with the ledger's reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Whose balance.
    pub user: String,
    /// Cents; below zero where money is taken.
    pub delta: i64,
    /// The ledger's reason, e.g. `payout:job_9`.
    pub reason: String,
}

/// What promise 5 (DESIGN.md section 4) adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// All balances in cents, the platform's among them.
    pub balances: i64,
    /// Prices in cents of jobs that are paid for and not settled.
    pub in_jobs: i64,
    /// Users whose ledger does not sum to their balance.
    pub unbalanced: Vec<String>,
}

impl Sums {
    /// What never changes, whatever settlement does.
    pub fn total(&self) -> i64 {
        self.balances + self.in_jobs
    }
}

impl PgJournal {
    /// The marketplace's tables.
    ///
    /// # Errors
    /// [`JournalError::NoMarketplace`] where this database has none.
    pub async fn market(&self) -> Result<Market, JournalError> {
        let id_type = async |table: &'static str| {
            sqlx::query_scalar::<_, String>(
                "SELECT format_type(atttypid, NULL) FROM pg_attribute
                 WHERE attrelid = to_regclass($1) AND attname = 'id' AND NOT attisdropped",
            )
            .bind(table)
            .fetch_optional(&self.pool())
            .await?
            .map(IdType)
            .ok_or_else(|| JournalError::NoMarketplace {
                place: self.place().to_owned(),
                table,
            })
        };
        Ok(Market {
            journal: self.clone(),
            job_id: id_type("jobs").await?,
            user_id: id_type("users").await?,
        })
    }
}

impl Market {
    /// The journal in the same database.
    pub fn journal(&self) -> &PgJournal {
        &self.journal
    }

    /// The job as it stands.
    ///
    /// # Errors
    /// Where the database cannot be asked, or the row is none of the marketplace's data model.
    pub async fn load_job(&self, id: &JobId) -> Result<Option<Job>, JournalError> {
        let mut connection = self.journal.pool().acquire().await?;
        self.job_row(&mut connection, id, "").await
    }

    /// Whether the marketplace has this user.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn has_user(&self, id: &str) -> Result<bool, JournalError> {
        let select = format!(
            "SELECT EXISTS (SELECT FROM users WHERE id = {})",
            self.user_id.one("$1")
        );
        let found = sqlx::query_scalar(AssertSqlSafe(select))
            .bind(id)
            .fetch_one(&self.journal.pool())
            .await?;
        Ok(found)
    }

    /// The job's row, with a locking clause.
    ///
    /// Through JSON, so that columns may have any type and a marketplace may have more of them.
    pub(super) async fn job_row(
        &self,
        connection: &mut PgConnection,
        id: &JobId,
        lock: &str,
    ) -> Result<Option<Job>, JournalError> {
        let select = format!(
            "SELECT to_jsonb(j)::text FROM jobs j WHERE id = {} {lock}",
            self.job_id.one("$1")
        );
        let row: Option<String> = sqlx::query_scalar(AssertSqlSafe(select))
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?;
        row.map(|row| serde_json::from_str(&row))
            .transpose()
            // The text of the error names the field; a job's own parser quotes no secret.
            .map_err(|error| JournalError::Damaged(format!("job {id}: {error}")))
    }

    /// Moves money: balances and ledger together. The users' rows are locked by the caller.
    pub(super) async fn move_money(
        &self,
        connection: &mut PgConnection,
        movements: &[Movement],
    ) -> Result<(), JournalError> {
        let mut deltas = BTreeMap::<&str, i64>::new();
        for movement in movements {
            let delta = deltas.entry(&movement.user).or_default();
            *delta = delta
                .checked_add(movement.delta)
                .ok_or_else(|| JournalError::Damaged("more money than there is".to_owned()))?;
        }
        let (users, sums): (Vec<&str>, Vec<i64>) = deltas.into_iter().unzip();
        let update = format!(
            "UPDATE users SET balance_cents = balance_cents + moved.delta
             FROM unnest({}, $2::bigint[]) AS moved (id, delta) WHERE users.id = moved.id",
            self.user_id.many("$1")
        );
        let updated = sqlx::query(AssertSqlSafe(update))
            .bind(&users)
            .bind(&sums)
            .execute(&mut *connection)
            .await?
            .rows_affected();
        let insert = format!(
            "INSERT INTO ledger_entries (user_id, delta, reason)
             SELECT * FROM unnest({}, $2::bigint[], $3::text[])",
            self.user_id.many("$1")
        );
        let (mut owners, mut changes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for movement in movements {
            owners.push(movement.user.as_str());
            changes.push(movement.delta);
            reasons.push(movement.reason.as_str());
        }
        sqlx::query(AssertSqlSafe(insert))
            .bind(&owners)
            .bind(&changes)
            .bind(&reasons)
            .execute(connection)
            .await?;
        if updated == users.len() as u64 {
            Ok(())
        } else {
            Err(JournalError::Damaged(format!(
                "{updated} of {} users found whose money moves",
                users.len()
            )))
        }
    }

    /// Adds up promise 5, in one snapshot.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn audit_sums(&self) -> Result<Sums, JournalError> {
        let row = sqlx::query(
            "SELECT (SELECT coalesce(sum(balance_cents), 0)::bigint FROM users) AS balances,
                    (SELECT coalesce(sum(price_cents), 0)::bigint FROM jobs
                     WHERE status IN ('queued', 'held', 'accepted', 'submitted')) AS in_jobs,
                    ARRAY(SELECT users.id::text FROM users
                          LEFT JOIN (SELECT user_id, sum(delta) AS delta FROM ledger_entries GROUP BY user_id) entries
                              ON entries.user_id = users.id
                          WHERE users.balance_cents <> coalesce(entries.delta, 0) ORDER BY 1) AS unbalanced",
        )
        .fetch_one(&self.journal.pool())
        .await?;
        Ok(Sums {
            balances: row.try_get("balances")?,
            in_jobs: row.try_get("in_jobs")?,
            unbalanced: row.try_get("unbalanced")?,
        })
    }

    /// Makes the jobs as if they had been posted: users who are missing, each with `starting_cents`; every price given
    /// to the sender and taken again; the rows themselves. For demonstrations and tests.
    ///
    /// # Errors
    /// Where the database refuses, e.g. a job that is there already; then nothing is made.
    pub async fn insert_demo(&self, jobs: &[Job], starting_cents: i64) -> Result<(), JournalError> {
        let users: BTreeSet<&str> = jobs
            .iter()
            .flat_map(|job| [Some(&job.sender), job.receiver.as_ref()])
            .flatten()
            .map(String::as_str)
            .collect();
        self.insert_demo_users(users, starting_cents).await?;
        for jobs in jobs.chunks(ROWS_AT_A_TIME) {
            let movements: Vec<_> = jobs
                .iter()
                .flat_map(|job| {
                    let price = job
                        .price_cents
                        .filter(|_| job.status != crate::job::JobStatus::PendingPayment);
                    let price = price.unwrap_or(0);
                    [
                        (price, "topup:demo".to_owned()),
                        (-price, format!("job:{}", job.id)),
                    ]
                    .map(|(delta, reason)| Movement {
                        user: job.sender.clone(),
                        delta,
                        reason,
                    })
                })
                .filter(|movement| movement.delta != 0)
                .collect();
            let rows =
                serde_json::to_string(jobs).map_err(|error| JournalError::Damaged(error.to_string()))?;
            let mut transaction = self.journal.pool().begin().await?;
            self.move_money(&mut transaction, &movements).await?;
            sqlx::query(
                "INSERT INTO jobs SELECT * FROM jsonb_populate_recordset(NULL::jobs, $1::text::jsonb)",
            )
            .bind(rows)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Makes the users who are missing, each with `starting_cents`. For demonstrations and tests.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn insert_demo_users(
        &self,
        users: impl IntoIterator<Item = &str>,
        starting_cents: i64,
    ) -> Result<(), JournalError> {
        let users: Vec<&str> = users.into_iter().collect();
        let insert = format!(
            "INSERT INTO users (id, name) SELECT id, id::text FROM unnest({}) AS new (id)
             ON CONFLICT (id) DO NOTHING RETURNING id::text",
            self.user_id.many("$1")
        );
        let mut transaction = self.journal.pool().begin().await?;
        let new: Vec<String> = sqlx::query_scalar(AssertSqlSafe(insert))
            .bind(&users)
            .fetch_all(&mut *transaction)
            .await?;
        let movements: Vec<_> = new
            .into_iter()
            .map(|user| Movement {
                user,
                delta: starting_cents,
                reason: "topup:demo".to_owned(),
            })
            .collect();
        self.move_money(&mut transaction, &movements).await?;
        transaction.commit().await?;
        Ok(())
    }
}
