//! The desk's journal: one SQLite file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, SqlitePool};

use super::{Chain, Journal, JournalError, Link, NewVerification, VerificationRow, ending_words};
use crate::digest::Digest;
use crate::entry::{Audience, Entry, EntryType, LogEntry, VerificationId};
use crate::job::JobId;
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent};
use crate::outcome::Decision;
use crate::plan::PlanRef;
use crate::verdict::GradeError;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/journal/migrations/sqlite");

/// A journal in an SQLite file. Several processes may use the same file.
#[derive(Clone)]
pub struct SqliteJournal {
    /// One connection: SQLite has one writer, and a second would only wait for the first.
    pool: SqlitePool,
}

impl SqliteJournal {
    /// Opens the file, making it and its folder where they are missing.
    ///
    /// # Errors
    /// Where the file cannot be opened, or was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let open_error = |source| JournalError::Open {
            place: path.display().to_string(),
            source,
        };
        let lock = {
            let path = path.to_owned();
            let preparing = tokio::task::spawn_blocking(move || prepare(&path));
            let prepared = preparing
                .await
                .map_err(std::io::Error::other)
                .and_then(|prepared| prepared);
            prepared.map_err(|error| open_error(sqlx::Error::Io(error)))?
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was answered survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(30))
            // Else REPLACE would delete rows without asking the delete trigger.
            .pragma("recursive_triggers", "ON");
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(open_error)?;
        MIGRATIONS.run(&pool).await?;
        drop(lock);
        Ok(Self { pool })
    }

    /// The connection pool, for tests that tamper with the file.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// Makes the file, readable by nobody else (it holds what was expected and what was handed in), and takes the lock under
