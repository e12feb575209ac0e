//! The rubric grader against a scripted server, recordings and hand-written answers.

mod bench;
mod failures;
mod gates;
mod jury;
mod kept;
mod model;
mod recorded;
mod scripted;
mod unseen;
