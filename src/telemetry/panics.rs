//! What is told of a panic.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use serde_json::json;

use super::Format;

/// Says where a panic happened. What it says may hold a stranger's text or a secret: it goes nowhere but into the
/// cleaned error of the grader that panicked.
pub(super) fn tell(format: Format) {
    std::panic::set_hook(Box::new(move |panic| {
        // Nobody is left to tell where standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", line(format, panic));
    }));
}

fn line(format: Format, panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic
        .location()
        .map_or_else(String::new, |place| format!(" at {place}"));
    let told = format!(
        "a defect of ours: thread `{}` panicked{place}",
        thread.name().unwrap_or("unnamed")
    );
    match format {
        Format::Text => format!("assay: {told}"),
        Format::Json => {
            let now = jiff::Timestamp::now().to_string();
            json!({"timestamp": now, "level": "ERROR", "target": "assay", "message": told}).to_string()
        }
    }
}
