//! Calibrating a plan: is its judge worth paying on?
//!
//! Cases that people have labelled are verified by the plan, and what it says is compared with what they said. A judge is
//! blessed only where there is enough to tell it from chance: an accuracy alone says nothing, since at a base rate of
//! 95 % somebody who always says yes is right 95 times of 100.
//!
//! ```text
//! cases (fixtures, JSONL) ──> run, N samples each ──> agreement ──> blessing
//!                                                        └──> report: lines, JSON, a page
//! ```

mod agreement;
mod blessing;
mod cases;
mod html;
mod lines;
mod report;
mod run;

pub use agreement::{Confusion, Interval};
pub use blessing::{Demands, Refusal, bless};
pub use cases::{Case, CaseError, Cases};
pub use html::page;
pub use lines::write_lines;
pub use report::{CalibrationReport, CaseReport, CriterionReport, Said, Spending, Subject};
pub use run::Calibration;
