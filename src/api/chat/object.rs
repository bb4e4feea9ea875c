//! Reading a JSON object key by key: each has a type, and none may be left over.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::api::refusal::{Refusal, clip};
use crate::config::nearest;

/// A JSON object whose keys are taken one by one. `null` is as good as absent.
pub(super) struct Object {
    entries: Vec<(String, Value)>,
    /// Where it stands in the document: empty or `messages[2].`.
    place: String,
}

impl Object {
    /// Reads a document that must be an object.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Err(Refusal::invalid(format!("the body is empty: {EXAMPLE}")));
        }
        let text = std::str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            Refusal::invalid(format!("the body is not UTF-8 at byte {at}: JSON must be"))
        })?;
        // RFC 8259 §8.1: a byte order mark may be ignored.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Entries(entries) = serde_json::from_str(text).map_err(|error| {
            let what = if error.is_data() {
                "the wrong JSON"
            } else {
                "no valid JSON"
            };
            let error = error.to_string();
            Refusal::invalid(format!("the body is {what}: {}; {EXAMPLE}", clip(&error)))
        })?;
        Ok(Self {
            entries,
            place: String::new(),
        })
    }

    /// Takes an object that is part of a document.
    pub(super) fn part(object: Map<String, Value>, place: String) -> Self {
        Self {
            entries: object.into_iter().collect(),
            place,
        }
    }

    /// Refuses keys that are none of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let unknown = self
            .entries
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()));
        let Some((key, _)) = unknown else {
            return Ok(());
        };
        let right = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known are {}", known.join(", ")),
        };
        let key = clip(key);
        Err(Refusal::invalid(format!(
            "unknown key \"{}{}\": {right}",
            self.place,
            key.escape_debug()
        )))
    }

    /// Whether the key is there, be it null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(other, _)| other == key)
    }

    /// Takes a value of any type.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        let (_, value) = self.entries.iter_mut().find(|(other, _)| other == key)?;
        Some(value.take()).filter(|value| !value.is_null())
    }

    /// Takes a string.
    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes a string that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        match self.string(key)? {
            Some(text) if text.is_empty() => Err(self.wrong(key, "a string that is not empty")),
            text => Ok(text),
        }
    }

    /// Takes a number within a range.
    pub(super) fn number(
        &mut self,
        key: &str,
        least: f64,
        most: f64,
        want: &str,
    ) -> Result<Option<f64>, Refusal> {
        self.typed(key, want, |value| match value.as_f64() {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(value),
        })
    }

    /// Takes a whole number, written as one.
    pub(super) fn integer(&mut self, key: &str, want: &str) -> Result<Option<Number>, Refusal> {
        self.typed(key, want, |value| match value {
            Value::Number(number) if !number.is_f64() => Ok(number),
            other => Err(other),
        })
    }

    /// Takes an array.
    pub(super) fn array(&mut self, key: &str, want: &str) -> Result<Option<Vec<Value>>, Refusal> {
        self.typed(key, want, |value| match value {
            Value::Array(items) => Ok(items),
            other => Err(other),
        })
    }

    /// Takes an object.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        self.typed(key, "an object", |value| match value {
            Value::Object(object) => Ok(object),
            other => Err(other),
        })
    }

    /// Takes a value that `read` makes of it; `want` says what it must be.
    pub(super) fn typed<T>(
        &mut self,
        key: &str,
        want: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        read(value).map(Some).map_err(|value| {
            Refusal::invalid(format!(
                "\"{}{key}\" must be {want}, not {}",
                self.place,
                kind(&value)
            ))
        })
    }

    /// The refusal of a value.
    pub(super) fn wrong(&self, key: &str, want: &str) -> Refusal {
        Refusal::invalid(format!("\"{}{key}\" must be {want}", self.place))
    }

    /// The place of an item of an array under a key.
    pub(super) fn item(&self, key: &str, index: usize) -> String {
        [&self.place, key, "[", &index.to_string(), "]"].concat()
    }
}

/// What a value is, for a person.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// The entries of an object in their order, each key once.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries: Vec<(String, Value)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if entries.len() >= KEYS_MAX {
                        return Err(A::Error::custom(format!("more than {KEYS_MAX} keys")));
                    }
                    if entries.iter().any(|(other, _)| *other == key) {
                        let message = format!("the key {:?} stands there twice", clip(&key));
                        return Err(A::Error::custom(message));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Keys of a document, far more than are known; finding one is linear.
const KEYS_MAX: usize = 64;

/// What would be right.
const EXAMPLE: &str = r#"send JSON such as {"message":"Hello"}"#;
