//! What of a task and a submission a judge gets to see, within the budget.

use super::excerpt::{Content, Text, begins_like_no_text, both_ends, fair_shares, read};
use super::fence::{neutralise, neutralise_line};
use super::picture::{MAX_PICTURE_BYTES, MAX_PICTURES, Picture, media_type};
use super::quotes::Quotable;
use super::settings::Settings;
use crate::digest::Digest;
use crate::entry::cut;
use crate::log::Log;
use crate::secrets::{Redacted, around_markers};
use crate::submission::{EvidenceFile, FileRole, Submission};
use crate::verdict::{ErrorKind, GradeError};

/// Files listed by name, each way. More are counted.
const MAX_LISTED: usize = 64;

/// Files whose text is shown.
const MAX_SHOWN: usize = 32;

/// Longest file name or media type in a list, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// Read beyond what may be shown, so that a secret across the cut is seen whole and taken out. In bytes.
const MARGIN: usize = 4 * 1024;

/// A text that stands between fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// What it is, in our words.
    pub(super) label: String,
    /// The stranger's text, neutralised.
    pub(super) text: String,
}

/// What a judge gets to see.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// The sender's words.
    pub(super) task: Vec<Block>,
    /// What was handed in.
    pub(super) submission: Vec<Block>,
    /// The texts of the submission that can be quoted.
    pub(super) quotable: Quotable,
    /// Names of the files handed in, as they are and as they are shown.
    pub(super) file_names: Vec<String>,
    /// What of the submission is not shown, in our words. Files without text are listed, not left out: a judge of
    /// texts sees their names, types and sizes.
    pub(super) left_out: Vec<String>,
    /// What was taken out of the texts above.
    pub(super) redacted: Redacted,
    /// The texts of the submission as they were handed in, as far as they were read: what the gates look at, and nobody
    /// else. Escapes and markers in the place of secrets are words that the submitter did not write.
    pub(super) handed_in: Vec<String>,
    /// Whether there are files that are no text.
    pub(super) has_other_files: bool,
    /// Pictures for a judge that sees.
    pub(super) pictures: Vec<Picture>,
}

/// Things left out that are named; more are counted.
const MAX_LEFT_OUT_NAMED: usize = 4;

impl Shown {
    /// What of the submission is not shown.
    pub(super) fn left_out_in_words(&self) -> String {
        let named = &self.left_out[..self.left_out.len().min(MAX_LEFT_OUT_NAMED)];
        let more = self.left_out.len() - named.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more}", named.join(", "))
    }
}

/// Collects what is shown of a submission: at most `budget` bytes of its texts, and the task.
///
/// # Errors
/// Where the task alone is over the budget (a judge that knows half of the task judges wrong), or a collected file
/// cannot be read.
pub(super) async fn gather(
    submission: &Submission,
    log: &Log,
    settings: &Settings,
) -> Result<Shown, GradeError> {
    let budget = settings.max_input_bytes;
    let mut redacted = Redacted::default();
    let task = task_blocks(submission, log, budget, &mut redacted)?;
    let margin = MARGIN.max(log.secrets().longest());
    let limit = budget + margin;
    let output = &submission.output_text;
    let (head, tail) = both_ends(&log.without_secrets(output, &mut redacted), limit);
    let (name, size) = ("output text".to_owned(), output.len() as u64);
    let mut texts = vec![Text::new(name, size, (&head, tail.as_deref()), output.clone())];
    let mut left_out = Vec::new();
    let (mut has_other_files, mut pictures) = (false, Vec::new());
    let unreadable = |error| {
        let message = format!("a collected file cannot be read: {error}; check the worker's disk");
        GradeError::new(ErrorKind::HostExhausted, message)
    };
    for (index, file) in submission.output_files().enumerate() {
        let name = format!("file {}", index + 1);
        if index >= MAX_SHOWN {
            has_other_files = true;
            let listed = index < MAX_LISTED && begins_like_no_text(file).await.map_err(unreadable)?;
            if !listed {
                left_out.push(format!("{name} (only {MAX_SHOWN} are shown)"));
            }
            continue;
        }
        match read(file, limit).await.map_err(unreadable)? {
            Content::Text(head, tail) => {
                let whole = format!("{head}{}", tail.as_deref().unwrap_or_default());
                let head = log.without_secrets(&head, &mut redacted);
                let tail = tail.map(|tail| {
                    let tail = log.without_secrets(&tail, &mut redacted);
                    // It may begin within a secret.
                    tail[tail.ceil_char_boundary(margin.min(tail.len()))..].to_owned()
                });
                texts.push(Text::new(name, file.size, (&head, tail.as_deref()), whole));
            }
            Content::NoText => {
                has_other_files = true;
                if settings.vision {
                    match picture(file).await.map_err(unreadable)? {
                        Some(_) if pictures.len() >= MAX_PICTURES => {
                            left_out.push(format!("{name} (only {MAX_PICTURES} pictures are shown)"));
                        }
                        Some(picture) => pictures.push(picture),
                        None => left_out.push(format!("{name} (no picture that the judge can be shown)")),
                    }
                }
            }
            Content::Unreadable => {
                has_other_files = true;
                left_out.push(format!("{name} (neither UTF-8 text nor a known kind of file)"))
            }
        }
    }
    let handed_in: Vec<_> = texts.iter_mut().map(Text::take_handed_in).collect();
    let sizes: Vec<_> = texts.iter().map(Text::len).collect();
    let mut blocks = Vec::new();
    for (text, share) in texts.into_iter().zip(fair_shares(&sizes, budget)) {
        let name = text.name.clone();
        match text.show(share, &mut blocks) {
            0 => {}
            bytes => left_out.push(format!("about {bytes} bytes of {name}")),
        }
    }
    let texts = blocks.iter().map(|block| block.text.as_str());
    let quotable = if redacted.is_empty() {
        Quotable::new(texts)
    } else {
        // A marker is our word: nobody may be believed for it.
        Quotable::new(texts.flat_map(around_markers))
    };
    blocks.extend(list(
        submission,
        FileRole::Output,
        "files handed in",
        log,
        &mut redacted,
    ));
    let file_names = submission
        .output_files()
        .flat_map(|file| [file.name.clone(), listed_name(file, log, &mut redacted)])
        .collect();
    Ok(Shown {
        task,
        submission: blocks,
        quotable,
        file_names,
        left_out,
        redacted,
        handed_in,
        has_other_files,
        pictures,
    })
}

