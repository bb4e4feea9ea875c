//! Header fields: one buffer, and where in it each name and value stands.

use std::fmt;

use super::syntax::list;

/// The header fields of a message, in the order and the case in which they came.
///
/// Names are found without regard to case (RFC 9110 §5.1). Values are without the white space
/// around them and otherwise byte for byte what came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// A field in `bytes`: the name, and behind it the value.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: u32,
    value: u32,
    end: u32,
}

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// No fields yet, but room for so many with so many bytes of names and values.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            entries: Vec::with_capacity(fields),
        }
    }

    /// Adds a field behind the others. A section over 4 GiB takes no more.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.bytes.len();
        let middle = start.saturating_add(name.len());
        let end = middle.saturating_add(value.len());
        let (Ok(start), Ok(value_start), Ok(end)) = (
            u32::try_from(start),
            u32::try_from(middle),
            u32::try_from(end),
        ) else {
            return;
        };
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(value);
        self.entries.push(Entry {
            start,
            value: value_start,
            end,
        });
    }

    /// The first value of that name, if it is UTF-8. [`Self::get_bytes`] has any.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_bytes(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of that name, as it came.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// All values of that name, in order, as they came.
    pub fn get_all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.entries
            .iter()
            // Most names differ by their length already.
            .filter(|entry| (entry.value - entry.start) as usize == name.len())
            .map(|entry| self.parts(*entry))
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|entry| {
            let (name, value) = self.parts(*entry);
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    fn parts(&self, entry: Entry) -> (&[u8], &[u8]) {
        let (start, value, end) = (
            entry.start as usize,
            entry.value as usize,
            entry.end as usize,
        );
        (
            self.bytes.get(start..value).unwrap_or_default(),
            self.bytes.get(value..end).unwrap_or_default(),
        )
    }

    /// Whether the comma-separated lists of that name contain the token, in any case.
    #[must_use]
    pub fn contains_token(&self, name: &str, token: &str) -> bool {
        self.get_all(name)
            .flat_map(list)
            .any(|e| e.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Fields {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: T) -> Self {
        let mut all = Self::new();
        for (name, value) in fields {
            all.push(name, value);
        }
        all
    }
}

/// Names only: a value may be a secret, and `Debug` output ends up in logs.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fields {
        [
            ("Host", &b"a"[..]),
            ("X-Twice", b"1, 2"),
            ("x-tWICE", b",3"),
            ("Raw", b"\xff"),
            ("Empty", b""),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn names_are_found_in_any_case_and_kept_in_theirs() {
        let fields = sample();
        assert_eq!(fields.get("hOST"), Some("a"));
        assert_eq!(fields.get("missing"), None);
        assert_eq!(fields.get("empty"), Some(""));
        assert_eq!(fields.iter().nth(2), Some(("x-tWICE", &b",3"[..])));
        assert_eq!(fields.get_all("X-Twice").count(), 2);
        assert_eq!(fields.len(), 5);
    }

    #[test]
    fn a_value_that_is_no_text_is_kept_as_bytes() {
        let fields = sample();
        assert_eq!(fields.get("raw"), None);
        assert_eq!(fields.get_bytes("raw"), Some(&b"\xff"[..]));
    }

    #[test]
    fn tokens_are_found_across_lines() {
        let fields = sample();
        for (token, found) in [
            ("1", true),
            ("3", true),
            ("2", true),
            ("4", false),
            ("", false),
        ] {
            assert_eq!(fields.contains_token("x-twice", token), found, "{token}");
        }
    }

    #[test]
    fn debug_output_shows_no_values() {
        let fields: Fields = [("Authorization", &b"Bearer secret"[..])]
            .into_iter()
            .collect();
        assert_eq!(format!("{fields:?}"), "[\"Authorization\"]");
    }
}
