//! A scanner for JSON that comes by the million: the events of a provider's stream, and plain
//! questions.
//!
//! It reads what ordinary servers write, once, from front to back, without an allocation where a
//! string has no escapes, and gives up with `None` on everything else: halves of surrogate pairs,
//! numbers that are not plain, nesting deeper than [`DEPTH`], control characters, whatever is no JSON. Giving up
//! says nothing about the document; a slower reader decides. What it does accept is JSON
//! (RFC 8259), and it reads it as any other reader does.
//!
//! ```
//! use lmserver_proto::json::scan::Scanner;
//!
//! let mut scanner = Scanner::new(br#"{"id":"c1","parts":["Hel","lo"],"n":[7,{"x":null}]}"#);
//! let mut text = String::new();
//! let read = scanner.object(&mut |key, scanner| match key {
//!     b"parts" => scanner.array(&mut |scanner| Some(text.push_str(&scanner.string()?))),
//!     _ => scanner.skip(),
//! });
//! assert_eq!(read.and_then(|()| scanner.end()), Some(()));
//! assert_eq!(text, "Hello");
//! ```

use std::borrow::Cow;

/// How deep [`Scanner::skip`] goes before it gives up.
pub const DEPTH: u32 = 16;

/// Digits that an `f64` holds, whichever they are.
const EXACT_DIGITS: usize = f64::DIGITS as usize;

