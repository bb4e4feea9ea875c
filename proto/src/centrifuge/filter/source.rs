//! One node of a filter as it stands on the wire. Its children are left unread, so that counting
//! comes before building.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{NODES, VALUES};
use crate::centrifuge::Protocol;
use crate::centrifuge::command::{TagsFilter, json};
use crate::centrifuge::decode::DecodeError;
use crate::centrifuge::protobuf::Fields;

/// One node, its lists no longer than all lists of a filter may be.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Source<'a> {
    #[serde(borrow, deserialize_with = "json::text")]
    pub(super) op: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "json::text")]
    pub(super) key: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "json::text")]
    pub(super) cmp: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "json::text")]
    pub(super) val: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "values")]
    pub(super) vals: Vec<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "nodes")]
    pub(super) nodes: Vec<TagsFilter<'a>>,
}

impl<'a> Source<'a> {
    /// Reads a node in the encoding that it came in.
    pub(super) fn read(filter: TagsFilter<'a>) -> Result<Self, DecodeError> {
        match filter.protocol {
            Protocol::Json => json::object(filter.source),
            Protocol::Protobuf => Self::from_protobuf(filter.source),
        }
    }

    fn from_protobuf(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut node = Self::default();
        for field in Fields::of(message) {
            let field = field?;
            match field.number {
                1 => node.op = field.text()?,
                2 => node.key = field.text()?,
                3 => node.cmp = field.text()?,
                4 => node.val = field.text()?,
                5 => push(&mut node.vals, field.text()?, VALUES, "values")?,
                6 => {
                    let child = TagsFilter {
                        protocol: Protocol::Protobuf,
                        source: field.bytes()?,
                    };
                    push(&mut node.nodes, child, NODES, "nodes")?;
                }
                _ => {}
            }
        }
        Ok(node)
    }
}

fn push<T>(
    list: &mut Vec<T>,
    item: T,
    limit: usize,
    what: &'static str,
) -> Result<(), DecodeError> {
    if list.len() >= limit {
        return Err(DecodeError::TooMany { what, limit });
    }
    list.push(item);
    Ok(())
}

fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cow<'de, str>>, D::Error> {
    list(VALUES, |json::Text(text)| text, deserializer)
}

fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TagsFilter<'de>>, D::Error> {
    let unread = |source: &'de RawValue| TagsFilter {
        protocol: Protocol::Json,
        source: source.get().as_bytes(),
    };
    list(NODES, unread, deserializer)
}

/// The items of an array, each turned into what is kept of it.
fn list<'de, D, T, K>(limit: usize, keep: fn(T) -> K, deserializer: D) -> Result<Vec<K>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Items<T, K> {
        limit: usize,
        keep: fn(T) -> K,
        item: PhantomData<T>,
    }

    impl<'de, T: Deserialize<'de>, K> Visitor<'de> for Items<T, K> {
        type Value = Vec<K>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an array of at most {} items", self.limit)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<K>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == self.limit {
                    return Err(A::Error::invalid_length(self.limit + 1, &self));
                }
                list.push((self.keep)(item));
            }
            Ok(list)
        }

        fn visit_unit<E>(self) -> Result<Vec<K>, E> {
            Ok(Vec::new())
        }
    }

    deserializer.deserialize_any(Items {
        limit,
        keep,
        item: PhantomData,
    })
}
