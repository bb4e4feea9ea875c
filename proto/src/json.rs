//! JSON objects read member by member (RFC 8259 §4).
//!
//! An [`Object`] is read once, as the texts of those members that are known; what they mean is
//! asked for one by one. There is one reader for all objects, where derived ones would be as many
//! as there are types.
//!
//! ```
//! use lmserver_proto::json::Object;
//!
//! let object = Object::read(br#"{"channel":"news","limit":null,"later":[]}"#, &["channel", "limit"])?;
//! assert_eq!(object.text("channel")?.as_deref(), Some("news"));
//! assert_eq!(object.number::<u32>("limit")?, None);
//! # Ok::<(), lmserver_proto::json::Error>(())
//! ```
//!
//! A member that is `null` is as good as absent but for [`Object::payload`]. Members that are not
//! known are skipped. One that is known must not stand there twice.

pub mod scan;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The known members of an object, as their texts. It holds no more than there are of them.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    known: &'static [&'static str],
    values: Vec<Option<&'a RawValue>>,
}

/// Why a text is not the object that was wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON, a member that is there twice, or too many of them.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// Another value than an object.
    #[error("not an object")]
    NotAnObject,
    /// A member of another type.
    #[error("`{key}` is not {wanted}")]
    Type {
        /// Its name.
        key: &'static str,
        /// What it was to be.
        wanted: Wanted,
    },
    /// A member that has to be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
}

/// The type that a member was to be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted {
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number that fits.
    Number,
    /// A number.
    Decimal,
    /// An object.
    Object,
    /// An array.
    Array,
    /// An array or an object of strings.
    Texts,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::Number => "a whole number in range",
            Self::Decimal => "a number",
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Texts => "made of strings",
        })
    }
}

impl<'a> Object<'a> {
    /// Reads an object that stands alone.
    ///
    /// # Errors
    ///
    /// Another value, no JSON, something behind it, or a known member that is there twice.
    #[inline(never)]
    pub fn read(text: &'a [u8], known: &'static [&'static str]) -> Result<Self, Error> {
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(Error::NotAnObject);
        }
        let mut values = vec![None; known.len()];
        read_members(text, &mut |key, value| {
            let at = known.iter().position(|name| *name == key);
            let Some((name, slot)) = at.and_then(|at| Some((known.get(at)?, values.get_mut(at)?)))
            else {
                return Ok(());
            };
            match slot.replace(value) {
                None => Ok(()),
                Some(_) => Err(serde_json::Error::custom(format_args!(
                    "`{name}` stands there twice"
                ))),
            }
        })?;
        Ok(Self { known, values })
    }