/// A place in a document.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// At the first byte of a document.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Reads an object. `member` is called for each key, as it is written, and reads its value.
    pub fn object(
        &mut self,
        member: &mut dyn FnMut(&'a [u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.open(b'{')?;
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            let key = self.raw_string()?;
            if key.is_escaped || !self.eat(b':') {
                return None;
            }
            member(key.bytes, self)?;
            if self.eat(b'}') {
                return Some(());
            }
            self.open(b',')?;
        }
    }

    /// Reads a list. `item` is called for each of its values and reads it.
    pub fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.open(b'[')?;
        if self.eat(b']') {
            return Some(());
        }
        loop {
            item(self)?;
            if self.eat(b']') {
                return Some(());
            }
            self.open(b',')?;
        }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Option<Cow<'a, str>> {
        let string = self.raw_string()?;
        let text = std::str::from_utf8(string.bytes).ok()?;
        if string.is_escaped {
            unescaped(text).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(text))
        }
    }

    /// Reads a number without sign, fraction and exponent that fits 64 bits.
    pub fn unsigned(&mut self) -> Option<u64> {
        self.skip_blanks();
        let digits = self.digits()?;
        if let [b'.' | b'e' | b'E', ..] = self.rest {
            return None;
        }
        digits.iter().try_fold(0_u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    }

    /// Reads a number without sign and exponent, of so few digits that an `f64` holds all of them.
    pub fn decimal(&mut self) -> Option<f64> {
        self.skip_blanks();
        let whole = self.digits()?;
        let mut fraction: &[u8] = &[];
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            fraction = self.run_of_digits();
            fraction.first()?;
        }
        if matches!(self.rest, [b'e' | b'E', ..]) || whole.len() + fraction.len() > EXACT_DIGITS {
            return None;
        }
        // Both are whole numbers that are held exactly, so that nothing is rounded but the quotient.
        let digits = whole.iter().chain(fraction);
        let digits = digits.fold(0.0, |value, digit| value * 10.0 + f64::from(digit - b'0'));
        Some(digits / fraction.iter().fold(1.0, |scale, _| scale * 10.0))
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> Option<bool> {
        let value = self.word(b"true");
        (value || self.word(b"false")).then_some(value)
    }

    /// Reads `null`, if that is what comes.
    pub fn null(&mut self) -> bool {
        self.word(b"null")
    }

    /// Reads any value.
    pub fn skip(&mut self) -> Option<()> {
        self.skip_nested(DEPTH)
    }

    /// What is not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing but blanks is left.
    pub fn end(&mut self) -> Option<()> {
        self.skip_blanks();
        self.rest.is_empty().then_some(())
    }

    fn skip_nested(&mut self, depth: u32) -> Option<()> {
        let deeper = depth.checked_sub(1)?;
        self.skip_blanks();
        let word: &[u8] = match self.rest.first()? {
            b'"' => return self.raw_string().map(|_| ()),
            b'{' => return self.object(&mut |_, scanner| scanner.skip_nested(deeper)),
            b'[' => return self.array(&mut |scanner| scanner.skip_nested(deeper)),
            b'n' => b"null",
            b't' => b"true",
            b'f' => b"false",
            _ => return self.skip_number(),
        };
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn skip_number(&mut self) -> Option<()> {
        self.eat(b'-');
        self.digits()?;
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            self.run_of_digits().first()?;
        }
        match self.rest {
            [b'e' | b'E', ..] => None,
            _ => Some(()),
        }
    }

    /// The digits of a whole number: `0`, or what does not begin with it.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let digits = self.run_of_digits();
        match digits {
            [] | [b'0', _, ..] => None,
            _ => Some(digits),
        }
    }

    fn run_of_digits(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit());
        let (digits, rest) = self
            .rest
            .split_at_checked(count.count())
            .unwrap_or_default();
        self.rest = rest;
        digits
    }

    fn raw_string(&mut self) -> Option<RawString<'a>> {
        self.open(b'"')?;
        let text = self.rest;
        let (bytes, behind) = text.split_at_checked(plain_length(text))?;
        let Some(rest) = behind.strip_prefix(b"\"") else {
            return self.escaped_string(bytes.len());
        };
        self.rest = rest;
        Some(RawString {
            bytes,
            is_escaped: false,
        })
    }

    /// The rest of a string that has something to look at behind so many bytes. Apart, since most
    /// strings have nothing.
    #[inline(never)]
    fn escaped_string(&mut self, plain: usize) -> Option<RawString<'a>> {
        let text = self.rest;
        let mut at = plain;
        let mut is_escaped = false;
        loop {
            at += plain_length(text.get(at..)?);
            match text.get(at)? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    at += match text.get(at + 1..)? {
                        [b'"' | b'\\' | b'/' | b'n' | b't' | b'r' | b'b' | b'f', ..] => 2,
                        [b'u', digits @ ..] => {
                            let digits = digits.first_chunk::<4>()?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            6
                        }
                        _ => return None,
                    };
                }
                _ => return None,
            }
        }
        self.rest = text.get(at + 1..)?;
        let bytes = text.get(..at)?;
        Some(RawString { bytes, is_escaped })
    }

    fn open(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// Takes this byte, if it comes next behind blanks.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        match self.rest.split_first() {
            Some((&next, rest)) if next == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes this word, if it comes next behind blanks.
    fn word(&mut self, word: &[u8]) -> bool {
        self.skip_blanks();
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

/// Does this text stand in a JSON string as it is, without an escape (RFC 8259 §7)?
#[must_use]
pub fn is_plain(text: &str) -> bool {
    plain_length(text.as_bytes()) == text.len()
}

/// A string between its quotes.
struct RawString<'a> {
    bytes: &'a [u8],
    /// Has it escapes? Only those that are defined are let pass.
    is_escaped: bool,
}

/// The text that a string's escapes (RFC 8259 §7) stand for. None: two of them are no character.
#[inline(never)]
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut chars = behind.chars();
        plain.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let (character, behind) = of_units(behind)?;
                plain.push(character);
                rest = behind;
                continue;
            }
            // Nothing else was let pass.
            other => other,
        });
        rest = chars.as_str();
    }
    plain.push_str(rest);
    Some(plain)
}

/// The character of an escape, of two where they are a surrogate pair, and what stands behind it.
/// The text begins behind the first backslash.
fn of_units(text: &str) -> Option<(char, &str)> {
    let (high, behind) = unit(text)?;
    if let Some(character) = char::from_u32(high) {
        return Some((character, behind));
    }
    let (low, behind) = unit(behind.strip_prefix('\\')?)?;
    let mut pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]);
    match (pair.next(), pair.next()) {
        (Some(Ok(character)), None) => Some((character, behind)),
        _ => None,
    }
}

