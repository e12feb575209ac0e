//! What a check is shown.

use serde_json::Value;

use super::settings::Settings;
use crate::sandbox;
use crate::submission::{FileRole, Submission};
use crate::verdict::{ErrorKind, GradeError};

/// Bytes of attachments that a check is given, unless the plan says otherwise.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// What the check is shown: all of the text, and the bytes of the attachments that the plan names until `max_bytes` are
/// spent. A file that does not fit is shown without its bytes.
pub(super) async fn call(submission: &Submission, settings: &Settings) -> Result<sandbox::Call, GradeError> {
    let mut left = settings.max_bytes.unwrap_or(MAX_BYTES);
    let mut files = Vec::with_capacity(submission.files.len());
    let outputs = submission.output_files();
    let inputs = submission
        .files
        .iter()
        .filter(|file| file.role == FileRole::Input);
    for file in outputs.chain(inputs) {
        let named = settings
            .attachments
            .iter()
            .any(|pattern| matches(pattern, &file.name));
        let content = if named && file.size <= left {
            left -= file.size;
            let bytes = tokio::fs::read(&file.path).await.map_err(|error| {
                let message = format!("the evidence `{}` cannot be read: {error}", file.name);
                GradeError::new(ErrorKind::HostExhausted, message)
            })?;
            Some(bytes)
        } else {
            None
        };
        files.push(sandbox::File {
            name: file.name.clone(),
            content_type: file.content_type.clone(),
            size: file.size,
            sha256: file.sha256.to_string(),
            role: match file.role {
                FileRole::Output => sandbox::Role::Output,
                FileRole::Input => sandbox::Role::Input,
            },
            content,
        });
    }
    let task = &submission.task;
    Ok(sandbox::Call {
        job_id: submission.job_id.to_string(),
        attempt: submission.attempt,
        title: task.title.clone(),
        prompt: task.prompt.clone(),
        description: task.description.clone(),
        requirements: task.requirements.clone(),
        output_text: submission.output_text.clone(),
        files,
        params: Value::Object(settings.params.clone()).to_string(),
    })
}

/// Whether the name is the pattern, where one `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*.csv", "a.csv") && matches("*", "x") && matches("a.csv", "a.csv"));
        assert!(!matches("*.csv", "a.txt") && !matches("a*a", "a") && !matches("b.csv", "a.csv"));
    }
}
