//! The pool as its operators run it: real servers, `assay` as processes, and everything that can go wrong with them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod breaks;
mod changed;
mod crashes;
mod deployment;
mod follow;
mod in_flight;
mod judge;
mod lanes;
mod observed;
mod strange;
mod submission;
mod suspects;
mod sweeper;
mod tally;
mod thin;
mod unconfirmed;
mod work;

pub(crate) use deployment::{Deployment, Process};
pub(crate) use submission::{Submission, job};
pub(crate) use tally::jobs;
