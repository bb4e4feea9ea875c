//! One node of a filter as it stands on the wire. Its children are left unread, so that counting
//! comes before building.

use std::borrow::Cow;

use super::{NODES, VALUES};
use crate::centrifuge::Protocol;
use crate::centrifuge::command::TagsFilter;
use crate::centrifuge::command::json::{self, text};
use crate::centrifuge::decode::DecodeError;
use crate::centrifuge::protobuf::Fields;

/// One node, its lists no longer than all lists of a filter may be.
#[derive(Default)]
pub(super) struct Source<'a> {
    pub(super) op: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) cmp: Cow<'a, str>,
    pub(super) val: Cow<'a, str>,
    pub(super) vals: Vec<Cow<'a, str>>,
    pub(super) nodes: Vec<TagsFilter<'a>>,
}

impl<'a> Source<'a> {
    /// Reads a node in the encoding that it came in.
    pub(super) fn read(filter: TagsFilter<'a>) -> Result<Self, DecodeError> {
        match filter.protocol {
            Protocol::Json => Self::from_json(filter.source),
            Protocol::Protobuf => Self::from_protobuf(filter.source),
        }
    }

    fn from_json(source: &'a [u8]) -> Result<Self, DecodeError> {
        let object = json::read(source, &["op", "key", "cmp", "val", "vals", "nodes"])?;
        let nodes = object.items("nodes", NODES)?.into_iter();
        Ok(Self {
            op: text(&object, "op")?,
            key: text(&object, "key")?,
            cmp: text(&object, "cmp")?,
            val: text(&object, "val")?,
            vals: json::texts(&object, "vals", VALUES)?,
            nodes: nodes
                .map(|source| TagsFilter {
                    protocol: Protocol::Json,
                    source,
                })
                .collect(),
        })
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
