//! The desk: verifying fixture jobs while somebody writes a grader. No broker, no server; moves nothing.

mod fixture;
mod input;
mod judge;
mod run;

pub use fixture::{Expect, Fixture, FixtureError, discover};
pub use input::{InputError, read_job};
pub use judge::JudgeChoice;
pub use run::{Desk, DeskError};
