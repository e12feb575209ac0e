//! `assay run`, `assay log` and `assay check` as their users call them.

mod log_and_check;
mod reports;
mod trouble;
mod wrong_use;

use crate::workbench::Workbench;

const SAME: &str =
    "[[graders]]\nname = \"same\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"yes\" }\n";

fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.plan("same", SAME);
    bench
}