/// The number behind `u`.
fn unit(text: &str) -> Option<(u32, &str)> {
    let (digits, behind) = text.strip_prefix('u')?.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, behind))
}

const ONES: u64 = u64::MAX / 255;
const TOPS: u64 = ONES << 7;

/// How many bytes come before the first that ends a string, begins an escape or may not stand in a
/// string: eight at a time.
fn plain_length(text: &[u8]) -> usize {
    let mut at = 0;
    let mut rest = text;
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        // The lowest byte that is marked is always right; above it a borrow may mark others.
        let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
        let below_blank = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let quote = zero_in(word ^ (ONES * u64::from(b'"')));
        let escape = zero_in(word ^ (ONES * u64::from(b'\\')));
        let marked = below_blank | quote | escape;
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = behind;
    }
    let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | ..0x20);
    at + rest.iter().take_while(plain).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn skips(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.skip().and_then(|()| scanner.end()).is_some()
    }

    #[test]
    fn ordinary_json_is_read_and_the_rest_given_up() {
        for (text, reads) in [
            (r#"{}"#, true),
            (r#" { "a" : [ 1 , -2.5 , true , false , null ] } "#, true),
            (r#"[[],{},"",0,-0,10]"#, true),
            (r#""a\n\"\\\/\t\r\b\f""#, true),
            ("\"\u{1F600}é\"", true),
            (r#"1e5"#, false),
            (r#""\u0041""#, true),
            (r#""\u004""#, false),
            (r#""\u00g1""#, false),
            (r#"{"\u0041":1}"#, false),
            (r#""\x""#, false),
            ("\"a\nb\"", false),
            ("01", false),
            ("1.", false),
            ("-", false),
            ("- 1", false),
            ("+1", false),
            ("184467440737095516160", true),
            (r#"{"a":1,}"#, false),
            (r#"{"a" 1}"#, false),
            (r#"{a:1}"#, false),
            ("[1 2]", false),
            ("[1", false),
            (r#""a"#, false),
            (r#""a\"#, false),
            ("nul", false),
            ("{} {}", false),
            ("", false),
        ] {
            assert_eq!(skips(text), reads, "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(skips(&nested(DEPTH as usize)));
        assert!(!skips(&nested(DEPTH as usize + 1)));
        assert!(!skips(&"[".repeat(1 << 20)));
    }

    #[test]
    fn what_is_accepted_is_what_another_reader_accepts() {
        let seeds: [&str; 4] = [
            r#"{"id":"x","n":[0,1.5,-3],"o":{"content":"a\nb","null":null},"t":true}"#,
            r#"["aaaaaaaaaaaaaaaa","bbbbbbb\\","éééé",""]"#,
            r#"{"a":{"b":{"c":[{}]}},"d":"\"\"\"\"\"\"\"\"\""}"#,
            "  [ 1 , 2 ]  ",
        ];
        for seed in seeds {
            assert!(skips(seed), "{seed}");
            for at in 0..seed.len() {
                for byte in (0..=0x7f).chain([0x80, 0xc3, 0xff]) {
                    let mut text = seed.as_bytes().to_vec();
                    text[at] = byte;
                    let mut scanner = Scanner::new(&text);
                    let accepted = scanner.skip().and_then(|()| scanner.end()).is_some();
                    let other = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
                    assert!(!accepted || other, "{}", text.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn strings_are_read_as_another_reader_reads_them() {
        for length in 0..20 {
            for tail in [
                "",
                "\\n",
                "\\\"é",
                "x\\\\",
                "\\/\\b\\f\\r\\t.",
                "\\u00e9\\uD83d\\ude00\\u0000!",
            ] {
                let text = format!("\"{}{tail}\"", "é".repeat(length));
                let want = serde_json::from_str::<Value>(&text).unwrap();
                let read = Scanner::new(text.as_bytes()).string();
                assert_eq!(read.as_deref(), want.as_str(), "{text}");
                assert_eq!(matches!(read, Some(Cow::Borrowed(_))), tail.is_empty());
            }
        }
        for text in [
            &b"\"\xff\""[..],
            br#""\ud83d""#,
            br#""\ude00\ud83d""#,
            br#""\ud83d\n""#,
            br#""\ud83dx""#,
            br#""\u+041""#,
        ] {
            assert_eq!(Scanner::new(text).string(), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_end_of_a_plain_run_is_found_wherever_it_lies() {
        for length in 0..40 {
            for (stop, ends) in [
                (b'"', true),
                (b'\\', true),
                (0x1f, true),
                (b'!', false),
                (0x80, false),
                (0xff, false),
            ] {
                for after in [b'a', 0xa2, 0x21, 0x00, 0x22] {
                    let mut text = vec![b'#'; length];
                    text.push(stop);
                    text.extend([after; 9]);
                    let want = text
                        .iter()
                        .position(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
                    assert_eq!(plain_length(&text), want.unwrap_or(text.len()));
                    assert!(!ends || plain_length(&text) == length);
                    if let Ok(text) = std::str::from_utf8(&text) {
                        let escaped = serde_json::to_string(text).unwrap();
                        assert_eq!(is_plain(text), escaped.len() == text.len() + 2);
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_and_null_are_read_by_name() {
        let mut scanner = Scanner::new(b"[7,null, 18446744073709551615]");
        let mut seen = Vec::new();
        let read = scanner.array(&mut |scanner| {
            seen.push(if scanner.null() {
                None
            } else {
                Some(scanner.unsigned()?)
            });
            Some(())
        });
        assert_eq!(
            (read, seen),
            (Some(()), vec![Some(7), None, Some(u64::MAX)])
        );
        assert_eq!(Scanner::new(b"18446744073709551616").unsigned(), None);
        assert_eq!(Scanner::new(b"1.0").unsigned(), None);
        assert_eq!(Scanner::new(b"-1").unsigned(), None);
    }

    #[test]
    fn decimals_are_those_of_another_reader_to_the_bit() {
        let read = |text: &str| {
            let mut scanner = Scanner::new(text.as_bytes());
            let value = scanner.decimal()?;
            scanner.end().map(|()| value)
        };
        for text in ["0", "7", "1.0", "0.70", "0.1", "999999999999999", " 2 "] {
            assert!(read(text).is_some(), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "01",
            ".5",
            "1.",
            "1.e",
            "1e0",
            "0.5E1",
            "null",
            "\"1\"",
            "1 2",
            "1000000000000000",
            "0.000000000000001",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let mut digits = 1_u64;
        for _ in 0..5_000 {
            // Any numbers will do, if they are not all alike.
            digits = digits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let whole = format!("{:.*}", (digits >> 60) as usize, (digits >> 10).to_string());
            for at in 1..=whole.len() {
                let (whole, fraction) = whole.split_at(at);
                let text = [whole, ".", fraction, "0"].concat();
                let Some(value) = read(&text) else { continue };
                let other: f64 = serde_json::from_str(&text).unwrap();
                assert_eq!(value.to_bits(), other.to_bits(), "{text}");
                assert_eq!(Ok(value), text.parse::<f64>(), "{text}");
            }
        }
    }

    #[test]
    fn truth_is_read_as_a_word() {
        for (text, value) in [
            ("true", Some(true)),
            (" false", Some(false)),
            ("null", None),
            ("tru", None),
            ("True", None),
            ("1", None),
            ("\"true\"", None),
            ("", None),
        ] {
            assert_eq!(Scanner::new(text.as_bytes()).bool(), value, "{text}");
        }
        let mut scanner = Scanner::new(b"truefalse");
        assert_eq!((scanner.bool(), scanner.end()), (Some(true), None));
    }
}
