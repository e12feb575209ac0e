//! Integration tests, in one binary.

mod heart;
mod journal_conformance;
mod layers;
mod openai_server;
mod plans;
mod reusable_checks;
mod rubric;
mod run;
mod runtimes;
mod sandbox;
mod workbench;
