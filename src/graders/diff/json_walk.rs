//! Two JSON documents gone through side by side: what agrees, what is left out, and where they differ.

use super::comparison::{Comparison, counted, share};
use super::difference::{Difference, Sheet};
use super::escape::quoted;
use super::json_tape::{Kind, Tape};
use super::number::Decimal;
use super::options::Settings;
use super::pointer::{Admission, Pattern, push_segment};

/// One walk through both documents at once.
pub(super) struct Walk<'w, 't> {
    expected: &'w Tape<'t>,
    actual: &'w Tape<'t>,
    settings: &'w Settings,
    /// Where the walk is.
    path: Vec<Segment>,
    matched: usize,
    /// Nodes of both sides that are not compared.
    ignored: (usize, usize),
    differences: usize,
    /// The first difference, for the public.
    first: Option<String>,
    sheet: Sheet,
    unshown: usize,
}

/// A step down into a document: a key of the actual one, or an index.
#[derive(Clone, Copy)]
enum Segment {
    Key(usize),
    Index(usize),
}

/// Values of one side without their like on the other: the first of them, and how many there are.
#[derive(Default)]
struct Unpaired {
    first: Vec<usize>,
    count: usize,
}

impl Unpaired {
    fn push(&mut self, node: usize) {
        self.count += 1;
        if self.first.len() < Difference::MOST_ROWS {
            self.first.push(node);
        }
    }
}

impl<'w, 't> Walk<'w, 't> {
    pub(super) fn new(expected: &'w Tape<'t>, actual: &'w Tape<'t>, settings: &'w Settings) -> Self {
        Self {
            expected,
            actual,
            settings,
            path: Vec::new(),
            matched: 0,
            ignored: (0, 0),
            differences: 0,
            first: None,
            sheet: Sheet::new(),
            unshown: 0,
        }
    }

    /// Goes through all of both, and says what came of it.
    pub(super) fn compare(mut self) -> Comparison {
        let patterns = self.settings.ignore_paths.iter().collect::<Vec<_>>();
        self.value(0, 0, &patterns);
        let Some(first) = self.first else {
            return Comparison::same("the same JSON value".to_owned());
        };
        let score = share(
            self.matched,
            self.expected.len() - self.ignored.0,
            self.actual.len() - self.ignored.1,
        );
        let summary = format!("{first}; {} in all", counted(self.differences, "difference"));
        let difference = match self.unshown {
            0 => self.sheet.finish(),
            unshown => self
                .sheet
                .cut(&format!("{} not shown", counted(unshown, "further difference"))),
        };
        Comparison::different(score, summary, Some(difference))
    }
}

impl Walk<'_, '_> {
    fn value(&mut self, expected: usize, actual: usize, patterns: &[&Pattern]) {
        let (kind, actual_kind) = (self.expected.kind(expected), self.actual.kind(actual));
        match (kind, actual_kind) {
            (Kind::Array, Kind::Array) => self.array(expected, actual, patterns),
            (Kind::Object, Kind::Object) => self.object(expected, actual, patterns),
            _ if kind == actual_kind && self.same_scalar(kind, expected, actual) => self.matched += 1,
            _ => {
                let tape = self.actual;
                self.report(Some(expected), Some(actual), || {
                    let kind_note = if kind == actual_kind {
                        ""
                    } else {
                        ", which is not the kind of value expected"
                    };
                    format!(
                        "{} {}{kind_note}",
                        actual_kind.as_str(),
                        quoted(&tape.source(actual), 60)
                    )
                });
            }
        }
    }

    fn same_scalar(&self, kind: Kind, expected: usize, actual: usize) -> bool {
        let (raw, actual_raw) = (self.expected.raw(expected), self.actual.raw(actual));
        match kind {
            Kind::Number => {
                let (raw, actual_raw) = (raw.as_bytes(), actual_raw.as_bytes());
                match self.settings.tolerance {
                    Some(tolerance) => tolerance.accepts(raw, actual_raw) == Some(true),
                    None => raw == actual_raw || same_number(raw, actual_raw),
                }
            }
            Kind::String => self.expected.same_string(expected, self.actual, actual),
            Kind::Null | Kind::Boolean | Kind::Array | Kind::Object => raw == actual_raw,
        }
    }

