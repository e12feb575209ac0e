//! Fixtures as submitted-job messages, for demonstrations and load.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value;

use super::fixture::{FixtureError, plan_name};
use super::input::{InputError, read_job, read_toml};
use crate::job::{Attachment, Job, JobId, JobStatus};
use crate::message::{PlanChoice, SubmittedJob, Work};

/// A fixture that can be submitted any number of times.
pub struct Template {
    job: Job,
    plan: PlanChoice,
}

impl Template {
    /// Reads the fixture in that folder. Files beside it become part of the job, since a pool reads no paths; a plan of its own
    /// becomes an inline plan.
    ///
    /// # Errors
    /// Says file, line and field of what is wrong.
    pub fn load(folder: &Path) -> Result<Self, FixtureError> {
        let mut job = read_job(&folder.join("job.json"))?;
        let attachments = job.output_attachments.iter_mut().chain(&mut job.attachments);
        for attachment in attachments {
            embed(attachment, folder)?;
        }
        let name = plan_name(folder)?;
        let plan = if name.ends_with(".toml") {
            match read_toml::<Value>(&folder.join(&name))? {
                Value::Object(plan) => PlanChoice::Inline(plan),
                _ => return Err(InputError::new(&folder.join(&name), "is no plan").into()),
            }
        } else {
            PlanChoice::Named(name)
        };
        Ok(Self { job, plan })
    }

    /// The message of a job of that id, handed in at that time, and the job. With the fixture's own time, a sweeper would
    /// take its message for lost.
    pub fn submission(&self, id: JobId, at: Timestamp) -> (SubmittedJob, Job) {
        let job = Job {
            id,
            status: JobStatus::Submitted,
            updated_at: at,
            ..self.job.clone()
        };
        let message = SubmittedJob {
            work: Work::Whole(Box::new(job.clone())),
            plan: Some(self.plan.clone()),
        };
        (message, job)
    }
}

/// Puts a file beside the fixture into its attachment.
fn embed(attachment: &mut Attachment, folder: &Path) -> Result<(), InputError> {
    let Some(url) = attachment.url.as_deref().filter(|url| !url.contains(':')) else {
        return Ok(());
    };
    let path: PathBuf = folder.join(url);
    let bytes =
        std::fs::read(&path).map_err(|error| InputError::new(&path, format!("cannot be read: {error}")))?;
    attachment.data = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
    attachment.url = None;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_is_handed_in_when_it_is_submitted() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/csv/cleaned");
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let (message, job) = Template::load(&folder).unwrap().submission(JobId::new("j"), at);
        assert_eq!((job.updated_at, job.status), (at, JobStatus::Submitted));
        assert_eq!(message.work, Work::Whole(Box::new(job)));
    }
}
