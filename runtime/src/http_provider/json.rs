//! JSON as servers really send it: lone surrogates, numbers as strings, errors that say nothing.
//!
//! Strings are read as bytes: a lone surrogate escape (`"\ud83d"`, as UTF-16 gateways cut emoji)
//! becomes U+FFFD, where a strict reader would give up the whole document.

use std::borrow::Cow;
use std::fmt;

pub use lmserver_proto::json::scan::Scanner;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::{Map, Value};

/// A JSON string in a typed reader: borrowed where it has no escapes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(lossy(bytes)),
        })
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(bytes.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(lossy(bytes))))
    }
}

/// Reads any JSON document, lone surrogates and malformed UTF-8 replaced.
#[must_use]
pub fn value(data: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice(data) {
        return Some(value);
    }
    serde_json::from_str(&without_lone_surrogates(&lossy(data))).ok()
}

/// Text of bytes that should be UTF-8: a surrogate, and whatever else is malformed, is U+FFFD.
#[must_use]
pub fn lossy(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    loop {
        let error = match std::str::from_utf8(bytes) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => error,
        };
        let (valid, malformed) = bytes
            .split_at_checked(error.valid_up_to())
            .unwrap_or((&[], bytes));
        text.push_str(std::str::from_utf8(valid).unwrap_or_default());
        text.push(char::REPLACEMENT_CHARACTER);
        let skipped = match malformed {
            // A surrogate in three bytes, as the JSON reader leaves it.
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            _ => error.error_len().unwrap_or(malformed.len()),
        };
        bytes = malformed.get(skipped..).unwrap_or_default();
    }
}

/// A string, or a number as its digits.
#[must_use]
pub fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A count, also one written as a float or as a string.
#[must_use]
pub fn count(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    value.as_u64().or_else(|| {
        let number = value
            .as_f64()
            .filter(|number| (0.0..9.0e15).contains(number))?;
        format!("{number:.0}").parse().ok()
    })
}

/// What a document may hold.
#[derive(Debug)]
pub enum Shape {
    /// A string, or a number, which becomes one.
    Text,
    /// True or false.
    Flag,
    /// What [`count`] reads.
    Count,
    /// Anything.
    Any,
    /// An array, each of whose elements has a shape.
    List(&'static Self),
    /// An object; other keys may hold what they like.
    Object(&'static [(&'static str, Self)]),
}

/// JSON that a typed reader has refused, for its second try: lone surrogates, malformed UTF-8 and
/// keys given twice are mended, and what has not its `shape` is taken out. None: it is no JSON.
#[must_use]
pub fn mended(data: &[u8], shape: &Shape) -> Option<String> {
    let mut document = value(data)?;
    fit(&mut document, shape);
    Some(document.to_string())
}

/// Takes out of a document what has not its shape, so that a typed reader takes the rest. False:
/// the document itself has not.
fn fit(value: &mut Value, shape: &Shape) -> bool {
    match (shape, value) {
        (Shape::Any, _) | (Shape::Text, Value::String(_)) | (Shape::Flag, Value::Bool(_)) => true,
        (Shape::Text, value) => match text(Some(value)) {
            Some(text) => {
                *value = text.into();
                true
            }
            None => false,
        },
        (Shape::Count, value) => match count(Some(value)) {
            Some(count) => {
                *value = count.into();
                true
            }
            None => false,
        },
        (Shape::List(shape), Value::Array(list)) => {
            list.retain_mut(|each| fit(each, shape));
            true
        }
        (Shape::Object(keys), Value::Object(object)) => {
            for (key, shape) in *keys {
                if object.get_mut(*key).is_some_and(|each| !fit(each, shape)) {
                    object.remove(*key);
                }
            }
            true
        }
        (Shape::Flag | Shape::List(_) | Shape::Object(_), _) => false,
    }
}

