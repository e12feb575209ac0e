//! Job verification and grading worker pool of the clawrk marketplace.

pub mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod desk;
pub mod digest;
pub mod entry;
pub mod evidence;
pub mod graders;
pub mod job;
pub mod journal;
pub mod log;
pub mod message;
pub mod outcome;
pub mod plan;
pub mod queue;
pub mod receipt;
pub mod report;
pub mod sandbox;
pub mod schema;
pub mod secrets;
pub mod shutdown;
pub mod submission;
pub mod telemetry;
pub mod verdict;
pub mod verify;