    /// A member's text, be it `null`.
    #[must_use]
    pub fn payload(&self, key: &str) -> Option<&'a [u8]> {
        Some(self.written(key)?.1.as_bytes())
    }

    /// A member's text.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a [u8]> {
        Some(self.given(key)?.1.as_bytes())
    }

    /// A string, borrowed where it has no escapes.
    ///
    /// # Errors
    ///
    /// Another value.
    #[inline(never)]
    pub fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Error> {
        let Some((key, value)) = self.given(key) else {
            return Ok(None);
        };
        let wanted = Wanted::Text;
        text(value).map(Some).ok_or(Error::Type { key, wanted })
    }

    /// A flag.
    ///
    /// # Errors
    ///
    /// Another value.
    #[inline(never)]
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.parsed(key, Wanted::Flag)
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// Another value, and one that does not fit.
    #[inline(never)]
    pub fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, Error> {
        self.parsed(key, Wanted::Number)
    }

    /// A number that may have a fraction.
    ///
    /// # Errors
    ///
    /// Another value, and one beyond all bounds.
    #[inline(never)]
    pub fn decimal(&self, key: &'static str) -> Result<Option<f64>, Error> {
        let wanted = Wanted::Decimal;
        match self.parsed::<f64>(key, wanted)? {
            Some(number) if !number.is_finite() => Err(Error::Type { key, wanted }),
            number => Ok(number),
        }
    }

    /// An object within this one.
    ///
    /// # Errors
    ///
    /// Another value, and a member that is there twice.
    #[inline(never)]
    pub fn object(&self, key: &str, known: &'static [&'static str]) -> Result<Option<Self>, Error> {
        let Some((key, value)) = self.given(key) else {
            return Ok(None);
        };
        Self::read(value.as_bytes(), known)
            .map(Some)
            .map_err(|error| not_an_object(error, key))
    }

    /// The entries of an object whose keys may be any, in order, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// Another value, and more entries.
    #[inline(never)]
    pub fn entries(&self, key: &str, limit: usize) -> Result<Entries<'a>, Error> {
        match self.given(key) {
            None => Ok(Vec::new()),
            Some((key, value)) => {
                entries(value.as_bytes(), limit).map_err(|error| not_an_object(error, key))
            }
        }
    }

    /// The items of an array, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// Another value, and more items.
    #[inline(never)]
    pub fn items(&self, key: &str, limit: usize) -> Result<Vec<&'a [u8]>, Error> {
        let Some((key, value)) = self.given(key) else {
            return Ok(Vec::new());
        };
        if !value.starts_with('[') {
            let wanted = Wanted::Array;
            return Err(Error::Type { key, wanted });
        }
        let mut items = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(value);
        reader.deserialize_seq(Items {
            limit,
            items: &mut items,
        })?;
        Ok(items)
    }

    /// The strings of an array, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// Another value, and more items.
    #[inline(never)]
    pub fn texts(&self, key: &'static str, limit: usize) -> Result<Vec<Cow<'a, str>>, Error> {
        let wanted = Wanted::Texts;
        let items = self.items(key, limit)?.into_iter();
        items
            .map(|item| string(item).ok_or(Error::Type { key, wanted }))
            .collect()
    }

    fn parsed<T: FromStr>(&self, key: &str, wanted: Wanted) -> Result<Option<T>, Error> {
        let Some((key, value)) = self.given(key) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Error::Type { key, wanted }),
        }
    }

    #[inline(never)]
    fn given(&self, key: &str) -> Option<(&'static str, &'a str)> {
        self.written(key).filter(|(_, value)| *value != "null")
    }

    fn written(&self, key: &str) -> Option<(&'static str, &'a str)> {
        let at = self.known.iter().position(|name| *name == key);
        debug_assert!(at.is_some(), "`{key}` was not asked for");
        let at = at?;
        let value = (*self.values.get(at)?)?;
        Some((self.known.get(at)?, value.get()))
    }
}

/// Keys, and the texts of what stands under them.
pub type Entries<'a> = Vec<(Cow<'a, str>, &'a [u8])>;

/// The entries of an object whose keys may be any, in order, at most `limit` of them.
///
/// # Errors
///
/// Another value, no JSON, and more entries.
#[inline(never)]
pub fn entries(text: &[u8], limit: usize) -> Result<Entries<'_>, Error> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(Error::NotAnObject);
    }
    let mut entries = Vec::new();
    read_members(text, &mut |key, value| {
        if entries.len() >= limit {
            return Err(too_many(limit));
        }
        entries.push((key, value.get().as_bytes()));
        Ok(())
    })?;
    Ok(entries)
}

/// The string that a text is; none where it is another value.
#[must_use]
#[inline(never)]
pub fn string(text: &[u8]) -> Option<Cow<'_, str>> {
    self::text(std::str::from_utf8(text).ok()?)
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).map(Cow::Owned).ok()
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// What is said of an object within another one.
fn not_an_object(error: Error, key: &'static str) -> Error {
    match error {
        Error::NotAnObject => Error::Type {
            key,
            wanted: Wanted::Object,
        },
        other => other,
    }
}

fn too_many<E: serde::de::Error>(limit: usize) -> E {
    E::custom(format_args!("more than {limit} in one place"))
}

/// Takes the key of a member, and the text of its value.
type Take<'x, 'a> = dyn FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), serde_json::Error> + 'x;

#[inline(never)]
fn read_members<'a>(text: &'a [u8], take: &mut Take<'_, 'a>) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    reader.deserialize_map(Members(take))?;
    reader.end()
}

