//! Job verification and grading worker pool of the clawrk marketplace.

pub mod graders;
pub mod sandbox;
