//! The judges of a submission.
