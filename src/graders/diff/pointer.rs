//! Paths into a JSON document: JSON Pointers (RFC 6901), and patterns of them with `*` for any segment.

use super::options::OptionError;

/// A JSON Pointer in which a segment `*` stands for every key and every index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Any,
    Named(String),
}

impl Pattern {
    pub(super) fn parse(path: &str) -> Result<Self, OptionError> {
        let wrong = || OptionError::Value {
            key: "ignore_paths",
            value: path.to_owned(),
            wanted: "a JSON Pointer below the whole document, as \"/items/*/id\", with ~1 for / and ~0 for ~",
        };
        let rest = path.strip_prefix('/').ok_or_else(wrong)?;
        let segments = rest.split('/').map(|segment| match segment {
            "*" => Some(Segment::Any),
            _ => unescaped(segment).map(Segment::Named),
        });
        Ok(Self {
            segments: segments.collect::<Option<_>>().ok_or_else(wrong)?,
        })
    }

    /// Whether the pattern's segment at `depth` (0 is below the document) admits the key or index `name`, and whether it
    /// is the pattern's last.
    pub(super) fn admits(&self, depth: usize, name: &str) -> Admission {
        match self.segments.get(depth) {
            Some(Segment::Named(segment)) if segment != name => Admission::No,
            None => Admission::No,
            Some(_) if depth + 1 == self.segments.len() => Admission::Whole,
            Some(_) => Admission::Partly,
        }
    }
}

/// How far a pattern admits a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Not at all.
    No,
    /// As far as the path goes; the pattern goes on.
    Partly,
    /// The pattern ends here: the place is ignored with all that is below.
    Whole,
}

fn unescaped(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        name.push(character);
        name.push_str(rest);
    }
    Some(name)
}

/// Appends a segment to a JSON Pointer.
pub(super) fn push_segment(path: &mut String, name: &str) {
    path.push('/');
    for character in name.chars() {
        match character {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            _ => path.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_admits_segment_by_segment() {
        let pattern = Pattern::parse("/items/*/a~1b~0").unwrap();
        assert_eq!(pattern.admits(0, "items"), Admission::Partly);
        assert_eq!(pattern.admits(0, "other"), Admission::No);
        assert_eq!(pattern.admits(1, "17"), Admission::Partly);
        assert_eq!(pattern.admits(2, "a/b~"), Admission::Whole);
        assert_eq!(pattern.admits(3, "a/b~"), Admission::No);
    }

    #[test]
    fn a_path_that_is_no_pointer_or_names_everything_is_an_error() {
        for path in ["", "items", "/a~2", "/a~", "$.items"] {
            assert!(
                matches!(
                    Pattern::parse(path),
                    Err(OptionError::Value {
                        key: "ignore_paths",
                        ..
                    })
                ),
                "{path}"
            );
        }
    }

    #[test]
    fn segments_are_escaped_as_they_are_read() {
        let mut path = String::new();
        push_segment(&mut path, "a/b~");
        assert_eq!(path, "/a~1b~0");
        assert_eq!(unescaped("a~1b~0").as_deref(), Some("a/b~"));
    }
}
