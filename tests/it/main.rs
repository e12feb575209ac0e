//! Integration tests, in one binary.

mod heart;
mod journal_conformance;
mod layers;
mod plans;
mod run;
mod sandbox;
mod workbench;
