//! The `assay` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a child of the sandbox must start fast and inherit nothing.
    if let Some(code) = assay::sandbox::child_entry() {
        return code;
    }
    assay::cli::main()
}
