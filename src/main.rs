//! The command `assay`.

use std::process::ExitCode;

use assay::cli::diff::{DiffArgs, run};
use clap::Parser;

#[derive(Parser)]
enum Command {
    Diff(DiffArgs),
}

fn main() -> ExitCode {
    let Command::Diff(args) = Command::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("assay: {error:#}");
            ExitCode::from(2)
        }
    }
}
