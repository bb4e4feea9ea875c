//! A table of the configuration with the place of each key.
//!
//! Each getter takes one key: it notes that the key is known, checks the value's type and
//! range, and reports what is wrong with it. At the end [`Section::finish`] reports the keys
//! that nobody took, with the nearest of those that are known. So a section's reader names each
//! key once, and a file's mistakes come out together.
//!
//! ```text
//! let listen = section.string("listen");       // Option<String>: absent, or wrong and reported
//! let page = section.bool("page").unwrap_or(true);
//! section.finish(&mut report);                 // unknown key `pgae` in [server]; did you mean `page`?
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use toml_span::Value;
use toml_span::value::{Key, Table};

use super::environment::Environment;
use super::keys::Keys;
use super::report::{Finding, Place, Report};
use super::source::Source;
use super::value;

mod files;
mod items;
mod plugin;
mod secrets;
mod unsupported;

pub(crate) use items::{Item, Kind};

/// One table of the file, or the empty table of a section that the file does not have.
pub(crate) struct Section<'a> {
    title: String,
    table: Option<&'a Table<'a>>,
    header: Place,
    context: Context<'a>,
    known: BTreeSet<String>,
    report: Report,
}

/// What all sections of a file share.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The file; there is none when nothing but environment and defaults apply.
    pub(crate) source: Option<&'a Source>,
    /// Where `env:NAME` looks.
    pub(crate) environment: &'a Environment,
    /// Whether all of the file could be read.
    pub(crate) is_whole: bool,
}

impl<'a> Section<'a> {
    /// The section `title` that the file does not have.
    pub(crate) fn empty(title: &str, context: Context<'a>) -> Self {
        let header = context.source.map_or(Place::Default, Source::beginning);
        Self {
            title: title.to_owned(),
            table: None,
            header,
            context,
            known: BTreeSet::new(),
            report: Report::default(),
        }
    }

    /// The whole file.
    pub(crate) fn root(value: &'a Value<'a>, context: Context<'a>) -> Self {
        Self {
            table: value.as_table(),
            ..Self::empty("", context)
        }
    }

    /// A section of this file that it does not have.
    pub(crate) fn absent(&self, title: &str) -> Self {
        Self::empty(title, self.context)
    }

    /// The section as one that was opened at `place`.
    pub(crate) fn at(self, place: Place) -> Self {
        Self {
            header: place,
            ..self
        }
    }

    /// Takes a section of this one; one that is absent is empty.
    pub(crate) fn section(&mut self, key: &str) -> Self {
        let title = self.path(key);
        let mut section = Self::empty(&title, self.context);
        if let Some((place, value)) = self.take(key) {
            section.header = place;
            section.table = value.as_table();
            if section.table.is_none() {
                let fix = format!("open it with a line [{title}]");
                self.wrong(key, value, "a section", &fix);
            }
        }
        section
    }

    /// Takes the sections below `key` by name, in the order of the file.
    pub(crate) fn sections(&mut self, key: &str) -> Vec<(String, Self)> {
        let mut parent = self.section(key);
        let Some(table) = parent.table else {
            self.report.merge(std::mem::take(&mut parent.report));
            return Vec::new();
        };
        // There are few: a sort would be more code than it saves time.
        let mut names: Vec<&Key<'_>> = Vec::new();
        for key in table.keys() {
            let at = names.partition_point(|other| other.span.start < key.span.start);
            names.insert(at, key);
        }
        let names: Vec<String> = names.into_iter().map(|key| key.name.to_string()).collect();
        let sections = names
            .into_iter()
            .map(|name| (name.clone(), parent.section(&name)));
        let sections = sections.collect();
        self.report.merge(parent.report);
        sections
    }

    /// Takes a string.
    pub(crate) fn string(&mut self, key: &str) -> Option<String> {
        self.placed_string(key).map(|(_, text)| text)
    }

    /// Takes a string with its place.
    pub(crate) fn placed_string(&mut self, key: &str) -> Option<(Place, String)> {
        let (_, value) = self.take(key)?;
        match value.as_str() {
            Some(text) => Some((self.place_of(value), text.to_owned())),
            None => {
                self.wrong(key, value, "a string", &format!("write {key} = \"…\""));
                None
            }
        }
    }

