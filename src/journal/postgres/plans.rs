//! Plans that have judged, by digest, with every file that they name; and the interpreters that ran their scripts.

use std::sync::Arc;

use serde_json::Value;
use sqlx::Row as _;

use super::PgJournal;
use super::journal::digest;
use crate::digest::Digest;
use crate::journal::JournalError;
use crate::plan::{KeptFile, KeptPlan};

impl PgJournal {
    /// Keeps a plan, once.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn keep_plan(&self, plan: &KeptPlan) -> Result<(), JournalError> {
        self.within(async {
            let mut transaction = self.pool().begin().await?;
            for file in &plan.files {
                sqlx::query("INSERT INTO assay.artifact (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(file.digest.as_bytes())
                    .bind(&*file.bytes)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query("INSERT INTO assay.plan (digest, name, settings) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(plan.digest.as_bytes())
                .bind(&plan.name)
                .bind(plan.settings.to_string())
                .execute(&mut *transaction)
                .await?;
            for file in &plan.files {
                sqlx::query(
                    "INSERT INTO assay.plan_file (plan, grader, key, name, artifact) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT DO NOTHING",
                )
                .bind(plan.digest.as_bytes())
                .bind(&file.grader)
                .bind(&file.key)
                .bind(&file.name)
                .bind(file.digest.as_bytes())
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// The kept plan of that digest.
    ///
    /// # Errors
    /// Where the database cannot be read, or holds what no version of ours writes.
    pub async fn kept_plan(&self, plan: Digest) -> Result<Option<KeptPlan>, JournalError> {
        self.within(async {
            let row = sqlx::query("SELECT name, settings FROM assay.plan WHERE digest = $1")
                .bind(plan.as_bytes())
                .fetch_optional(&self.pool())
                .await?;
            let Some(row) = row else { return Ok(None) };
            let settings: Value = serde_json::from_str(row.try_get("settings")?)
                .map_err(|error| JournalError::Damaged(format!("plan {plan}: {error}")))?;
            let files = sqlx::query(
                "SELECT f.grader, f.key, f.name, a.digest, a.bytes
                 FROM assay.plan_file f JOIN assay.artifact a ON a.digest = f.artifact WHERE f.plan = $1",
            )
            .bind(plan.as_bytes())
            .fetch_all(&self.pool())
            .await?;
            let files = files.iter().map(|row| {
                let (stated, bytes) = (digest(row, "digest")?, row.try_get::<Vec<u8>, _>("bytes")?);
                if Digest::of(&bytes) != stated {
                    return Err(JournalError::Damaged(format!(
                        "the kept file {stated} has other bytes"
                    )));
                }
                Ok(KeptFile {
                    grader: row.try_get("grader")?,
                    key: row.try_get("key")?,
                    name: row.try_get("name")?,
                    digest: stated,
                    bytes: Arc::from(bytes),
                })
            });
            Ok(Some(KeptPlan {
                name: row.try_get("name")?,
                digest: plan,
                settings,
                files: files.collect::<Result<_, JournalError>>()?,
            }))
        })
        .await
    }

    /// Digests of kept files that have other bytes.
    ///
    /// # Errors
    /// Where the database cannot be read, or holds what no version of ours writes.
    pub async fn damaged_artifacts(&self) -> Result<Vec<Digest>, JournalError> {
        let rows =
            sqlx::query("SELECT digest FROM assay.artifact WHERE digest <> sha256(bytes) ORDER BY digest")
                .fetch_all(&self.pool())
                .await?;
        rows.iter().map(|row| digest(row, "digest")).collect()
    }

    /// Whether the bytes of that digest are kept.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn has_artifact(&self, artifact: Digest) -> Result<bool, JournalError> {
        self.within(async {
            let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM assay.artifact WHERE digest = $1)")
                .bind(artifact.as_bytes())
                .fetch_one(&self.pool())
                .await?;
            Ok(found)
        })
        .await
    }

    /// Keeps bytes by their digest, once.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn keep_artifact(&self, bytes: &[u8]) -> Result<(), JournalError> {
        self.within(async {
            sqlx::query("INSERT INTO assay.artifact (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(Digest::of(bytes).as_bytes())
                .bind(bytes)
                .execute(&self.pool())
                .await?;
            Ok(())
        })
        .await
    }

    /// The kept bytes of that digest.
    ///
    /// # Errors
    /// Where the database cannot be read, or has other bytes under that digest.
    pub async fn artifact(&self, artifact: Digest) -> Result<Option<Vec<u8>>, JournalError> {
        let found: Option<Vec<u8>> = self
            .within(async {
                let found = sqlx::query_scalar("SELECT bytes FROM assay.artifact WHERE digest = $1")
                    .bind(artifact.as_bytes())
                    .fetch_optional(&self.pool())
                    .await?;
                Ok(found)
            })
            .await?;
        match found {
            Some(bytes) if Digest::of(&bytes) != artifact => Err(JournalError::Damaged(format!(
                "the kept file {artifact} has other bytes"
            ))),
            found => Ok(found),
        }
    }
}