/// True for an `error` that says something: some servers send an empty one with every chunk.
#[must_use]
pub fn says_something(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// The string at a JSON pointer (RFC 6901); empty if there is none.
#[must_use]
pub fn str_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Lays `extra` over `body`: objects are merged, `null` takes a key out, all else replaces.
pub fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        match (body.get_mut(name), value) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => merge(ours, theirs),
            (_, Value::Null) => {
                body.remove(name);
            }
            (_, value) => {
                body.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Puts an entry into an object, in place of one that is there.
///
/// What an insertion needs, a key of its own and the end of the value before, is here once.
pub fn put(object: &mut Map<String, Value>, key: &str, value: Value) {
    object.insert(key.to_owned(), value);
}

/// Puts those entries into an object that there are, and takes them.
pub fn put_present(object: &mut Map<String, Value>, entries: &mut [(&str, Option<Value>)]) {
    for (key, value) in entries {
        if let Some(value) = value.take() {
            put(object, key, value);
        }
    }
}

/// An object of these entries; [`object!`](crate::object) writes them as JSON does.
#[must_use]
pub fn object<const N: usize>(mut entries: [(&str, Value); N]) -> Value {
    taken(&mut entries)
}

/// One function for all lengths, as a serializer for each place would be large.
fn taken(entries: &mut [(&str, Value)]) -> Value {
    let mut object = Map::new();
    for (key, value) in entries {
        put(&mut object, key, value.take());
    }
    Value::Object(object)
}

/// A JSON object: `object! {"type": "text", "text": text}`, of what a [`Value`] can be made from.
///
/// It does for objects what `serde_json::json!` does, in a third of the code.
#[macro_export]
macro_rules! object {
    ($($key:literal : $value:expr),* $(,)?) => {
        $crate::http_provider::json::object([$(($key, ::serde_json::Value::from($value))),*])
    };
}

/// Replaces every `\uD800` to `\uDFFF` escape without its other half by `\uFFFD`.
fn without_lone_surrogates(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let taken = match (unit(escape, 0), unit(escape, 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\uFFFD");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            // Any other escape: the backslash and the character behind it.
            _ => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escape, after) = escape.split_at_checked(taken).unwrap_or((escape, ""));
        out.push_str(escape);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The UTF-16 unit that an escape at `at` stands for.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, want) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\uFFFD""#),
            (r#""\ude00\ud83d""#, r#""\uFFFD\uFFFD""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud83d\n""#, r#""\uFFFD\n""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\uFFFD\ud83d\ude00""#),
            ("\\", "\\"),
            ("\\é", "\\é"),
        ] {
            assert_eq!(without_lone_surrogates(json), want, "{json}");
        }
    }

    #[test]
    fn counts_come_in_many_forms() {
        for (json, want) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("\"7\"", Some(7)),
            ("null", None),
            ("-1", None),
            ("1e300", None),
            ("{}", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(count(Some(&value)), want, "{json}");
        }
    }

    #[test]
    fn a_plain_string_is_borrowed_and_a_broken_one_mended() {
        for (json, want, is_borrowed) in [
            (&b"\"abc\""[..], "abc", true),
            (br#""a\nb""#, "a\nb", false),
            (br#""\ud83dx""#, "\u{FFFD}x", false),
            (b"\"a\xFFb\"", "a\u{FFFD}b", false),
        ] {
            let text: Text<'_> = serde_json::from_slice(json).unwrap();
            assert_eq!(&*text, want);
            assert_eq!(matches!(text.0, Cow::Borrowed(_)), is_borrowed, "{want}");
        }
        assert!(serde_json::from_slice::<Text<'_>>(b"7").is_err());
    }

    #[test]
    fn an_object_is_written_as_in_json() {
        let inner = object! {"c": Some("d"), "e": None::<u64>, "f": vec![1, 2]};
        let object = object! {"a": true, "b": inner, "a b": String::from("x")};
        let want = r#"{"a":true,"a b":"x","b":{"c":"d","e":null,"f":[1,2]}}"#;
        assert_eq!(object.to_string(), want);
        assert_eq!(object! {}.to_string(), "{}");
    }

    #[test]
    fn what_is_put_replaces_and_what_is_absent_leaves_all_as_it_was() {
        let mut object = Map::new();
        put(&mut object, "a", 1.into());
        put_present(
            &mut object,
            &mut [("a", None), ("b", Some(2.into())), ("b", Some(3.into()))],
        );
        assert_eq!(Value::Object(object).to_string(), r#"{"a":1,"b":3}"#);
    }

    #[test]
    fn what_is_merged_replaces_but_objects_grow() {
        let mut body = serde_json::json!({"a": {"b": 1, "c": 2}, "d": 3, "e": [4]});
        let extra = serde_json::json!({"a": {"c": 5}, "d": null, "e": [], "f": {"g": null}});
        let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) else {
            panic!("objects")
        };
        merge(body, extra);
        let want = serde_json::json!({"a": {"b": 1, "c": 5}, "e": [], "f": {"g": null}});
        assert_eq!(Value::Object(body.clone()), want);
    }
}