/// The file as a picture; none where it is no picture of the usual kinds, or a very large one.
async fn picture(file: &EvidenceFile) -> std::io::Result<Option<Picture>> {
    if file.size > MAX_PICTURE_BYTES {
        return Ok(None);
    }
    let bytes = tokio::fs::read(&file.path).await?;
    Ok(media_type(&bytes).map(|media_type| Picture {
        media_type,
        sha256: Digest::of(&bytes),
        bytes: bytes.into(),
    }))
}

fn task_blocks(
    submission: &Submission,
    log: &Log,
    budget: usize,
    redacted: &mut Redacted,
) -> Result<Vec<Block>, GradeError> {
    let task = &submission.task;
    let texts = [
        ("title", Some(&task.title)),
        ("prompt", Some(&task.prompt)),
        ("description", task.description.as_ref()),
        ("requirements", task.requirements.as_ref()),
    ];
    let mut blocks = Vec::new();
    let mut left = budget;
    for (label, text) in texts {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        let too_large = || {
            let message = format!(
                "the texts of the task have more than the {budget} bytes that the judge may be shown; raise \
                 max_input_bytes in the plan"
            );
            GradeError::new(ErrorKind::JudgeInputTooLarge, message)
        };
        // Before anything is done with it.
        left.checked_sub(text.len()).ok_or_else(too_large)?;
        let text = neutralise(&log.without_secrets(text, redacted));
        left = left.checked_sub(text.len()).ok_or_else(too_large)?;
        blocks.push(Block {
            label: label.to_owned(),
            text,
        });
    }
    blocks.extend(list(
        submission,
        FileRole::Input,
        "files given with the task",
        log,
        redacted,
    ));
    Ok(blocks)
}

/// A table of the files of one role: names and types are strangers' texts and stand between fences too.
fn list(
    submission: &Submission,
    role: FileRole,
    label: &str,
    log: &Log,
    redacted: &mut Redacted,
) -> Option<Block> {
    let files: Vec<_> = submission.files.iter().filter(|file| file.role == role).collect();
    if files.is_empty() {
        return None;
    }
    let mut lines: Vec<_> = files
        .iter()
        .take(MAX_LISTED)
        .enumerate()
        .map(|(index, file)| {
            let stated = file.content_type.as_deref().unwrap_or("unknown type");
            let content_type = neutralise_line(&cut(&log.without_secrets(stated, redacted), MAX_NAME_BYTES));
            let name = listed_name(file, log, redacted);
            format!(
                "{}. {name} ({content_type}, {} bytes, sha256 {})",
                index + 1,
                file.size,
                file.sha256
            )
        })
        .collect();
    if files.len() > MAX_LISTED {
        lines.push(format!("and {} more", files.len() - MAX_LISTED));
    }
    Some(Block {
        label: label.to_owned(),
        text: lines.join("\n"),
    })
}

fn listed_name(file: &EvidenceFile, log: &Log, redacted: &mut Redacted) -> String {
    neutralise_line(&cut(&log.without_secrets(&file.name, redacted), MAX_NAME_BYTES))
}
