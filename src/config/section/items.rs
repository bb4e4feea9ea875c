//! Lists whose items are of several kinds.

use toml_span::Value;

use super::{Context, Section, article};
use crate::config::report::Place;
use crate::config::source::Source;

/// One item of a list.
pub(crate) struct Item<'a> {
    value: &'a Value<'a>,
    title: String,
    context: Context<'a>,
}

/// What an item is.
pub(crate) enum Kind<'a> {
    /// A string.
    Text(&'a str),
    /// A list of its own.
    List(Vec<Item<'a>>),
    /// A table, as the section of this list.
    Table(Section<'a>),
    /// Something else, as a noun with its article.
    Other(String),
}

impl<'a> Section<'a> {
    /// Takes a list of items, whatever they are. What is no list is `wanted`, as `form` shows.
    pub(crate) fn items(&mut self, key: &str, wanted: &str, form: &str) -> Option<Vec<Item<'a>>> {
        let (_, value) = self.take(key)?;
        let item = Item {
            value,
            title: self.path(key),
            context: self.context,
        };
        let Kind::List(items) = item.kind() else {
            self.wrong(key, value, wanted, form);
            return None;
        };
        Some(items)
    }
}

impl<'a> Item<'a> {
    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        let source = self.context.source;
        source.map_or(Place::Default, |source: &Source| {
            source.place(self.value.span.start)
        })
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind<'a> {
        let (title, context) = (&self.title, self.context);
        if let Some(text) = self.value.as_str() {
            return Kind::Text(text);
        }
        if let Some(items) = self.value.as_array() {
            let items = items.iter().map(|value| Self {
                value,
                title: title.clone(),
                context,
            });
            return Kind::List(items.collect());
        }
        if let Some(table) = self.value.as_table() {
            return Kind::Table(Section {
                table: Some(table),
                ..Section::empty(title, context).at(self.place())
            });
        }
        Kind::Other(article(self.value.as_ref().type_str()))
    }
}
