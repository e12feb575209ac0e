//! Job verification and grading worker pool of the clawrk marketplace.

pub mod cli;
pub mod graders;
