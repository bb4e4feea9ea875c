//! Tags filters: a subscriber says by a tree of conditions which publications it wants.
//!
//! A leaf compares the tag `key` with `val` or `vals`; an inner node has an `op` and `nodes`.
//!
//! | `cmp` | true if the tag | without that tag |
//! | --- | --- | --- |
//! | `eq`, `neq` | is, is not `val` | false, true |
//! | `in`, `nin` | is, is not one of `vals` | false, true |
//! | `ex`, `nex` | is there, is not there | false, true |
//! | `sw`, `ew`, `ct` | starts with, ends with, contains `val` | false |
//! | `lt`, `lte`, `gt`, `gte` | is a decimal that compares so with `val` | false |
//!
//! | `op` | true if |
//! | --- | --- |
//! | `and` | all nodes are |
//! | `or` | one of the nodes is |
//! | `not` | its one node is not |
//!
//! A filter is read once, when a client subscribes, and is valid from then on. It holds at most
//! [`NODES`] nodes and [`VALUES`] values of lists, no deeper than [`DEPTH`].
//!
//! ```
//! use lmserver_proto::centrifuge::{Protocol, TagsFilter};
//!
//! let source = br#"{"op":"and","nodes":[
//!     {"key":"lang","cmp":"in","vals":["en","de"]},
//!     {"op":"not","nodes":[{"key":"tokens","cmp":"lt","val":"10"}]}]}"#;
//! let filter = TagsFilter { protocol: Protocol::Json, source }.parse()?;
//!
//! let tag = |name: &str, value: &str| (Box::from(name), Box::from(value));
//! assert!(filter.matches(&[tag("lang", "de"), tag("tokens", "10.5")]));
//! assert!(!filter.matches(&[tag("lang", "de"), tag("tokens", "9")]));
//! # Ok::<(), lmserver_proto::centrifuge::filter::Error>(())
//! ```

use std::cmp::Ordering;

use super::DecodeError;
use super::code::ErrorCode;
use super::command::TagsFilter;
use super::push::Tag;

mod decimal;
mod source;

use self::source::Source;

/// How many nodes a filter may have.
pub const NODES: usize = 128;
/// How many nodes may stand within one another.
pub const DEPTH: usize = 16;
/// How many values all lists of a filter may have together.
pub const VALUES: usize = 512;

/// A valid filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    root: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Leaf { key: Box<str>, test: Test },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equal(Box<str>),
    NotEqual(Box<str>),
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Exists,
    Missing,
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    Number(Relation, Box<str>),
}

/// How a number is to compare with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    fn fits(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Filter {
    /// Whether a publication with these tags is wanted.
    #[must_use]
    pub fn matches(&self, tags: &[Tag]) -> bool {
        self.root.matches(tags)
    }
}

impl Node {
    fn matches(&self, tags: &[Tag]) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
            Self::Leaf { key, test } => {
                let tag = tags.iter().find(|(name, _)| name == key);
                test.holds(tag.map(|(_, value)| &**value))
            }
        }
    }
}

impl Test {
    fn holds(&self, tag: Option<&str>) -> bool {
        let Some(tag) = tag else {
            return matches!(self, Self::NotEqual(_) | Self::NotIn(_) | Self::Missing);
        };
        match self {
            Self::Equal(value) => tag == &**value,
            Self::NotEqual(value) => tag != &**value,
            Self::In(values) => values.iter().any(|value| tag == &**value),
            Self::NotIn(values) => values.iter().all(|value| tag != &**value),
            Self::Exists => true,
            Self::Missing => false,
            Self::StartsWith(value) => tag.starts_with(&**value),
            Self::EndsWith(value) => tag.ends_with(&**value),
            Self::Contains(value) => tag.contains(&**value),
            Self::Number(relation, value) => {
                decimal::compare(tag, value).is_some_and(|ordering| relation.fits(ordering))
            }
        }
    }
}

impl TagsFilter<'_> {
    /// Reads the filter.
    ///
    /// # Errors
    ///
    /// Beyond the bounds, an operator or comparison that is not known, or without what it needs.
    pub fn parse(&self) -> Result<Filter, Error> {
        let mut budget = Budget {
            nodes: NODES,
            values: VALUES,
        };
        let root = build(*self, DEPTH, &mut budget)?;
        Ok(Filter { root })
    }
}

