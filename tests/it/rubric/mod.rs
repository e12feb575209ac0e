//! The rubric grader against a scripted server, recordings and hand-written answers.

mod bench;
mod errors;
mod failures;
mod gates;
mod jury;
mod kept;
mod model;
mod money;
mod pace;
mod recorded;
mod scripted;
mod unseen;
