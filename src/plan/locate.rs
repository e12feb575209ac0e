//! Finds the line on which a key of a TOML text stands.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line, from 1, of a key path such as `graders[1].weight`; of the nearest key around it where the key
/// itself is missing.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut offset = None;
    let mut place = Place::Table(table.get_ref());
    for step in steps(key) {
        let Some((start, next)) = place.enter(step) else {
            break;
        };
        offset = Some(start);
        place = next;
    }
    offset.map(|offset| line_at(text, offset))
}

/// The line, from 1, at a byte offset of a text.
pub fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn steps(key: &str) -> impl Iterator<Item = &str> {
    key.split(['.', '['])
        .map(|step| step.trim_end_matches(']'))
        .filter(|step| !step.is_empty())
}

enum Place<'a, 'i> {
    Table(&'a DeTable<'i>),
    Array(&'a [Spanned<DeValue<'i>>]),
    Leaf,
}

impl<'a, 'i> Place<'a, 'i> {
    fn enter(&self, step: &str) -> Option<(usize, Place<'a, 'i>)> {
        match self {
            Self::Table(table) => {
                let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == step)?;
                Some((key.span().start, Self::of(value)))
            }
            Self::Array(items) => {
                let item = items.get(step.parse::<usize>().ok()?)?;
                Some((item.span().start, Self::of(item)))
            }
            Self::Leaf => None,
        }
    }

    fn of(value: &'a Spanned<DeValue<'i>>) -> Self {
        match value.get_ref() {
            DeValue::Table(table) => Self::Table(table),
            DeValue::Array(items) => Self::Array(items),
            _ => Self::Leaf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "threshold = 1\n\n[[graders]]\nname = \"a\"\n\n[[graders]]\nname = \"b\"\nweight = 0\n\
                        criteria = [\n  { id = \"x\" },\n  { id = \"y\" },\n]\n";

    #[test]
    fn a_key_is_found_on_its_line() {
        assert_eq!(line_of(TEXT, "threshold"), Some(1));
        assert_eq!(line_of(TEXT, "graders[1].weight"), Some(8));
        assert_eq!(line_of(TEXT, "graders[1].criteria[1].id"), Some(11));
    }

    #[test]
    fn a_missing_key_is_placed_at_what_is_around_it() {
        assert_eq!(line_of(TEXT, "graders[0].weight"), Some(3));
        assert_eq!(line_of(TEXT, "nowhere"), None);
    }
}
