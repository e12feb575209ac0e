//! Values of a job's environment variables, and taking them out of everything that is written down or shown.
//!
//! What is taken out, whoever wrote the text:
//! - every text and every number in `env_vars`, also inside lists and objects, that has at least 6 bytes; shorter ones
//!   (`1`, `true`, `prod`) are settings: taking them out would garble every text and hide nothing;
//! - each line of at least 6 bytes of a value of several lines;
//! - of both, what the escapes of JSON, of Rust's literals and of our own texts make of them, and the base64 of a value;
//! - what a cut has left of them: a beginning of at least 8 bytes at the end of a text or before `…`, and an end of at
//!   least 8 bytes or any 16 in a row after `…`.
//!
//! A marker with the variable's name takes its place. However many values there are, a text is read once, and what
//! comes out is at most a few kilobytes longer. What is not taken out: other encodings, values spelt apart, and
//! what a reader can conclude.

mod automaton;
mod forms;
mod places;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::job::EnvVars;
use automaton::{Automaton, Needle};

/// Bytes from which a value counts as a secret.
const SHORTEST_SECRET: usize = 6;

/// Bytes from which the beginning or end of a secret at a cut counts as one.
const SHORTEST_PIECE: usize = 8;

/// Bytes from which any piece of a secret behind a cut counts as one.
const WINDOW: usize = 16;

/// Bytes of all forms of all values that are looked for. A job with more is no honest one: nothing is shown of it then.
const MAX_NEEDLE_BYTES: usize = 256 * 1024;

/// Longest name of a variable that is shown.
const MAX_NAME_BYTES: usize = 64;

/// Bytes that a text may grow by through the names in it. After that the markers are nameless.
const MAX_GROWTH: usize = 4 * 1024;

/// The marker without a name: shorter than any secret.
const NAMELESS: &str = "[…]";

/// How every marker with a name begins.
const MARKER: &str = "[redacted: ";

/// Values that must reach no log entry, model, report, parked row or error message. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Values);

#[derive(Clone, Default)]
enum Values {
    #[default]
    None,
    Known(Arc<Known>),
    /// More than can be looked for.
    TooMany,
}

struct Known {
    /// What the variables are called in markers.
    names: Vec<Arc<str>>,
    longest: usize,
    automaton: Automaton,
    /// Every piece of `WINDOW` bytes of every form.
    windows: HashMap<[u8; WINDOW], u32>,
    /// The shorter ends of every form.
    ends: HashMap<Box<[u8]>, u32>,
}

/// What was taken out of a text, for those to whom it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redacted {
    names: BTreeSet<Arc<str>>,
    everything: bool,
}

impl Redacted {
    /// Whether nothing was taken out.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.everything
    }

    /// Whether nothing was left in, because a job has more variables than can be looked for.
    pub fn is_everything(&self) -> bool {
        self.everything
    }
}

impl fmt::Display for Redacted {
    /// The names of the variables, as the markers have them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.everything {
            return f.write_str("too many environment variables");
        }
        let names: Vec<_> = self.names.iter().map(AsRef::as_ref).collect();
        f.write_str(&names.join(", "))
    }
}

impl Secrets {
    /// The values of a job's environment variables.
    pub fn of(variables: &EnvVars) -> Self {
        let mut needles: BTreeMap<String, u32> = BTreeMap::new();
        let mut variable_names = Vec::new();
        let mut bytes = 0;
        for (name, values) in variables.secrets() {
            let owner = u32::try_from(variable_names.len()).unwrap_or(u32::MAX);
            variable_names.push(name);
            for value in values {
                if value.len() > MAX_NEEDLE_BYTES {
                    return Self(Values::TooMany);
                }
                for form in forms::forms(&value) {
                    bytes += form.len();
                    if bytes > MAX_NEEDLE_BYTES {
                        return Self(Values::TooMany);
                    }
                    needles.entry(form).or_insert(owner);
                }
            }
        }
        if needles.is_empty() {
            return Self::default();
        }
        let needles: Vec<_> = needles
            .into_iter()
            .map(|(form, owner)| (form.into_bytes(), owner))
            .collect();
        let automaton = Automaton::new(&needles);
        let names = variable_names.iter().enumerate();
        let names = names.map(|(index, name)| shown_name(index, name, &automaton));
        Self(Values::Known(Arc::new(Known {
            names: names.collect(),
            longest: needles.iter().map(|(form, _)| form.len()).max().unwrap_or(0),
            windows: windows(&needles),
            ends: ends(&needles),
            automaton,
        })))
    }

