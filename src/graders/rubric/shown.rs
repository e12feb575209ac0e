//! What of a task and a submission a judge gets to see, within the budget.

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::fence::{neutralise, neutralise_line};
use super::quotes::Quotable;
use crate::entry::cut;
use crate::log::Log;
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
    /// About how many bytes of the submission's texts are not shown.
    pub(super) left_out: u64,
}

/// Collects what is shown of a submission: at most `budget` bytes of its texts, and the task.
///
/// # Errors
/// Where the task alone is over the budget (a judge that knows half of the task judges wrong), or a collected file
/// cannot be read.
pub(super) async fn gather(submission: &Submission, log: &Log, budget: usize) -> Result<Shown, GradeError> {
    let task = task_blocks(submission, log, budget)?;
    let limit = budget + MARGIN;
    let (head, tail) = both_ends(&log.without_secrets(&submission.output_text), limit);
    let size = submission.output_text.len() as u64;
    let mut texts = vec![Text::new("output text".to_owned(), size, &head, tail.as_deref())];
    for (index, file) in submission.output_files().enumerate().take(MAX_SHOWN) {
        let read = read(file, limit).await.map_err(|error| {
            let message = format!("a collected file cannot be read: {error}; check the worker's disk");
            GradeError::new(ErrorKind::HostExhausted, message)
        })?;
        if let Some((head, tail)) = read {
            let head = log.without_secrets(&head);
            let tail = tail.map(|tail| log.without_secrets(&tail));
            let name = format!("file {}", index + 1);
            texts.push(Text::new(name, file.size, &head, tail.as_deref()));
        }
    }
    let sizes: Vec<_> = texts.iter().map(Text::len).collect();
    let mut blocks = Vec::new();
    let mut left_out = 0;
    for (text, share) in texts.into_iter().zip(fair_shares(&sizes, budget)) {
        left_out += text.show(share, &mut blocks);
    }
    let quotable = Quotable::new(blocks.iter().map(|block| block.text.as_str()));
    blocks.extend(list(submission, FileRole::Output, "files handed in", log));
    let file_names = submission
        .output_files()
        .flat_map(|file| [file.name.clone(), listed_name(file, log)])
        .collect();
    Ok(Shown {
        task,
        submission: blocks,
        quotable,
        file_names,
        left_out,
    })
}

fn task_blocks(submission: &Submission, log: &Log, budget: usize) -> Result<Vec<Block>, GradeError> {
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
        let text = neutralise(&log.without_secrets(text));
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
    ));
    Ok(blocks)
}

