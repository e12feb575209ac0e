//! Keeps what decides verdicts before it decides one: plans with their files, and the interpreters that ran scripts.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::causes::in_full;
use crate::digest::Digest;
use crate::journal::postgres::is_passing;
use crate::journal::{JournalError, PgJournal};
use crate::outcome::Verification;
use crate::plan::{KeptPlan, Plan};
use crate::sandbox::Language;

/// Most digests that are remembered: senders' own plans are all different.
const REMEMBERED: usize = 10_000;

/// Keeps each plan and interpreter once for each process.
pub struct PlanKeeper {
    journal: PgJournal,
    /// Where the interpreters lie.
    runtimes: PathBuf,
    known: Mutex<HashSet<Digest>>,
}

impl PlanKeeper {
    /// A keeper that knows of nothing yet.
    pub fn new(journal: PgJournal, runtimes: PathBuf) -> Self {
        Self {
            journal,
            runtimes,
            known: Mutex::default(),
        }
    }

    /// Returns when the plan and the interpreters of this verification are kept. Trouble that passes is waited out; what the
    /// database refuses is an error for the operator's eyes, and keeps nobody's decision back.
    pub(super) async fn keep(&self, plan: &Plan, verification: &Verification) {
        // A sender's own plan may have been erased since, with another hand-in that it judged.
        if plan.path.is_none() || !self.knows(plan.digest) {
            self.keep_patiently(plan.digest, Some(plan)).await;
        }
        for runtime in verification.runtimes.values() {
            if !self.knows(*runtime) {
                self.keep_patiently(*runtime, None).await;
            }
        }
    }

    /// Keeps the plan, or, without one, the interpreter of that digest.
    async fn keep_patiently(&self, digest: Digest, plan: Option<&Plan>) {
        let mut pause = Duration::from_millis(50);
        loop {
            let kept = match plan {
                Some(plan) => self.journal.keep_plan(&KeptPlan::of(plan)).await,
                None => self.keep_runtime(digest).await,
            };
            match kept {
                Ok(()) => break,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(error = %in_full(&error), %digest, "keeping what judged waits for the database");
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(Duration::from_secs(1));
                }
                Err(error) => {
                    tracing::error!(error = %in_full(&error), %digest, "what judged cannot be kept for disputes");
                    break;
                }
            }
        }
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest);
    }

    async fn keep_runtime(&self, runtime: Digest) -> Result<(), JournalError> {
        if self.journal.has_artifact(runtime).await? {
            return Ok(());
        }
        for language in Language::ALL {
            let path = self.runtimes.join(language.file_name());
            let Ok(bytes) = tokio::fs::read(&path).await else {
                continue;
            };
            if Digest::of(&bytes) == runtime {
                return self.journal.keep_artifact(&bytes).await;
            }
        }
        tracing::error!(%runtime, "an interpreter that judged is not in the folder of runtimes: not kept");
        Ok(())
    }

    fn knows(&self, digest: Digest) -> bool {
        self.known().contains(&digest)
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
