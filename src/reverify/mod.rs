//! Verifies again what was decided before: the third thin caller of the heart.
//!
//! ```text
//! job, attempt ──> what was handed in, the effective decision, its log            case
//!              ──> attachments again: the same bytes, or it is refused            evidence
//!              ──> the plan that judged then, or another; its interpreters        runtimes
//!              ──> verify, with a log and a preview receipt of its own            run
//!              ──> then and now, side by side                                     compare
//! on --publish ──> the decision that is overturned, once; its message, confirmed  publish
//! ```
//!
//! Nothing moves until somebody publishes: a preview receipt pays nobody. What is read from the database is believed as far as the
//! receipt of the decision in dispute signs it, and that receipt as far as the trust file goes.

mod case;
mod compare;
mod difference;
mod error;
mod evidence;
mod plans;
mod publish;
mod run;
mod runtimes;
mod told;

pub use case::Case;
pub use compare::{Comparison, CriterionPair, GraderPair, GraderView, Side, replays};
pub use difference::Difference;
pub use error::ReverifyError;
pub use evidence::{ChangedFile, Originals};
pub use plans::PlanWanted;
pub use publish::{Published, Publisher, foresee};
pub use run::{Reverified, Reverifier};
pub use runtimes::Sandboxes;
pub use told::{Criterion, Told};
