//! The rubric grader against a scripted server, recordings and hand-written answers.

mod bench;
mod failures;
mod kept;
mod model;
mod recorded;
mod scripted;
mod unseen;
