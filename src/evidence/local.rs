//! Files beside a fixture.

use std::io::Read as _;
use std::path::Path;

use super::trouble::Trouble;
use crate::submission::Fault;
use crate::verdict::{ErrorKind, GradeError};

/// Reads a file below the fixture's folder; links that lead out of it are refused.
pub(super) fn read(
    folder: Option<&Path>,
    relative: &str,
    limit: u64,
    name: &str,
) -> Result<Vec<u8>, Trouble> {
    let refused = |reason: &str| Fault::AttachmentRefused {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let folder = folder.ok_or_else(|| refused("local files exist only in fixtures"))?;
    let missing = |error: std::io::Error| {
        let message = format!(
            "the fixture's file `{}` cannot be read: {error}",
            folder.join(relative).display()
        );
        Trouble::Ours(GradeError::new(ErrorKind::InputRefused, message))
    };
    let root = folder.canonicalize().map_err(missing)?;
    let path = folder.join(relative).canonicalize().map_err(missing)?;
    if !path.starts_with(&root) {
        return Err(refused("it lies outside the fixture's folder").into());
    }
    let file = std::fs::File::open(&path).map_err(missing)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(missing)?;
    if bytes.len() as u64 > limit {
        return Err(Fault::AttachmentTooLarge {
            name: name.to_owned(),
            limit,
        }
        .into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_below_the_fixture_are_read() {
        let outer = tempfile::tempdir().unwrap();
        let fixture = outer.path().join("fixture");
        std::fs::create_dir(&fixture).unwrap();
        std::fs::write(fixture.join("in.txt"), "in").unwrap();
        std::fs::write(outer.path().join("out.txt"), "out").unwrap();
        std::os::unix::fs::symlink(outer.path().join("out.txt"), fixture.join("link.txt")).unwrap();
        let read = |relative: &str| read(Some(&fixture), relative, 10, "n");
        assert_eq!(read("in.txt").unwrap(), b"in");
        for outside in ["../out.txt", "link.txt", "../fixture/../out.txt"] {
            assert!(
                matches!(
                    read(outside),
                    Err(Trouble::Theirs(Fault::AttachmentRefused { .. }))
                ),
                "{outside}"
            );
        }
        assert!(matches!(read("none.txt"), Err(Trouble::Ours(_))));
    }
}
