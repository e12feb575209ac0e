//! What is handed in to a deployment.

use assay::job::Job;
use assay::message::{PlanChoice, SubmittedJob, Work};
use assay::queue::{Destination, Lane, Outgoing};
use serde_json::{Value, json};

/// A job that is handed in, and the plan that judges it.
#[derive(Clone)]
pub(crate) struct Submission {
    pub(crate) job: Job,
    pub(crate) plan: Option<String>,
}

impl Submission {
    pub(crate) fn message(&self) -> SubmittedJob {
        SubmittedJob {
            work: Work::Whole(Box::new(self.job.clone())),
            plan: self.plan.clone().map(PlanChoice::Named),
        }
    }

    /// The message that says where the job is.
    pub(crate) fn thin(&self) -> SubmittedJob {
        SubmittedJob {
            work: Work::Thin {
                job_id: self.job.id.clone(),
                attempt: self.job.attempt_count,
                submission_sha256: None,
            },
            ..self.message()
        }
    }

    pub(crate) fn outgoing(&self) -> Outgoing {
        Outgoing {
            to: Destination::Lane(Lane::Submitted),
            message_id: self.job.id.to_string(),
            body: self.message().to_json().unwrap(),
            traceparent: None,
        }
    }
}

/// A job with the given fields besides the necessary ones.
pub(crate) fn job(id: &str, fields: Value) -> Job {
    let mut job = json!({
        "id": id, "status": "submitted", "prompt": "Write it.", "title": "T", "sender": "sender",
        "receiver": "receiver", "price_cents": 100, "created_at": "2026-11-24T09:00:00Z",
        "updated_at": jiff::Timestamp::now(),
    });
    job.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(job).unwrap()
}

/// So many jobs, quick and slow mixed: of ten, seven for a diff (of these two fail), one for a check, two for a judge.
pub(crate) fn mixed(prefix: &str, count: usize) -> Vec<Submission> {
    let jobs = (0..count).map(|number| {
        let (plan, text) = match number % 10 {
            0..=4 => ("quick", "as expected"),
            5 | 6 => ("quick", "otherwise"),
            7 => ("script", "as expected"),
            _ => ("judged", "as expected"),
        };
        Submission {
            job: job(&format!("{prefix}-{number}"), json!({"output_text": text})),
            plan: Some(plan.to_owned()),
        }
    });
    jobs.collect()
}

/// So many jobs for a diff alone.
pub(crate) fn quick(prefix: &str, count: usize) -> Vec<Submission> {
    let jobs = (0..count).map(|number| Submission {
        job: job(
            &format!("{prefix}-{number}"),
            json!({"output_text": "as expected"}),
        ),
        plan: Some("quick".to_owned()),
    });
    jobs.collect()
}

/// The same for the judge.
pub(crate) fn judged(prefix: &str, count: usize) -> Vec<Submission> {
    let mut submissions = quick(prefix, count);
    for submission in &mut submissions {
        submission.plan = Some("judged".to_owned());
    }
    submissions
}
