//! Numbers as they are written in outputs and in JSON, and when two of them are the same.

/// How far an actual number may be from the expected one. It passes if either bound holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerance {
    abs: Option<f64>,
    rel: Option<f64>,
}

impl Tolerance {
    /// `None` when neither bound is given.
    pub(super) fn new(abs: Option<f64>, rel: Option<f64>) -> Option<Self> {
        (abs.is_some() || rel.is_some()).then_some(Self { abs, rel })
    }

    /// Whether `actual` passes for `expected`, or `None` if `expected` is no number. Two numerals for one and the
    /// same number always pass; numbers too large for a 64-bit float pass in no other way.
    pub(super) fn accepts(self, expected: &[u8], actual: &[u8]) -> Option<bool> {
        let expected = Decimal::parse(expected)?;
        let Some(actual) = Decimal::parse(actual) else {
            return Some(false);
        };
        let (value, actual_value) = (expected.to_f64(), actual.to_f64());
        if value.is_finite() && actual_value.is_finite() {
            Some(self.holds(value, actual_value))
        } else {
            Some(expected.equals(&actual))
        }
    }

    fn holds(self, expected: f64, actual: f64) -> bool {
        let distance = (expected - actual).abs();
        self.abs.is_some_and(|abs| distance <= abs)
            || self.rel.is_some_and(|rel| {
                if distance.is_finite() {
                    distance <= rel * expected.abs()
                } else {
                    // Both are near the largest float, so that a quarter of each loses no digit.
                    (expected / 4.0 - actual / 4.0).abs() <= rel * (expected / 4.0).abs()
                }
            })
    }
}

/// A decimal numeral, exactly: `[+-] digits [. digits] [e [+-] digits]` with at least one digit before the exponent. `1.` and
/// `.5` are numerals; `inf`, `nan`, `0x1p3` and `1_000` are not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'t> {
    text: &'t [u8],
    negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
    /// `None` if it is beyond anything that a number may sensibly have.
    exponent: Option<i64>,
}

