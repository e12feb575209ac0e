//! W3C trace context, as it travels in the header `traceparent` of messages.
//!
//! <https://www.w3.org/TR/trace-context/>

use std::fmt;
use std::str::FromStr;

/// Length of `00-TRACE-PARENT-FLAGS`.
const LENGTH: usize = 55;

/// The only flag that this version of the standard lets one set from outside.
const SAMPLED: u8 = 0x01;

/// Which trace something belongs to, and the span that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no W3C traceparent: expected 00-TRACE-SPAN-FLAGS in lower-case hexadecimal, neither id all zero")]
pub struct TraceContextError;

impl TraceContext {
    /// The beginning of a trace.
    pub fn new() -> Self {
        Self {
            // All zeros mean no id; they come up once in 2⁶⁴ draws.
            trace: rand::random::<u128>().max(1).to_be_bytes(),
            span: rand::random::<u64>().max(1).to_be_bytes(),
            sampled: true,
        }
    }

    /// From parts that another library made; none where an id is all zero.
    pub fn from_parts(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Option<Self> {
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled })
    }

    /// A child of what came in, or the beginning of a trace where nothing usable did: a stranger's header never stops a
    /// job.
    pub fn continuing(incoming: Option<&str>) -> Self {
        let parent = incoming.and_then(|text| text.parse().ok());
        parent.map_or_else(Self::new, |parent: Self| parent.child())
    }

    /// The same trace, a new span.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span: Self::new().span,
            ..self
        }
    }

    /// The trace.
    pub fn trace(self) -> [u8; 16] {
        self.trace
    }

    /// The span.
    pub fn span(self) -> [u8; 8] {
        self.span
    }

    /// Whether whoever began the trace records it.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let error = TraceContextError;
        let version: [u8; 1] = field(text, 0, 2)?;
        // A later version may append fields to these; this one may not.
        let ends = match version {
            [0] => text.len() == LENGTH,
            [0xff] => false,
            _ => text.len() == LENGTH || text.as_bytes().get(LENGTH) == Some(&b'-'),
        };
        let parted = [2, 35, 52]
            .iter()
            .all(|at| text.as_bytes().get(*at) == Some(&b'-'));
        if !ends || !parted {
            return Err(error);
        }
        let [flags]: [u8; 1] = field(text, 53, 2)?;
        let (trace, span) = (field(text, 3, 32)?, field(text, 36, 16)?);
        Self::from_parts(trace, span, flags & SAMPLED != 0).ok_or(error)
    }
}

/// The bytes that `length` lower-case hexadecimal digits from `start` stand for.
fn field<const N: usize>(text: &str, start: usize, length: usize) -> Result<[u8; N], TraceContextError> {
    let digits = text
        .as_bytes()
        .get(start..start + length)
        .ok_or(TraceContextError)?;
    if digits.iter().any(u8::is_ascii_uppercase) {
        return Err(TraceContextError);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| TraceContextError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_own_example_round_trips() {
        let context: TraceContext = GOOD.parse().unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), GOOD);
    }

    #[test]
    fn a_child_keeps_the_trace_and_has_a_span_of_its_own() {
        let parent: TraceContext = GOOD.replace("-01", "-00").parse().unwrap();
        let child = TraceContext::continuing(Some(&parent.to_string()));
        assert_eq!(child.trace(), parent.trace());
        assert_ne!(child.span(), parent.span());
        assert!(!child.is_sampled());
    }

    #[test]
    fn nothing_usable_begins_a_trace() {
        for incoming in [None, Some(""), Some("forged")] {
            let (first, second) = (
                TraceContext::continuing(incoming),
                TraceContext::continuing(incoming),
            );
            assert_ne!(first.trace(), second.trace());
            assert!(first.is_sampled());
        }
    }

    #[test]
    fn what_is_not_to_the_letter_is_refused() {
        let wrong = [
            GOOD.to_uppercase(),
            GOOD.replace("00-4b", "ff-4b"),
            format!("{GOOD}-more"),
            format!(" {GOOD}"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-00f067", "_00f067"),
            GOOD.replace("-01", "-0g"),
            GOOD.replace("-01", "-1"),
            GOOD.replace("4bf9", "4bé9"),
            format!("{}more", GOOD.replacen("00", "01", 1)),
        ];
        for text in wrong {
            assert_eq!(text.parse::<TraceContext>(), Err(TraceContextError), "{text}");
        }
        let later = format!("{}-more", GOOD.replacen("00", "01", 1));
        assert_eq!(later.parse::<TraceContext>().unwrap().to_string(), GOOD);
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read_back_the_same(text in "\\PC{0,70}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert_eq!(context.to_string().parse(), Ok(context));
                prop_assert_eq!(&text[3..52], &context.to_string()[3..52]);
            }
        }

        #[test]
        fn every_context_round_trips(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let context = TraceContext::from_parts(trace.to_be_bytes(), span.to_be_bytes(), sampled).unwrap();
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }
    }
}