/// which its tables are made: two processes that start at once would make them twice.
fn prepare(path: &Path) -> std::io::Result<File> {
    let private = |options: &mut OpenOptions, path: &Path| {
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    };
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    private(&mut OpenOptions::new(), path)?;
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = private(&mut OpenOptions::new(), Path::new(&lock_path))?;
    lock.lock()?;
    Ok(lock)
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn begin(&self, new: &NewVerification) -> Result<(), JournalError> {
        sqlx::query(
            "INSERT INTO verification (id, job_id, attempt, cause, plan_name, plan_digest, submission_digest,
                                       started_at, head)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(new.id.to_string())
        .bind(new.job_id.as_str())
        .bind(new.attempt)
        .bind(new.cause.as_str())
        .bind(&new.plan.name)
        .bind(new.plan.digest.to_string())
        .bind(new.submission.to_string())
        .bind(new.started_at.as_microsecond())
        .bind(new.chain_start().to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn append(&self, id: VerificationId, entries: Vec<Entry>) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row =
            sqlx::query("SELECT job_id, next_seq, head FROM verification WHERE id = ? AND ended_at IS NULL")
                .bind(id.to_string())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(JournalError::NotUnderWay(id))?;
        let job_id: String = row.try_get("job_id")?;
        let mut chain = Chain {
            length: row.try_get("next_seq")?,
            head: parsed(&row, "head")?,
        };
        for entry in entries {
            let Link {
                seq,
                entry,
                salt,
                hash,
            } = chain.push(entry);
            sqlx::query(
                "INSERT INTO log (job_id, verification_id, seq, type, content, audience, created_at, salt, hash)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&job_id)
            .bind(id.to_string())
            .bind(seq)
            .bind(entry.kind.as_str())
            .bind(&entry.content)
            .bind(entry.audience.as_str())
            .bind(entry.created_at.as_microsecond())
            .bind(salt.to_vec())
            .bind(hash.to_string())
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("UPDATE verification SET next_seq = ?, head = ? WHERE id = ?")
            .bind(chain.length)
            .bind(chain.head.to_string())
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn conclude(
        &self,
        id: VerificationId,
        decision: &Result<Decision, GradeError>,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let (outcome, content) = ending_words(decision)?;
        let ended = sqlx::query(
            "UPDATE verification SET ended_at = ?, outcome = ?, decision = ? WHERE id = ? AND ended_at IS NULL",
        )
        .bind(at.as_microsecond())
        .bind(outcome)
        .bind(content)
        .bind(id.to_string())
        .execute(&self.pool)
        .await?;
        if ended.rows_affected() == 0 {
            Err(JournalError::NotUnderWay(id))
        } else {
            Ok(())
        }
    }

    async fn verifications(&self, job_id: &JobId) -> Result<Vec<VerificationRow>, JournalError> {
        let rows = sqlx::query("SELECT * FROM verification WHERE job_id = ? ORDER BY started_at, id")
            .bind(job_id.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(verification).collect()
    }

    async fn entries_from(&self, id: VerificationId, seq: u32) -> Result<Vec<LogEntry>, JournalError> {
        let rows = sqlx::query("SELECT * FROM log WHERE verification_id = ? AND seq >= ? ORDER BY seq")
            .bind(id.to_string())
            .bind(seq)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(log_entry).collect()
    }

    async fn keep_call(
        &self,
        about: (VerificationId, &JobId, u32),
        call: &ModelCall,
    ) -> Result<(), JournalError> {
        self.insert_call(about, call).await
    }

    async fn paid_call(
        &self,
        hand_in: (&JobId, u32),
        key: Digest,
    ) -> Result<Option<(VerificationId, ModelCall)>, JournalError> {
        self.select_paid_call(hand_in, key).await
    }

    async fn model_calls(&self, id: VerificationId) -> Result<Vec<ModelCall>, JournalError> {
        self.select_calls(id).await
    }

    async fn spent(&self, job_id: &JobId) -> Result<Spent, JournalError> {
        self.select_spent(job_id).await
    }

    async fn reserve_spending(
        &self,
        job_id: &JobId,
        reservation: &Reservation,
    ) -> Result<Option<NoRoom>, JournalError> {
        self.note_begun(job_id, reservation).await
    }

    async fn jobs(&self, limit: u32) -> Result<Vec<JobId>, JournalError> {
        let rows = sqlx::query(
            "SELECT job_id FROM verification GROUP BY job_id ORDER BY max(started_at) DESC, job_id LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok(JobId::new(row.try_get::<String, _>("job_id")?)))
            .collect()
    }
}

fn verification(row: &SqliteRow) -> Result<VerificationRow, JournalError> {
    Ok(VerificationRow {
        id: parsed(row, "id")?,
        job_id: JobId::new(row.try_get::<String, _>("job_id")?),
        attempt: row.try_get("attempt")?,
        cause: parsed(row, "cause")?,
        plan: PlanRef {
            name: row.try_get("plan_name")?,
            digest: parsed(row, "plan_digest")?,
        },
        submission: parsed(row, "submission_digest")?,
        started_at: time(row, "started_at")?,
        outcome: row.try_get("outcome")?,
        entries: row.try_get("next_seq")?,
        head: parsed(row, "head")?,
    })
}

fn log_entry(row: &SqliteRow) -> Result<LogEntry, JournalError> {
    let kind: EntryType = parsed(row, "type")?;
    let audience: Audience = parsed(row, "audience")?;
    let salt: &[u8] = row.try_get("salt")?;
    Ok(LogEntry {
        id: row.try_get("id")?,
        job_id: JobId::new(row.try_get::<String, _>("job_id")?),
        verification_id: parsed(row, "verification_id")?,
        seq: row.try_get("seq")?,
        entry: Entry {
            kind,
            content: row.try_get("content")?,
            audience,
            created_at: time(row, "created_at")?,
        },
        salt: salt
            .try_into()
            .map_err(|_| JournalError::Damaged("a salt of another length".to_owned()))?,
        hash: parsed(row, "hash")?,
        erased: None,
    })
}

pub(super) fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &str) -> Result<T, JournalError> {
    let text: &str = row.try_get(column)?;
    text.parse()
        .map_err(|_| JournalError::Damaged(format!("{column} `{text}`")))
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, JournalError> {
    let microseconds: i64 = row.try_get(column)?;
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| JournalError::Damaged(format!("{column} {microseconds}")))
}