    /// The text with a marker in the place of every secret.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.scrub_noting(text, &mut Redacted::default())
    }

    /// [`Self::scrub`], which also adds to `redacted` what was taken out.
    pub fn scrub_noting<'a>(&self, text: &'a str, redacted: &mut Redacted) -> Cow<'a, str> {
        let known = match &self.0 {
            Values::None => return Cow::Borrowed(text),
            Values::TooMany if text.is_empty() => return Cow::Borrowed(text),
            Values::TooMany => {
                redacted.everything = true;
                return Cow::Owned(format!("{MARKER}{redacted}]"));
            }
            Values::Known(known) => known,
        };
        let places = known.places(text);
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut scrubbed = String::with_capacity(text.len() + MAX_GROWTH);
        let (mut end, mut room) = (0, MAX_GROWTH);
        for place in places {
            scrubbed.push_str(&text[end..place.range.start]);
            end = place.range.end;
            let name = &known.names[place.seen.owner as usize];
            redacted.names.insert(Arc::clone(name));
            let growth = (MARKER.len() + name.len() + 1).saturating_sub(place.range.len());
            if growth <= room {
                room -= growth;
                scrubbed.extend([MARKER, name, "]"]);
            } else {
                scrubbed.push_str(NAMELESS);
            }
        }
        scrubbed.push_str(&text[end..]);
        Cow::Owned(scrubbed)
    }

    /// The last place within the first `limit` bytes of `text` where it can be cut without cutting a secret, or what
    /// may become one.
    pub fn place_to_cut(&self, text: &str, limit: usize) -> usize {
        let limit = text.floor_char_boundary(limit);
        match &self.0 {
            Values::None | Values::TooMany => limit,
            Values::Known(known) => {
                let bytes = text[..limit].bytes();
                let state = bytes.fold(Automaton::START, |state, byte| known.automaton.step(state, byte));
                limit - known.automaton.begun(state).bytes
            }
        }
    }

    /// Bytes of the longest text that is looked for.
    pub fn longest(&self) -> usize {
        match &self.0 {
            Values::None | Values::TooMany => 0,
            Values::Known(known) => known.longest,
        }
    }
}

/// What stands around and between the markers in a text, without the names in them.
pub fn around_markers(text: &str) -> impl Iterator<Item = &str> {
    let after_name = |text| {
        let text: &str = text;
        let end = text.find(']').filter(|end| *end <= MAX_NAME_BYTES);
        &text[end.map_or(0, |end| end + 1)..]
    };
    let pieces = text.split(MARKER).enumerate();
    pieces
        .map(move |(index, piece)| if index == 0 { piece } else { after_name(piece) })
        .flat_map(|text| text.split(NAMELESS))
}

/// A variable's name where it is a plain one that holds no secret, else its number.
fn shown_name(index: usize, name: &str, automaton: &Automaton) -> Arc<str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut state = Automaton::START;
    let holds_secret = name.bytes().take(MAX_NAME_BYTES).any(|byte| {
        state = automaton.step(state, byte);
        automaton.whole(state).is_some()
    });
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) && !holds_secret {
        name.into()
    } else {
        format!("variable {}", index + 1).into()
    }
}

fn windows(needles: &[Needle]) -> HashMap<[u8; WINDOW], u32> {
    let windows = needles.iter().flat_map(|(form, owner)| {
        let windows = form.windows(WINDOW);
        windows.filter_map(|window| Some((window.try_into().ok()?, *owner)))
    });
    windows.collect()
}

fn ends(needles: &[Needle]) -> HashMap<Box<[u8]>, u32> {
    let ends = needles.iter().flat_map(|(form, owner)| {
        let lengths = SHORTEST_PIECE..WINDOW.min(form.len());
        lengths.map(|length| (form[form.len() - length..].into(), *owner))
    });
    ends.collect()
}

impl fmt::Debug for Secrets {
    /// The names of the variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Values::None => f.debug_list().finish(),
            Values::TooMany => f.write_str("[too many]"),
            Values::Known(known) => f.debug_list().entries(&known.names).finish(),
        }
    }
}

#[cfg(test)]
mod tests;
