//! The judges of a submission.

pub mod diff;
