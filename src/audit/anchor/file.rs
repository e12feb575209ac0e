//! The anchor as a file: a line of JSON for each checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::{AnchorError, Anchored, line};
use crate::checkpoint::Checkpoint;

/// Enough for the last line of a file.
const TAIL: u64 = 4_096;

/// Appends the checkpoints that are not there yet, and syncs.
pub(super) fn append(path: &Path, checkpoints: &[Checkpoint]) -> Result<(), AnchorError> {
    let failed = |source| AnchorError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    let last = last_in(&mut file, path)?;
    let new = checkpoints.iter().filter(|checkpoint| checkpoint.number > last);
    let lines: Vec<u8> = new.flat_map(line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    // A line that a crash left half-written ends here: audits skip nothing, so it is cut off rather than continued.
    cut_half_line(&mut file).map_err(failed)?;
    file.write_all(&lines).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// The number in the last whole line; 0 where there is none, or no file.
pub(super) fn last_number(path: &Path) -> Result<u64, AnchorError> {
    match File::open(path) {
        Ok(mut file) => last_in(&mut file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(AnchorError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

fn last_in(file: &mut File, path: &Path) -> Result<u64, AnchorError> {
    let failed = |source| AnchorError::File {
        path: path.to_owned(),
        source,
    };
    let length = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .map_err(failed)?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).map_err(failed)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let mut lines = tail[..end].rsplit(|byte| *byte == b'\n');
    let Some(last) = lines.next().filter(|last| !last.is_empty()) else {
        return Ok(0);
    };
    let checkpoint: Checkpoint = serde_json::from_slice(last).map_err(|_| AnchorError::Malformed {
        place: path.display().to_string(),
        at: "the last line".to_owned(),
    })?;
    Ok(checkpoint.number)
}

fn cut_half_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let whole = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let half = (tail.len() - whole) as u64;
    if half > 0 {
        file.set_len(length - half)?;
    }
    Ok(())
}

/// Hands over every whole line, in order.
pub(super) fn read(path: &Path, mut visit: impl FnMut(Anchored)) -> Result<(), AnchorError> {
    let failed = |source| AnchorError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        // Before the first checkpoint there is none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    for number in 1_u64.. {
        text.clear();
        if reader.read_until(b'\n', &mut text).map_err(failed)? == 0 {
            break;
        }
        match serde_json::from_slice(&text) {
            Ok(checkpoint) => visit(Anchored::Checkpoint(Box::new(checkpoint))),
            // The half of a line that a crash left, or that is being written.
            Err(_) if !text.ends_with(b"\n") => break,
            Err(_) => visit(Anchored::Malformed(format!("line {number}"))),
        }
    }
    Ok(())
}
