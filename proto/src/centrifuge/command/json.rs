//! How fields are read from JSON: strings borrowed where they have no escapes, payloads as their
//! text, `null` as if the key were not there, objects only where objects belong.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{HEADERS, Headers, SUBSCRIPTIONS, SubscribeRequest, Subscriptions, TagsFilter};
use crate::centrifuge::Protocol;
use crate::centrifuge::decode::DecodeError;

/// Reads a message that stands alone.
pub(in crate::centrifuge) fn object<'a, T: Deserialize<'a>>(
    text: &'a [u8],
) -> Result<T, DecodeError> {
    match text.trim_ascii_start() {
        b"" => Err(DecodeError::Empty),
        // Derived messages would take an array of their fields as well.
        [b'{', ..] => Ok(serde_json::from_slice(text)?),
        _ => Err(DecodeError::NotAnObject),
    }
}

/// A message within another one.
pub(super) fn message<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Message<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Message<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }

        fn visit_unit<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Message(PhantomData))
}

/// A number or a flag.
pub(super) fn scalar<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A string.
pub(in crate::centrifuge) fn text<'de, D>(deserializer: D) -> Result<Cow<'de, str>, D::Error>
where
    D: Deserializer<'de>,
{
    Text::deserialize(deserializer).map(|text| text.0)
}

/// A string, as its bytes.
pub(in crate::centrifuge) fn text_bytes<'de, D>(deserializer: D) -> Result<Cow<'de, [u8]>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(match text(deserializer)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// A string, also within an `Option` or a list, where serde's own would not be borrowed.
pub(in crate::centrifuge) struct Text<'a>(pub(in crate::centrifuge) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsText;

        impl<'de> Visitor<'de> for AsText {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(""))
            }
        }

        deserializer.deserialize_any(AsText).map(Self)
    }
}

/// A payload: any value, `null` included, as its text.
pub(super) fn payload<'de, D>(deserializer: D) -> Result<&'de [u8], D::Error>
where
    D: Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(|value| value.get().as_bytes())
}

/// A tags filter, which is read later.
pub(super) fn tags_filter<'de, D>(deserializer: D) -> Result<Option<TagsFilter<'de>>, D::Error>
where
    D: Deserializer<'de>,
{
    let source = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(source.map(|source| TagsFilter {
        protocol: Protocol::Json,
        source: source.get().as_bytes(),
    }))
}

/// The positions of subscriptions, at most [`SUBSCRIPTIONS`].
pub(super) fn subscriptions<'de, D>(deserializer: D) -> Result<Subscriptions<'de>, D::Error>
where
    D: Deserializer<'de>,
{
    let entries = entries::<_, Inner<SubscribeRequest<'de>>>(SUBSCRIPTIONS, deserializer)?;
    Ok(entries
        .into_iter()
        .map(|(channel, request)| (channel, request.0))
        .collect())
}

/// The emulated headers, at most [`HEADERS`].
pub(super) fn headers<'de, D>(deserializer: D) -> Result<Headers<'de>, D::Error>
where
    D: Deserializer<'de>,
{
    let entries = entries::<_, Text<'de>>(HEADERS, deserializer)?;
    Ok(entries
        .into_iter()
        .map(|(name, value)| (name, value.0))
        .collect())
}

/// A message as the value of a map, empty where it is `null`.
struct Inner<T>(T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Inner<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        message(deserializer).map(|message| Self(message.unwrap_or_default()))
    }
}

/// The entries of a map, in order.
fn entries<'de, D, V>(limit: usize, deserializer: D) -> Result<Vec<(Cow<'de, str>, V)>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Entries<V> {
        limit: usize,
        value: PhantomData<V>,
    }

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
        type Value = Vec<(Cow<'de, str>, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an object of at most {} entries", self.limit)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some((Text(key), value)) = map.next_entry()? {
                if entries.len() == self.limit {
                    return Err(A::Error::invalid_length(self.limit + 1, &self));
                }
                entries.push((key, value));
            }
            Ok(entries)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
    }

    deserializer.deserialize_any(Entries {
        limit,
        value: PhantomData,
    })
}
