//! The plan that judges again.

use super::case::Case;
use super::error::ReverifyError;
use crate::digest::Digest;
use crate::journal::PgJournal;
use crate::plan::{KeptPlan, Plan, PlanFolders};

/// The kind of grader that asks several times.
const ASKED_SEVERAL_TIMES: &str = "rubric";

/// Which plan judges again.
#[derive(Debug, Clone)]
pub enum PlanWanted {
    /// The one that judged then.
    Then,
    /// This one, as it was kept.
    Kept(Box<KeptPlan>),
}

impl PlanWanted {
    /// The plan for a case, with so many samples of each judge where somebody asks for it.
    ///
    /// # Errors
    /// Where it was not kept, or this version does not take it.
    pub async fn of(
        &self,
        case: &Case,
        samples: Option<u32>,
        journal: &PgJournal,
        folders: &PlanFolders,
    ) -> Result<Plan, ReverifyError> {
        let kept = match self {
            Self::Kept(kept) => kept.as_ref().clone(),
            Self::Then => kept_then(case, journal).await?,
        };
        let plan = folders.restore(&kept)?;
        if plan.digest != kept.digest {
            return Err(ReverifyError::PlanReadOtherwise(kept.name));
        }
        match samples {
            None => Ok(plan),
            Some(samples) => {
                Ok(folders.restore(&kept.with_setting(ASKED_SEVERAL_TIMES, "samples", &samples.into()))?)
            }
        }
    }
}

async fn kept_then(case: &Case, journal: &PgJournal) -> Result<KeptPlan, ReverifyError> {
    let plan = &case.message.plan;
    let digest: Digest = plan.digest;
    match journal.kept_plan(digest).await? {
        // The name is not in the digest: the same plan may have been called otherwise before.
        Some(kept) => Ok(KeptPlan {
            name: plan.name.clone(),
            ..kept
        }),
        None => Err(ReverifyError::PlanNotKept {
            name: plan.name.clone(),
            digest: digest.to_string(),
        }),
    }
}
