//! Why an attachment has no bytes.

use crate::submission::Fault;
use crate::verdict::GradeError;

/// Why an attachment has no bytes: who is to blame.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Whoever gave the attachment.
    Theirs(Fault),
    /// We, or a host on the way.
    Ours(GradeError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Theirs(fault)
    }
}
