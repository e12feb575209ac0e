//! The manifest of the evidence store: which files a verification judged, and what became of our copies.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PgJournal;
use super::claims::milliseconds;
use super::journal::{count, digest};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::journal::JournalError;
use crate::submission::{EvidenceFile, FileRole};

/// A file that a verification judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptFile {
    /// Its place in the submission, from 0.
    pub place: u32,
    /// `output` or `input`.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: i64,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Media type, as stated.
    pub content_type: Option<String>,
    /// `storing`, `kept`, `not-kept`, `doomed`, `deleted`.
    pub state: String,
    /// Why it is not kept, or no longer.
    pub why: Option<String>,
}

impl PgJournal {
    /// Notes the files of a verification before they are stored, or why they are not.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn note_evidence(
        &self,
        id: VerificationId,
        files: &[EvidenceFile],
        not_kept: Option<&str>,
    ) -> Result<(), JournalError> {
        let sizes = files
            .iter()
            .map(|file| i64::try_from(file.size).unwrap_or(i64::MAX));
        let noting = async {
            sqlx::query(
                "INSERT INTO assay.evidence (verification_id, place, role, name, size, sha256, content_type, state, why)
                 SELECT $1, place - 1, role, name, size, sha256, content_type,
                        CASE WHEN $7::text IS NULL THEN 'storing' ELSE 'not-kept' END, $7
                 FROM unnest($2::text[], $3::text[], $4::int8[], $5::bytea[], $6::text[]) WITH ORDINALITY
                 AS file (role, name, size, sha256, content_type, place)
                 ON CONFLICT (verification_id, place) DO NOTHING",
            )
            .bind(id.uuid())
            .bind(files.iter().map(|file| role(file.role)).collect::<Vec<_>>())
            .bind(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>())
            .bind(sizes.collect::<Vec<_>>())
            .bind(
                files
                    .iter()
                    .map(|file| file.sha256.as_bytes().as_slice())
                    .collect::<Vec<_>>(),
            )
            .bind(
                files
                    .iter()
                    .map(|file| file.content_type.as_deref())
                    .collect::<Vec<_>>(),
            )
            .bind(not_kept)
            .execute(&self.pool())
            .await?;
            Ok(())
        };
        self.within(noting).await
    }

    /// Notes what came of storing a verification's files. Where it failed, some are in the store, nobody knows which: all of
    /// them are doomed, so that none stays there for good; `why` tells.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn evidence_stored(
        &self,
        id: VerificationId,
        failed: Option<&str>,
    ) -> Result<(), JournalError> {
        let noting = async {
            sqlx::query(
                "UPDATE assay.evidence SET state = CASE WHEN $2::text IS NULL THEN 'kept' ELSE 'doomed' END, why = $2
                 WHERE verification_id = $1 AND state = 'storing'",
            )
            .bind(id.uuid())
            .bind(failed)
            .execute(&self.pool())
            .await?;
            Ok(())
        };
        self.within(noting).await
    }

    /// The files of a verification.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn evidence(&self, id: VerificationId) -> Result<Vec<KeptFile>, JournalError> {
        let rows = sqlx::query("SELECT * FROM assay.evidence WHERE verification_id = $1 ORDER BY place")
            .bind(id.uuid())
            .fetch_all(&self.pool())
            .await?;
        rows.iter().map(kept_file).collect()
    }

    /// Dooms what has been kept for longer than `keep`, at most `limit` rows, and notes the act.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn doom_evidence(&self, keep: Duration, limit: u32, by: &str) -> Result<u64, JournalError> {
        let days = keep.as_secs() / 86_400;
        let dooming = async {
            let doomed: i64 = sqlx::query_scalar(
                "WITH old AS (
                     SELECT verification_id, place FROM assay.evidence
                     WHERE state IN ('kept', 'storing') AND noted_at < now() - $1 * interval '1 ms' LIMIT $2
                     FOR UPDATE SKIP LOCKED
                 ), doomed AS (
                     UPDATE assay.evidence e SET state = 'doomed', why = $3
                     FROM old WHERE e.verification_id = old.verification_id AND e.place = old.place RETURNING 1
                 ), noted AS (
                     INSERT INTO assay.act (what, target, by, reason)
                     SELECT 'retention', count(*) || ' files', $4, $3 FROM doomed HAVING count(*) > 0
                 )
                 SELECT count(*) FROM doomed",
            )
            .bind(milliseconds(keep))
            .bind(i64::from(limit))
            .bind(format!("kept for {days} days"))
            .bind(by)
            .fetch_one(&self.pool())
            .await?;
            Ok(u64::try_from(doomed).unwrap_or(0))
        };
        self.within(dooming).await
    }

    /// Digests of which every copy is doomed, at most `limit`: no verification needs their bytes any more.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn doomed_evidence(&self, limit: u32) -> Result<Vec<Digest>, JournalError> {
        let rows = sqlx::query(
            "SELECT DISTINCT sha256 FROM assay.evidence d WHERE state = 'doomed'
               AND NOT EXISTS (SELECT FROM assay.evidence k WHERE k.sha256 = d.sha256 AND k.state IN ('kept', 'storing'))
             LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        rows.iter().map(|row| digest(row, "sha256")).collect()
    }

    /// Notes that the bytes are deleted. `false`: somebody stores the same bytes again, so they must be there.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn evidence_deleted(&self, sha256: Digest) -> Result<bool, JournalError> {
        let noting = async {
            let needed: bool = sqlx::query_scalar(
                "WITH gone AS (
                     UPDATE assay.evidence SET state = 'deleted' WHERE sha256 = $1 AND state = 'doomed'
                 )
                 SELECT EXISTS (SELECT FROM assay.evidence WHERE sha256 = $1 AND state IN ('kept', 'storing'))",
            )
            .bind(sha256.as_bytes())
            .fetch_one(&self.pool())
            .await?;
            Ok(!needed)
        };
        self.within(noting).await
    }
}

fn role(role: FileRole) -> &'static str {
    match role {
        FileRole::Output => "output",
        FileRole::Input => "input",
    }
}

fn kept_file(row: &PgRow) -> Result<KeptFile, JournalError> {
    Ok(KeptFile {
        place: count(row, "place")?,
        role: row.try_get("role")?,
        name: row.try_get("name")?,
        size: row.try_get("size")?,
        sha256: digest(row, "sha256")?,
        content_type: row.try_get("content_type")?,
        state: row.try_get("state")?,
        why: row.try_get("why")?,
    })
}