    /// Takes a string that `parse` understands; its error is (problem, fix).
    pub(crate) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, value::Wrong>,
    ) -> Option<T> {
        let (place, text) = self.placed_string(key)?;
        parse(&text)
            .map_err(|wrong| self.mistake(place, format!("`{key}`: {}", wrong.problem), wrong.fix))
            .ok()
    }

    /// Takes a list of strings with their places.
    pub(crate) fn strings(&mut self, key: &str) -> Option<Vec<(Place, String)>> {
        let (_, value) = self.take(key)?;
        let Some(items) = value.as_array() else {
            self.wrong(
                key,
                value,
                "a list of strings",
                &format!("write {key} = [\"…\"]"),
            );
            return None;
        };
        let mut strings = Vec::with_capacity(items.len());
        for item in items {
            match item.as_str() {
                Some(text) => strings.push((self.place_of(item), text.to_owned())),
                None => self.wrong(key, item, "a string", &format!("write {key} = [\"…\"]")),
            }
        }
        Some(strings)
    }

    /// Takes a boolean.
    pub(crate) fn bool(&mut self, key: &str) -> Option<bool> {
        let (_, value) = self.take(key)?;
        let answer = value.as_bool();
        if answer.is_none() {
            self.wrong(
                key,
                value,
                "true or false",
                &format!("write {key} = true, or {key} = false"),
            );
        }
        answer
    }

    /// Takes a whole number within `least..=most`.
    pub(crate) fn integer(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let (_, value) = self.take(key)?;
        let Some(number) = value.as_integer() else {
            self.wrong(
                key,
                value,
                "a whole number",
                &format!("write {key} = {least}, without quotes"),
            );
            return None;
        };
        self.in_range(key, value, u64::try_from(number).ok(), number, least, most)
    }

    /// Takes a size in bytes within `least..=most`: an integer or a string like `"16MiB"`.
    pub(crate) fn size(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let (_, value) = self.take(key)?;
        if let Some(number) = value.as_integer() {
            return self.in_range(key, value, u64::try_from(number).ok(), number, least, most);
        }
        let Some(text) = value.as_str() else {
            let fix = format!("write {key} = \"16MiB\", or the number of bytes");
            self.wrong(key, value, "a size", &fix);
            return None;
        };
        match value::size(text) {
            Ok(bytes) => self.in_range(key, value, Some(bytes), text, least, most),
            Err(wrong) => {
                let place = self.place_of(value);
                self.mistake(place, format!("`{key}`: {}", wrong.problem), wrong.fix);
                None
            }
        }
    }

    /// Takes a duration like `"500ms"`; zero is a mistake.
    pub(crate) fn duration(&mut self, key: &str) -> Option<Duration> {
        let (_, value) = self.take(key)?;
        let place = self.place_of(value);
        if let Some(number) = value.as_integer() {
            let fix = format!("write {key} = \"{number}s\"");
            self.wrong(key, value, "a duration with its unit", &fix);
            return None;
        }
        let Some(text) = value.as_str() else {
            self.wrong(key, value, "a duration", &format!("write {key} = \"10s\""));
            return None;
        };
        match value::duration(text) {
            Ok(duration) => Some(duration),
            Err(wrong) => {
                self.mistake(place, format!("`{key}`: {}", wrong.problem), wrong.fix);
                None
            }
        }
    }

    /// Takes a duration, or `true` for none at all and `false` for one without end.
    pub(crate) fn patience(&mut self, key: &str) -> Option<Duration> {
        let value = self.table.and_then(|table| table.get(key));
        if value.is_some_and(|value| value.as_bool().is_some()) {
            let at_once = self.bool(key)?;
            return Some(if at_once {
                Duration::ZERO
            } else {
                Duration::MAX
            });
        }
        self.duration(key)
    }

    /// Notes that a key is known whose value something of higher precedence replaces.
    pub(crate) fn note(&mut self, key: &str) {
        self.known.insert(key.to_owned());
    }

    /// Adds a mistake about this section.
    pub(crate) fn mistake(
        &mut self,
        place: Place,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) {
        self.report.add(Finding::mistake(place, problem, fix));
    }

    /// Adds a mistake at the key, or at the section's header where the key is absent.
    pub(crate) fn mistake_at(
        &mut self,
        key: &str,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) {
        let place = self.place(key);
        self.mistake(place, problem, fix);
    }

    /// Adds a warning at the key, or at the section's header where the key is absent.
    pub(crate) fn warning_at(
        &mut self,
        key: &str,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) {
        let place = self.place(key);
        self.report.add(Finding::warning(place, problem, fix));
    }

    /// Whether this section has mistakes so far.
    pub(crate) fn has_mistakes(&self) -> bool {
        self.report.has_mistakes()
    }

    /// The place of the key's value, or of the section's header where the key is absent.
    pub(crate) fn place(&self, key: &str) -> Place {
        let value = self.table.and_then(|table| table.get(key));
        value.map_or_else(|| self.header.clone(), |value| self.place_of(value))
    }

    /// The place of the section's header.
    pub(crate) fn header(&self) -> &Place {
        &self.header
    }

    /// The section's name as it stands in brackets.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Whether the file has the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether the file has the section.
    pub(crate) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether all of the file could be read. If not, what is missing is no mistake of its own.
    pub(crate) fn is_whole(&self) -> bool {
        self.context.is_whole
    }

    /// Hands over what was found without looking for unknown keys.
    pub(crate) fn finish_open(self, keys: &mut Keys, report: &mut Report) {
        keys.note(&self.title, self.known);
        report.merge(self.report);
    }

    /// Hands over what was found, with the keys that nobody took.
    pub(crate) fn finish(mut self, keys: &mut Keys, report: &mut Report) {
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            if !self.known.contains(&*key.name) {
                let place = self.place_at(key.span.start);
                keys.miss(place, &self.title, &key.name);
            }
        }
        keys.note(&self.title, std::mem::take(&mut self.known));
        report.merge(self.report);
    }

    fn directory(&self) -> &'a Path {
        self.context
            .source
            .map_or_else(|| Path::new("."), Source::directory)
    }

    fn take(&mut self, key: &str) -> Option<(Place, &'a Value<'a>)> {
        self.note(key);
        let (key, value) = self.table?.get_key_value(key)?;
        Some((self.place_at(key.span.start), value))
    }

    fn in_range(
        &mut self,
        key: &str,
        value: &Value<'_>,
        number: Option<u64>,
        written: impl std::fmt::Display,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let good = number.filter(|number| (least..=most).contains(number));
        if good.is_none() {
            let place = self.place_of(value);
            let problem = format!("`{key}`: {written} is out of range");
            let fix = match most {
                0..=MOST_TO_NAME => format!("write a value from {least} to {most}"),
                _ => format!("write at least {least}"),
            };
            self.mistake(place, problem, fix);
        }
        good
    }

    /// Reports a value of the wrong type. Its text is not shown: it may be a secret.
    fn wrong(&mut self, key: &str, value: &Value<'_>, wanted: &str, fix: &str) {
        let place = self.place_of(value);
        let found = value.as_ref().type_str();
        self.mistake(
            place,
            format!("`{key}`: expected {wanted}, found {}", article(found)),
            fix.to_owned(),
        );
    }

    fn place_of(&self, value: &Value<'_>) -> Place {
        self.place_at(value.span.start)
    }

    fn place_at(&self, offset: usize) -> Place {
        self.context
            .source
            .map_or(Place::Default, |source| source.place(offset))
    }

    fn path(&self, key: &str) -> String {
        if self.title.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.title)
        }
    }
}

/// The system's words without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let reason = text
        .split_once(" (os error")
        .map(|(reason, _)| reason.to_owned());
    reason.unwrap_or(text)
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// Above it, an upper bound is the machine's and says nothing to a person.
const MOST_TO_NAME: u64 = 1 << 32;