/// What may still come.
struct Budget {
    nodes: usize,
    values: usize,
}

impl Budget {
    fn take(left: &mut usize, count: usize, error: Error) -> Result<(), Error> {
        *left = left.checked_sub(count).ok_or(error)?;
        Ok(())
    }
}

fn build(source: TagsFilter<'_>, depth: usize, budget: &mut Budget) -> Result<Node, Error> {
    let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
    Budget::take(&mut budget.nodes, 1, Error::Nodes)?;
    let source = Source::read(source)?;
    Budget::take(&mut budget.values, source.vals.len(), Error::Values)?;
    if source.op.is_empty() {
        return leaf(&source);
    }
    let mut nodes = Vec::new();
    for node in &source.nodes {
        nodes.push(build(*node, depth, budget)?);
    }
    if nodes.is_empty() {
        return Err(Error::NoNodes);
    }
    match &*source.op {
        "and" => Ok(Node::All(nodes)),
        "or" => Ok(Node::Any(nodes)),
        "not" => match nodes.pop() {
            Some(node) if nodes.is_empty() => Ok(Node::Not(Box::new(node))),
            _ => Err(Error::NotOne),
        },
        _ => Err(Error::Operator),
    }
}

fn leaf(source: &Source<'_>) -> Result<Node, Error> {
    if source.key.is_empty() {
        return Err(Error::NoKey);
    }
    let value = || Box::from(&*source.val);
    let test = match &*source.cmp {
        "eq" => Test::Equal(value()),
        "neq" => Test::NotEqual(value()),
        "in" => Test::In(values(source)?),
        "nin" => Test::NotIn(values(source)?),
        "ex" => Test::Exists,
        "nex" => Test::Missing,
        "sw" => Test::StartsWith(value()),
        "ew" => Test::EndsWith(value()),
        "ct" => Test::Contains(value()),
        "lt" => number(source, Relation::Less)?,
        "lte" => number(source, Relation::LessOrEqual)?,
        "gt" => number(source, Relation::Greater)?,
        "gte" => number(source, Relation::GreaterOrEqual)?,
        _ => return Err(Error::Comparison),
    };
    Ok(Node::Leaf {
        key: Box::from(&*source.key),
        test,
    })
}

fn values(source: &Source<'_>) -> Result<Box<[Box<str>]>, Error> {
    if source.vals.is_empty() {
        return Err(Error::NoValues);
    }
    Ok(source
        .vals
        .iter()
        .map(|value| Box::from(&**value))
        .collect())
}

fn number(source: &Source<'_>, relation: Relation) -> Result<Test, Error> {
    if decimal::compare(&source.val, &source.val).is_none() {
        return Err(Error::NotANumber);
    }
    Ok(Test::Number(relation, Box::from(&*source.val)))
}

/// Why a filter is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a node in its encoding.
    #[error("a node of the filter cannot be read")]
    Unreadable(#[from] DecodeError),
    /// More than [`NODES`] nodes.
    #[error("more than {NODES} nodes in a filter")]
    Nodes,
    /// More than [`DEPTH`] nodes within one another.
    #[error("more than {DEPTH} nodes within one another")]
    Depth,
    /// More than [`VALUES`] values in lists.
    #[error("more than {VALUES} values in a filter")]
    Values,
    /// An `op` that is neither `and` nor `or` nor `not`.
    #[error("unknown operator")]
    Operator,
    /// An inner node without children.
    #[error("an operator without nodes")]
    NoNodes,
    /// A `not` with several children.
    #[error("not takes one node")]
    NotOne,
    /// A `cmp` that is none of those above.
    #[error("unknown comparison")]
    Comparison,
    /// A leaf that does not say which tag.
    #[error("a comparison without a key")]
    NoKey,
    /// An `in` or `nin` without values.
    #[error("a comparison without values")]
    NoValues,
    /// A comparison of numbers with something else.
    #[error("the value to compare with is not a number")]
    NotANumber,
}

impl Error {
    /// What the subscribe command is answered.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::BadRequest
    }
}

#[cfg(test)]
mod tests;