impl<'t> Decimal<'t> {
    pub(super) fn parse(text: &'t [u8]) -> Option<Self> {
        let (negative, unsigned) = signed(text);
        let (whole, rest) = digits(unsigned);
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', after)) => digits(after),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => Some(0),
            Some((b'e' | b'E', after)) => {
                let (negative, unsigned) = signed(after);
                let (power, rest) = digits(unsigned);
                if power.is_empty() || !rest.is_empty() {
                    return None;
                }
                exponent(negative, power)
            }
            Some(_) => return None,
        };
        Some(Self {
            text,
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// Whether both numerals stand for the same number, to the last digit. Zero has no sign.
    pub(super) fn equals(&self, other: &Decimal<'_>) -> bool {
        if self.text == other.text {
            return true;
        }
        let (zero, other_zero) = (
            self.significant().next().is_none(),
            other.significant().next().is_none(),
        );
        if zero || other_zero {
            return zero && other_zero;
        }
        match (self.magnitude(), other.magnitude()) {
            (Some(magnitude), Some(other_magnitude)) => {
                self.negative == other.negative
                    && magnitude == other_magnitude
                    && self.significant().eq(other.significant())
            }
            _ => false,
        }
    }

    fn to_f64(self) -> f64 {
        // The grammar of `Decimal` is within that of `f64::from_str`, so the fallback is never taken.
        std::str::from_utf8(self.text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(f64::NAN)
    }

    /// The digits without the zeros at either end.
    fn significant(&self) -> impl Iterator<Item = u8> {
        let fraction = without_trailing_zeros(self.fraction);
        let whole = if fraction.is_empty() {
            without_trailing_zeros(self.whole)
        } else {
            self.whole
        };
        whole
            .iter()
            .chain(fraction)
            .copied()
            .skip_while(|digit| *digit == b'0')
    }

    /// The power of ten of the first significant digit.
    fn magnitude(&self) -> Option<i64> {
        let leading = self
            .whole
            .iter()
            .chain(self.fraction)
            .take_while(|digit| **digit == b'0')
            .count();
        let point = i64::try_from(self.whole.len())
            .ok()?
            .checked_sub(i64::try_from(leading).ok()?)?;
        self.exponent?.checked_add(point)
    }
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    &digits[..digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1)]
}

fn exponent(negative: bool, power: &[u8]) -> Option<i64> {
    let magnitude = power.iter().try_fold(0_i64, |value, digit| {
        value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
    })?;
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(abs: Option<f64>, rel: Option<f64>, expected: &str, actual: &str) -> Option<bool> {
        Tolerance::new(abs, rel)
            .unwrap()
            .accepts(expected.as_bytes(), actual.as_bytes())
    }

    fn equals(left: &str, right: &str) -> bool {
        Decimal::parse(left.as_bytes())
            .unwrap()
            .equals(&Decimal::parse(right.as_bytes()).unwrap())
    }

    #[test]
    fn a_number_passes_if_either_tolerance_holds() {
        assert_eq!(accepts(Some(0.5), Some(0.0), "1", "1.5"), Some(true));
        assert_eq!(accepts(Some(0.0), Some(0.5), "1", "1.5"), Some(true));
        assert_eq!(accepts(Some(0.4), Some(0.4), "1", "1.5"), Some(false));
    }

    #[test]
    fn the_relative_tolerance_is_relative_to_the_expected_number() {
        assert_eq!(accepts(None, Some(0.5), "100", "150"), Some(true));
        assert_eq!(accepts(None, Some(0.4), "100", "150"), Some(false));
        assert_eq!(accepts(None, Some(0.4), "150", "100"), Some(true));
        assert_eq!(accepts(None, Some(0.5), "0", "1e-300"), Some(false));
    }

    #[test]
    fn numerals_of_every_form_are_numbers() {
        for (expected, actual) in [
            ("1000", "1e3"),
            ("1", "+1"),
            ("0.5", ".5"),
            ("1", "1."),
            ("0", "-0"),
            ("1", "0.1E+1"),
            ("10", "1000e-2"),
        ] {
            assert_eq!(
                accepts(Some(0.0), None, expected, actual),
                Some(true),
                "{expected} {actual}"
            );
        }
    }

    #[test]
    fn words_and_other_notations_are_no_numbers() {
        for text in [
            "", ".", "+", "-.", "e3", "1e", "1e+", "inf", "infinity", "nan", "0x10", "1_0", "1,5", "1 ", "١",
        ] {
            assert_eq!(accepts(Some(1.0), None, text, "1"), None, "{text}");
            assert_eq!(accepts(Some(1e300), None, "1", text), Some(false), "{text}");
        }
    }

    #[test]
    fn a_number_beyond_the_floats_equals_only_itself() {
        assert_eq!(accepts(Some(1e308), Some(1e308), "1e999", "1e998"), Some(false));
        assert_eq!(accepts(Some(1e308), Some(1e308), "1e999", "1"), Some(false));
        assert_eq!(accepts(Some(1e308), Some(1e308), "1", "1e999"), Some(false));
        assert_eq!(accepts(Some(0.0), None, "1e999", "10e998"), Some(true));
    }

    #[test]
    fn a_distance_beyond_the_floats_is_still_measured() {
        assert_eq!(accepts(None, Some(2.1), "1e308", "-1e308"), Some(true));
        assert_eq!(accepts(None, Some(1.9), "1.7e308", "-1.7e308"), Some(false));
    }

    #[test]
    fn exact_equality_keeps_every_digit() {
        assert!(equals("1.50", "15e-1"));
        assert!(equals("-0", "0.000e7"));
        assert!(!equals("-1", "1"));
        assert!(!equals("9007199254740993", "9007199254740992"));
        assert!(equals("100000000000000000000", "1e20"));
        assert!(!equals("100000000000000000001", "1e20"));
        assert!(!equals("1e99999999999999999999", "1e99999999999999999998"));
        assert!(equals("0e99999999999999999999", "0"));
    }

    proptest! {
        #[test]
        fn floats_survive_every_notation(value in proptest::num::f64::NORMAL) {
            let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
            prop_assert!(equals(&plain, &scientific));
            prop_assert_eq!(Decimal::parse(plain.as_bytes()).unwrap().to_f64(), value);
        }

        #[test]
        fn whatever_parses_is_a_float_to_the_standard_library(text in "[-+.eE0-9inf]{0,12}") {
            if Decimal::parse(text.as_bytes()).is_some() {
                prop_assert!(text.parse::<f64>().is_ok());
            }
        }
    }
}
