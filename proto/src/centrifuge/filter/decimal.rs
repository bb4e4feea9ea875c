//! Comparing decimals of any length, as text.

use std::cmp::Ordering;

/// Compares two decimals such as `-1.50` or `2e3`. `None` where one is none.
pub(super) fn compare(left: &str, right: &str) -> Option<Ordering> {
    let (left, right) = (Decimal::of(left)?, Decimal::of(right)?);
    Some(match (left.sign(), right.sign()) {
        (1, 1) => left.compare_size(&right),
        (-1, -1) => right.compare_size(&left),
        (left, right) => left.cmp(&right),
    })
}

/// `0.d₁d₂d₃… × 10^exponent`, where d₁ is not 0 unless the number is.
struct Decimal<'a> {
    negative: bool,
    /// The digits before and behind the point, without the zeros in front of them all.
    digits: (&'a str, &'a str),
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (text, power) = match text.split_once(['e', 'E']) {
            // An exponent has no more than its sign and nine digits.
            Some((text, power)) => (text, i64::from(power.parse::<i32>().ok()?)),
            None => (text, 0),
        };
        let (before, behind) = text.split_once('.').unwrap_or((text, ""));
        let numeric = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        if before.len() + behind.len() == 0 || !numeric(before) || !numeric(behind) {
            return None;
        }
        let before = before.trim_start_matches('0');
        let (point, behind) = if before.is_empty() {
            let digits = behind.trim_start_matches('0');
            (-i64::try_from(behind.len() - digits.len()).ok()?, digits)
        } else {
            (i64::try_from(before.len()).ok()?, behind)
        };
        Some(Self {
            negative,
            digits: (before, behind),
            exponent: power.checked_add(point)?,
        })
    }

    /// −1, 0 or 1.
    fn sign(&self) -> i8 {
        let zero = self.digits.0.is_empty() && self.digits.1.is_empty();
        match (zero, self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// Compares what is not zero without its sign.
    fn compare_size(&self, other: &Self) -> Ordering {
        let longest = self.len().max(other.len());
        self.exponent
            .cmp(&other.exponent)
            .then_with(|| self.padded(longest).cmp(other.padded(longest)))
    }

    fn len(&self) -> usize {
        self.digits.0.len() + self.digits.1.len()
    }

    /// `count` digits, zeros behind the last.
    fn padded(&self, count: usize) -> impl Iterator<Item = u8> + 'a {
        let (before, behind) = self.digits;
        before
            .bytes()
            .chain(behind.bytes())
            .chain(std::iter::repeat(b'0'))
            .take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_by_their_value() {
        use Ordering::{Equal, Greater, Less};
        for (left, right, want) in [
            ("1", "1", Equal),
            ("1", "1.0", Equal),
            ("01.10", "1.1", Equal),
            ("0", "-0.00", Equal),
            ("0e99", "0", Equal),
            ("1e3", "1000", Equal),
            ("1000e-3", "1", Equal),
            (".5", "0.50", Equal),
            ("5.", "5", Equal),
            ("+7", "7", Equal),
            ("9", "10", Less),
            ("9.9", "10", Less),
            ("0.09", "0.1", Less),
            ("0.009", "0.01", Less),
            ("-10", "-9", Less),
            ("-1", "0", Less),
            ("-1", "0.001", Less),
            ("0", "1e-9", Less),
            ("1.0000000000000000000001", "1.0000000000000000000002", Less),
            ("123456789012345678901234567890", "1e29", Greater),
            ("2e-400", "1e-400", Greater),
            ("1.01", "1.001", Greater),
        ] {
            assert_eq!(compare(left, right), Some(want), "{left} {right}");
            assert_eq!(compare(right, left), Some(want.reverse()), "{right} {left}");
        }
    }

    #[test]
    fn what_is_not_a_decimal_does_not_compare() {
        for text in [
            "",
            " ",
            "-",
            "+",
            ".",
            "e1",
            "1e",
            "1e+",
            "--1",
            "+-1",
            "1 ",
            " 1",
            "1.2.3",
            "1,5",
            "0x10",
            "NaN",
            "inf",
            "1e1.5",
            "1e99999999999",
            "１",
            "1_000",
        ] {
            assert_eq!(compare(text, "1"), None, "{text:?}");
            assert_eq!(compare("1", text), None, "{text:?}");
        }
    }
}
