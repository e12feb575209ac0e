//! Attacking a plan: how often can its judge be talked round, and what is each defence worth?
//!
//! Hand-ins that must be refused are wrapped in attacks of our own and judged with the defences on and off; from the
//! sender's side, work that must be paid is judged under requirements that order the judge to refuse it. What comes out is
//! told as counts of attacks that succeeded. Nothing here decides a job: the graders are weakened on purpose.

mod attacks;
mod report;
mod run;
mod tables;

pub use attacks::{Class, Side};
pub use report::{AttackReport, Configuration, Tally};
pub use run::{Attack, AttackJudge, Target, TargetError, load};
pub use tables::{markdown, write_lines};
