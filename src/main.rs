//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = assay::sandbox::child_entry() {
        return code;
    }
    ExitCode::from(2)
}
