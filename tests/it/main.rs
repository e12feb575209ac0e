//! Integration tests, in one binary.

mod checks;
mod deploy;
mod doctor;
mod evidence;
mod health;
mod heart;
mod journal;
mod layers;
mod new;
mod openai_server;
mod plans;
mod pool;
mod queue;
mod reports;
mod reusable_checks;
mod roles;
mod rubric;
mod run;
mod runtimes;
mod sandbox;
mod schema;
mod servers;
mod settlement;
mod telemetry;
mod watch;
mod workbench;