    fn array(&mut self, expected: usize, actual: usize, patterns: &[&Pattern]) {
        self.matched += 1;
        let (tape, actual_tape) = (self.expected, self.actual);
        let (mut values, mut actual_values) = (tape.children(expected), actual_tape.children(actual));
        let (mut missing, mut extra) = (Unpaired::default(), Unpaired::default());
        for index in 0_usize.. {
            let pair = (values.next(), actual_values.next());
            // Only where there are patterns does an index have to become text.
            let below = if patterns.is_empty() {
                Some(Vec::new())
            } else {
                self.below(patterns, &index.to_string())
            };
            match (pair, below) {
                ((None, None), _) => break,
                ((value, actual_value), None) => self.ignore(value, actual_value),
                ((Some(value), Some(actual_value)), Some(below)) => {
                    self.path.push(Segment::Index(index));
                    self.value(value, actual_value, &below);
                    self.path.pop();
                }
                ((Some(value), None), _) => missing.push(value),
                ((None, Some(actual_value)), _) => extra.push(actual_value),
            }
        }
        self.report_unpaired(&missing, &extra, || {
            let count = counted(actual_tape.children(actual).count(), "element");
            format!(
                "an array of {count}, {} expected",
                tape.children(expected).count()
            )
        });
    }

    fn object(&mut self, expected: usize, actual: usize, patterns: &[&Pattern]) {
        self.matched += 1;
        let (tape, actual_tape) = (self.expected, self.actual);
        let (mut missing, mut extra) = (Unpaired::default(), Unpaired::default());
        let mut paired = 0;
        for key in tape.children(expected) {
            let name = tape.string(key);
            match (actual_tape.find_key(actual, &name), self.below(patterns, &name)) {
                (_, None) => self.ignore(Some(key), None),
                (None, Some(_)) => missing.push(key),
                (Some(actual_key), Some(below)) => {
                    paired += 1;
                    self.matched += 1;
                    self.path.push(Segment::Key(actual_key));
                    self.value(key + 1, actual_key + 1, &below);
                    self.path.pop();
                }
            }
        }
        if paired < actual_tape.children(actual).count() {
            for key in actual_tape.children(actual) {
                let name = actual_tape.string(key);
                if self.below(patterns, &name).is_none() {
                    self.ignore(None, Some(key));
                } else if tape.find_key(expected, &name).is_none() {
                    extra.push(key);
                }
            }
        }
        self.report_unpaired(&missing, &extra, || {
            let unexpected = extra.first.first().map_or(String::new(), |key| {
                let key = quoted(actual_tape.raw(*key).as_bytes(), 60);
                format!(
                    " and has {} too many, the first {key}",
                    counted(extra.count, "key")
                )
            });
            format!(
                "an object that lacks {}{unexpected}",
                counted(missing.count, "expected key")
            )
        });
    }

    /// The patterns that go on below the key or index `name`, or `None` if one of them ends there.
    fn below<'p>(&self, patterns: &[&'p Pattern], name: &str) -> Option<Vec<&'p Pattern>> {
        let mut below = Vec::new();
        for pattern in patterns {
            match pattern.admits(self.path.len(), name) {
                Admission::No => {}
                Admission::Partly => below.push(*pattern),
                Admission::Whole => return None,
            }
        }
        Some(below)
    }

    fn ignore(&mut self, expected: Option<usize>, actual: Option<usize>) {
        self.ignored.0 += expected.map_or(0, |node| self.expected.size(node));
        self.ignored.1 += actual.map_or(0, |node| self.actual.size(node));
    }

    fn report_unpaired(&mut self, missing: &Unpaired, extra: &Unpaired, found: impl Fn() -> String) {
        for node in &missing.first {
            self.report(Some(*node), None, &found);
        }
        for node in &extra.first {
            self.report(None, Some(*node), &found);
        }
        let further = missing.count - missing.first.len() + extra.count - extra.first.len();
        self.differences += further;
        self.unshown += further;
    }

    /// Counts a difference; `found` is what the public may know of the first one.
    fn report(&mut self, expected: Option<usize>, actual: Option<usize>, found: impl FnOnce() -> String) {
        self.differences += 1;
        if self.unshown > 0 {
            self.unshown += 1;
            return;
        }
        let path = self.pointer();
        if self.first.is_none() {
            let place = match path.as_str() {
                "" => "the top".to_owned(),
                path => quoted(path.as_bytes(), 120),
            };
            self.first = Some(format!(
                "first difference at {place}, where the output has {}",
                found()
            ));
        }
        let shown = self.sheet.push("@@ ", path.as_bytes(), 0)
            && expected.is_none_or(|node| self.sheet.push("-", &self.expected.source(node), 0))
            && actual.is_none_or(|node| self.sheet.push("+", &self.actual.source(node), 0));
        self.unshown += usize::from(!shown);
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for segment in &self.path {
            match segment {
                Segment::Key(key) => push_segment(&mut pointer, &self.actual.string(*key)),
                Segment::Index(index) => push_segment(&mut pointer, &index.to_string()),
            }
        }
        pointer
    }
}

fn same_number(raw: &[u8], actual_raw: &[u8]) -> bool {
    match (Decimal::parse(raw), Decimal::parse(actual_raw)) {
        (Some(number), Some(actual_number)) => number.equals(&actual_number),
        _ => false,
    }
}
