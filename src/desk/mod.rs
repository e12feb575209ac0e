//! The desk: verifying fixture jobs while somebody writes a grader. No broker, no server; moves nothing.

mod fixture;
mod input;
mod run;

pub use fixture::{Expect, Fixture, FixtureError, discover};
pub use input::{InputError, read_job};
pub use run::{Desk, DeskError, JudgeChoice};