/// A table of the files of one role: names and types are strangers' texts and stand between fences too.
fn list(submission: &Submission, role: FileRole, label: &str, log: &Log) -> Option<Block> {
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
            let content_type = neutralise_line(&cut(&log.without_secrets(stated), MAX_NAME_BYTES));
            let name = listed_name(file, log);
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

fn listed_name(file: &EvidenceFile, log: &Log) -> String {
    neutralise_line(&cut(&log.without_secrets(&file.name), MAX_NAME_BYTES))
}

/// The beginning of a file and, where it is longer than twice `limit`, its end; none where it is not text.
/// The bytes decide, not the type that the submitter stated.
async fn read(file: &EvidenceFile, limit: usize) -> std::io::Result<Option<(String, Option<String>)>> {
    let mut source = File::open(&file.path).await?;
    let size = source.metadata().await?.len();
    let limit = limit as u64;
    if size <= 2 * limit {
        let mut bytes = Vec::new();
        source.take(2 * limit).read_to_end(&mut bytes).await?;
        return Ok(String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'))
            .map(|text| (text, None)));
    }
    let mut head = Vec::new();
    (&mut source).take(limit).read_to_end(&mut head).await?;
    source.seek(std::io::SeekFrom::Start(size - limit)).await?;
    let mut tail = Vec::new();
    source.take(limit).read_to_end(&mut tail).await?;
    Ok(text_at_cut(&head)
        .zip(text_at_cut(&tail))
        .map(|(head, tail)| (head, Some(tail))))
}

/// The text of a piece that may begin and end within a character.
fn text_at_cut(bytes: &[u8]) -> Option<String> {
    let start = bytes.iter().take(4).position(|byte| byte & 0xc0 != 0x80)?;
    let bytes = &bytes[start..];
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then(|| text.to_owned())
}

/// A text that is longer than twice `limit` bytes as its beginning and its end.
fn both_ends(text: &str, limit: usize) -> (String, Option<String>) {
    if text.len() <= 2 * limit {
        return (text.to_owned(), None);
    }
    let head = &text[..text.floor_char_boundary(limit)];
    let tail = &text[text.ceil_char_boundary(text.len() - limit)..];
    (head.to_owned(), Some(tail.to_owned()))
}

/// A text before it is cut to its share.
struct Text {
    name: String,
    size: u64,
    head: String,
    tail: Option<String>,
}

impl Text {
    fn new(name: String, size: u64, head: &str, tail: Option<&str>) -> Self {
        Self {
            name,
            size,
            head: neutralise(head),
            tail: tail.map(neutralise),
        }
    }

    fn len(&self) -> usize {
        self.head.len() + self.tail.as_ref().map_or(0, String::len)
    }

    /// Adds one block, or two where the middle is left out; says about how many bytes that are.
    fn show(self, share: usize, blocks: &mut Vec<Block>) -> u64 {
        if self.tail.is_none() && self.head.len() <= share {
            if !self.head.is_empty() {
                blocks.push(Block {
                    label: self.name,
                    text: self.head,
                });
            }
            return 0;
        }
        let half = share / 2;
        let end_of = self.tail.as_ref().unwrap_or(&self.head);
        let head = &self.head[..self.head.floor_char_boundary(half)];
        let tail = &end_of[end_of.ceil_char_boundary(end_of.len().saturating_sub(half))..];
        let left_out = self.size.saturating_sub((head.len() + tail.len()) as u64).max(1);
        blocks.push(Block {
            label: format!("{}, beginning; it has {} bytes", self.name, self.size),
            text: head.to_owned(),
        });
        blocks.push(Block {
            label: format!(
                "{}, end; about {left_out} bytes before this are not shown",
                self.name
            ),
            text: tail.to_owned(),
        });
        left_out
    }
}

/// Shares a budget out: nobody gets more than needed, and what small texts leave goes to the large ones.
fn fair_shares(sizes: &[usize], budget: usize) -> Vec<usize> {
    let mut by_size: Vec<_> = (0..sizes.len()).collect();
    by_size.sort_by_key(|index| sizes[*index]);
    let mut shares = vec![0; sizes.len()];
    let mut left = budget;
    for (position, index) in by_size.into_iter().enumerate() {
        let share = left / (sizes.len() - position);
        shares[index] = sizes[index].min(share);
        left -= shares[index];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_texts_leave_their_share_to_large_ones() {
        assert_eq!(fair_shares(&[10, 500, 0], 100), [10, 90, 0]);
        assert_eq!(fair_shares(&[500, 600], 101), [50, 51]);
        assert_eq!(fair_shares(&[5], 100), [5]);
        assert_eq!(fair_shares(&[], 100), [0; 0]);
    }

    #[test]
    fn a_text_over_its_share_is_shown_from_both_ends_and_says_so() {
        let mut blocks = Vec::new();
        let text = Text {
            name: "output text".into(),
            size: 30,
            head: "aaaaaaaaéééééééééééézzzzzzzz".into(),
            tail: None,
        };
        assert_eq!(text.show(10, &mut blocks), 20);
        let shown: Vec<_> = blocks
            .iter()
            .map(|block| format!("{}: {}", block.label, block.text))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        output text, beginning; it has 30 bytes: aaaaa
        output text, end; about 20 bytes before this are not shown: zzzzz
        ");
    }

    #[test]
    fn a_piece_cut_within_a_character_is_text_and_binary_is_not() {
        let bytes = "éxé".as_bytes();
        assert_eq!(text_at_cut(&bytes[1..4]).as_deref(), Some("x"));
        assert_eq!(text_at_cut(&[0xff, 0xfe, b'a']), None);
        assert_eq!(text_at_cut(b"a\0b"), None);
    }
}