struct Members<'x, 'y, 'a>(&'x mut Take<'y, 'a>);

impl<'a> Visitor<'a> for Members<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let value = map.next_value()?;
            (self.0)(key, value).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

struct Items<'x, 'a> {
    limit: usize,
    items: &'x mut Vec<&'a [u8]>,
}

impl<'a> Visitor<'a> for Items<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&RawValue>()? {
            if self.items.len() >= self.limit {
                return Err(too_many(self.limit));
            }
            self.items.push(item.get().as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["a", "b"];

    fn read(text: &str) -> Result<Object<'_>, String> {
        Object::read(text.as_bytes(), KNOWN).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_has_the_members_that_are_known() {
        let object = read(r#" {"a":"x","later":[1],"b":{"a":null},"later":2} "#).unwrap();
        assert_eq!(object.text("a").unwrap().as_deref(), Some("x"));
        let inner = object.object("b", KNOWN).unwrap().unwrap();
        assert_eq!(inner.text("a").unwrap(), None);
        assert_eq!(inner.payload("a"), Some(&b"null"[..]));
        assert_eq!(inner.payload("b"), None);
        assert!(inner.object("a", KNOWN).unwrap().is_none());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            "{}x",
            "{}{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"a\":nul}",
            "{a:1}",
            "\u{feff}{}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Object::read(b"{\"later\":\"\xff\"}", KNOWN).is_err());
        assert!(Object::read(b"{\"\xff\":1}", KNOWN).is_err());
        let text = "{\"a\":1,\"a\":2}";
        assert_eq!(
            read(text).unwrap_err(),
            "`a` stands there twice at line 1 column 13"
        );
    }

    #[test]
    fn members_have_types() {
        for (value, is_text, is_flag, is_number, is_decimal) in [
            (r#""x""#, true, false, false, false),
            (r#""1""#, true, false, false, false),
            (r#""\u00e9""#, true, false, false, false),
            (r#""\ud800""#, false, false, false, false),
            ("true", false, true, false, false),
            ("1", false, false, true, true),
            ("255", false, false, true, true),
            ("256", false, false, false, true),
            ("-1", false, false, false, true),
            ("1.5", false, false, false, true),
            ("1e999", false, false, false, false),
            ("[]", false, false, false, false),
            ("{}", false, false, false, false),
            ("null", true, true, true, true),
        ] {
            let text = format!("{{\"a\":{value}}}");
            let object = read(&text).unwrap();
            assert_eq!(object.text("a").is_ok(), is_text, "{value}");
            assert_eq!(object.flag("a").is_ok(), is_flag, "{value}");
            assert_eq!(object.number::<u8>("a").is_ok(), is_number, "{value}");
            assert_eq!(object.decimal("a").is_ok(), is_decimal, "{value}");
        }
        let error = read(r#"{"a":1}"#).unwrap().text("a").unwrap_err();
        assert_eq!(error.to_string(), "`a` is not a string");
    }

    #[test]
    fn strings_are_borrowed_unless_they_have_escapes() {
        let object = read(r#"{"a":"plain","b":"a\u00e9\"b"}"#).unwrap();
        assert!(matches!(object.text("a"), Ok(Some(Cow::Borrowed("plain")))));
        assert_eq!(object.text("b").unwrap().as_deref(), Some("aé\"b"));
    }

    #[test]
    fn lists_have_bounds() {
        let object = read(r#"{"a":["x","y"],"b":{"x":1,"y":[2]}}"#).unwrap();
        assert_eq!(object.texts("a", 2).unwrap(), ["x", "y"]);
        assert!(object.texts("a", 1).is_err());
        assert!(object.items("b", 2).is_err());
        let want = [("x".into(), &b"1"[..]), ("y".into(), b"[2]")];
        assert_eq!(object.entries("b", 2).unwrap(), want);
        assert!(object.entries("b", 1).is_err());
        assert!(object.entries("a", 9).is_err());
        assert!(read(r#"{"a":[1]}"#).unwrap().texts("a", 9).is_err());
    }
}
