//! The desk: verifying fixture jobs while somebody writes a grader. No broker, no server; moves nothing.

mod fixture;
mod input;
mod judge;
mod notes;
mod run;
mod scaffold;
mod submit;
mod suite;
mod trial;
mod watch;

pub use fixture::{Fixture, FixtureError, discover};
pub use input::{InputError, read_job};
pub use judge::JudgeChoice;
pub use notes::RunningCost;
pub use run::Desk;
pub use scaffold::{Language, Places, Scaffold, ScaffoldError};
pub use submit::Template;
pub use suite::{Found, Search, Suite, Touched};
pub use trial::{Trial, Tried, speaks_of_judge};
pub use watch::Watch;
