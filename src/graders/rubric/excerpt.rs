//! A text or a file before it is shown, and the part of it that fits.

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::fence::neutralise;
use super::shown::Block;
use crate::submission::EvidenceFile;

/// How the files begin that hold pictures, sound, archives, documents or programs: nothing that a judge of texts
/// could be shown.
const NO_TEXT: [&[u8]; 22] = [
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"\0\0\x01\0",
    b"%PDF-",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf",
    b"Rar!",
    b"OggS",
    b"ID3",
    b"fLaC",
    b"\x1aE\xdf\xa3",
    b"SQLite format 3\0",
    b"\0asm",
    b"\xd0\xcf\x11\xe0",
];

/// The type of a media container stands behind its length.
const CONTAINER: (usize, &[u8]) = (4, b"ftyp");

/// Bytes of a file that show whether it is one of those.
const SIGNATURE_BYTES: u64 = 16;

/// What a file holds. The bytes decide, not the type that the submitter stated.
pub(super) enum Content {
    /// Text: the beginning and, where it is long, the end.
    Text(String, Option<String>),
    /// A picture, an archive or the like: there are no words in it to leave out.
    NoText,
    /// Neither: perhaps words that the judge is kept from.
    Unreadable,
}

/// Reads a file; of one longer than twice `limit` its beginning and its end.
pub(super) async fn read(file: &EvidenceFile, limit: usize) -> std::io::Result<Content> {
    let mut source = File::open(&file.path).await?;
    let size = source.metadata().await?.len();
    let limit = limit as u64;
    let mut head = Vec::new();
    if size <= 2 * limit {
        source.take(2 * limit).read_to_end(&mut head).await?;
        let no_text = is_no_text(&head);
        let text = String::from_utf8(head).ok().filter(|text| !text.contains('\0'));
        return Ok(match text {
            Some(text) => Content::Text(text, None),
            None if no_text => Content::NoText,
            None => Content::Unreadable,
        });
    }
    (&mut source).take(limit).read_to_end(&mut head).await?;
    source.seek(std::io::SeekFrom::Start(size - limit)).await?;
    let mut tail = Vec::new();
    source.take(limit).read_to_end(&mut tail).await?;
    Ok(match text_at_cut(&head).zip(text_at_cut(&tail)) {
        Some((head, tail)) => Content::Text(head, Some(tail)),
        None if is_no_text(&head) => Content::NoText,
        None => Content::Unreadable,
    })
}

/// Whether a file begins like one that holds no text; for files that are listed only.
pub(super) async fn begins_like_no_text(file: &EvidenceFile) -> std::io::Result<bool> {
    let mut head = Vec::new();
    let source = File::open(&file.path).await?;
    source.take(SIGNATURE_BYTES).read_to_end(&mut head).await?;
    Ok(is_no_text(&head))
}

fn is_no_text(head: &[u8]) -> bool {
    let (place, container) = CONTAINER;
    NO_TEXT.iter().any(|signature| head.starts_with(signature))
        || head.get(place..).is_some_and(|rest| rest.starts_with(container))
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
pub(super) fn both_ends(text: &str, limit: usize) -> (String, Option<String>) {
    if text.len() <= 2 * limit {
        return (text.to_owned(), None);
    }
    let head = &text[..text.floor_char_boundary(limit)];
    let tail = &text[text.ceil_char_boundary(text.len() - limit)..];
    (head.to_owned(), Some(tail.to_owned()))
}

/// A text before it is cut to its share.
pub(super) struct Text {
    /// What it is, in our words.
    pub(super) name: String,
    size: u64,
    head: String,
    tail: Option<String>,
    whole: String,
}

impl Text {
    /// A text and its size in bytes as it was handed in. `whole` is what was read of it, for [`Self::take_handed_in`].
    pub(super) fn new(name: String, size: u64, (head, tail): (&str, Option<&str>), whole: String) -> Self {
        Self {
            name,
            size,
            head: neutralise(head),
            tail: tail.map(neutralise),
            whole,
        }
    }

    /// Bytes that could be shown.
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.tail.as_ref().map_or(0, String::len)
    }

    /// The text as the submitter wrote it, as far as it was read: nothing is escaped or taken out, so it is shown to nobody.
    pub(super) fn take_handed_in(&mut self) -> String {
        std::mem::take(&mut self.whole)
    }

    /// Adds one block, or two where the middle is left out; says about how many bytes that are.
    pub(super) fn show(self, share: usize, blocks: &mut Vec<Block>) -> u64 {
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
pub(super) fn fair_shares(sizes: &[usize], budget: usize) -> Vec<usize> {
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
            whole: String::new(),
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

    #[test]
    fn a_file_is_no_text_by_its_first_bytes_and_a_spoiled_text_is_not() {
        for head in [&b"\x89PNG\r\n"[..], b"PK\x03\x04\x14", b"\0\0\0\x20ftypisom"] {
            assert!(is_no_text(head));
        }
        for head in [&b"Dear Ms Ortiz\0"[..], b"\xff\xfeD\0e\0", b"caf\xe9", b""] {
            assert!(!is_no_text(head));
        }
    }
}
