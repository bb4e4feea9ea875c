//! Reading a JSON object key by key: each has a type, and a mistake names it.

use serde_json::{Map, Number, Value};

use crate::dialect::Mistake;

/// A JSON object whose keys are taken one by one. `null` is as good as absent.
pub(crate) struct Object {
    entries: Map<String, Value>,
    /// Where it stands in the document: empty or `messages[2].`.
    place: String,
}

impl Object {
    /// Reads a document that must be an object.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Mistake> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(entries)) => Ok(Self {
                entries,
                place: String::new(),
            }),
            Ok(other) => Err(Mistake::new(format!(
                "the body must be a JSON object, not {}",
                kind(&other)
            ))),
            Err(error) => Err(Mistake::new(format!("the body is no valid JSON: {error}"))),
        }
    }

    /// Takes the entries of a document.
    pub(crate) fn whole(entries: Map<String, Value>) -> Self {
        Self {
            entries,
            place: String::new(),
        }
    }

    /// Takes a value of a document that must be an object.
    pub(crate) fn part(value: Value, place: &str) -> Result<Self, Mistake> {
        match value {
            Value::Object(entries) => Ok(Self {
                entries,
                place: [place, "."].concat(),
            }),
            other => Err(Mistake::at(
                place,
                format!("\"{place}\" must be an object, not {}", kind(&other)),
            )),
        }
    }

    /// Takes a value of any type.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a string.
    pub(crate) fn string(&mut self, key: &str) -> Result<Option<String>, Mistake> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes a string that is not empty and at most 256 bytes long.
    pub(crate) fn word(&mut self, key: &str) -> Result<Option<String>, Mistake> {
        let want = "a string of 1 to 256 bytes";
        self.typed(key, want, |value| match value {
            Value::String(text) if (1..=WORD_MAX).contains(&text.len()) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes a truth value.
    pub(crate) fn bool(&mut self, key: &str) -> Result<Option<bool>, Mistake> {
        self.typed(key, "a boolean", |value| value.as_bool().ok_or(value))
    }

    /// Takes a number of at least 0.
    pub(crate) fn number(&mut self, key: &str, most: f64) -> Result<Option<f64>, Mistake> {
        if !self.has(key) {
            return Ok(None);
        }
        let want = if most < f64::MAX {
            format!("a number from 0 to {most}")
        } else {
            "a number of at least 0".to_owned()
        };
        self.typed(key, &want, |value| match value.as_f64() {
            Some(number) if (0.0..=most).contains(&number) => Ok(number),
            _ => Err(value),
        })
    }

    /// Takes a whole number, written as one.
    pub(crate) fn integer(&mut self, key: &str) -> Result<Option<Number>, Mistake> {
        self.typed(key, "an integer", |value| match value {
            Value::Number(number) if !number.is_f64() => Ok(number),
            other => Err(other),
        })
    }

    /// Takes a whole number of at least 1.
    pub(crate) fn count(&mut self, key: &str, most: u64) -> Result<Option<u64>, Mistake> {
        if !self.has(key) {
            return Ok(None);
        }
        let want = match most {
            u64::MAX => "an integer of at least 1".to_owned(),
            _ => format!("an integer from 1 to {most}"),
        };
        self.typed(key, &want, |value| match value.as_u64() {
            Some(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(value),
        })
    }

    /// Takes an array.
    pub(crate) fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>, Mistake> {
        self.typed(key, "an array", |value| match value {
            Value::Array(items) => Ok(items),
            other => Err(other),
        })
    }

    /// Takes an object.
    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Mistake> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        Self::part(value, &[&self.place, key].concat()).map(Some)
    }

    /// Takes an object with a string `type`.
    pub(crate) fn variant(&mut self, key: &str) -> Result<Option<Value>, Mistake> {
        self.typed(
            key,
            "an object with a string \"type\"",
            |value| match type_of(&value) {
                "" => Err(value),
                _ => Ok(value),
            },
        )
    }

    /// Takes a value that `read` makes of it; `want` says what it must be.
    pub(crate) fn typed<T>(
        &mut self,
        key: &str,
        want: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, Mistake> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        read(value).map(Some).map_err(|value| {
            let is = kind(&value);
            self.wrong(key, &format!("{want}, not {is}"))
        })
    }

    /// The mistake in a value.
    pub(crate) fn wrong(&self, key: &str, want: &str) -> Mistake {
        let param = format!("{}{key}", self.place);
        let message = format!("\"{param}\" must be {want}");
        Mistake::at(param, message)
    }

    /// The place of an item of an array under a key.
    pub(crate) fn item(&self, key: &str, index: usize) -> String {
        [&self.place, key, "[", &index.to_string(), "]"].concat()
    }

    /// A value that stays where it is.
    pub(crate) fn peek(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// Is the key there, and not null?
    pub(crate) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    /// What was not taken. Nulls are left out: they say that a key is absent.
    pub(crate) fn rest(self) -> Map<String, Value> {
        let mut entries = self.entries;
        entries.retain(|_, value| !value.is_null());
        entries
    }
}

/// The `type` of an object; empty where there is none.
pub(crate) fn type_of(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or("")
}

/// The beginning of a client's text, short enough to be repeated in a message.
pub(crate) fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(CLIP)).unwrap_or(text)
}

/// What a value is, for a person.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.len() < 40 => format!("{text:?}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Bytes of a client's text that a message repeats.
const CLIP: usize = 100;

/// Bytes of a word, such as a model's name.
const WORD_MAX: usize = 256;
