//! What a grader may use while it judges.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::rubric::Judge;
use crate::clock::Clock;
use crate::log::Log;

/// What every verification gives its graders. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Where everything that happens is told.
    pub log: Log,
    /// What time it is.
    pub clock: Clock,
    /// Fires when the verification is called off.
    pub cancel: CancellationToken,
    /// When the verification must have ended; passing it is a transient error, never a verdict.
    pub deadline: Instant,
}

/// What graders are made with.
#[derive(Clone)]
pub struct Tools {
    /// Who answers rubric graders.
    pub judge: Judge,
    /// Whether the plan lets the submitter see what would hand the answer to the next attempt.
    pub reveal: bool,
}
