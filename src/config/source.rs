//! The text of a configuration file: where each byte of it stands, and its tables.
//!
//! The TOML reader stops at its first error. So that a person need not correct a file error by
//! error, what could not be read is blanked and the rest is read again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml_span::value::{Table, ValueInner};
use toml_span::{ErrorKind, Span, Value};

use super::report::{Finding, Place, Report};
use super::section::reason;

/// A file's text with its name.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: Arc<str>,
    text: String,
    directory: PathBuf,
}

impl Source {
    /// Takes a text as the file `name`; relative paths in it are relative to `directory`.
    pub(crate) fn new(name: &str, text: String, directory: &Path) -> Self {
        Self {
            name: name.into(),
            text,
            directory: directory.to_owned(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The finding that says why it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, Finding> {
        let name: Arc<str> = path.to_string_lossy().into();
        let mistake = |problem: String, fix: &'static str| {
            Finding::mistake(Place::WholeFile(name.clone()), problem, fix)
        };
        let fix = "name a readable TOML file with --config or LMSERVER_CONFIG";
        let size = std::fs::metadata(path)
            .map_err(|e| {
                mistake(
                    format!("cannot read the configuration: {}", reason(&e)),
                    fix,
                )
            })?
            .len();
        if size > LARGEST_FILE {
            let problem = format!("the file has {size} bytes, the limit is {LARGEST_FILE}");
            return Err(mistake(problem, fix));
        }
        let bytes = std::fs::read(path).map_err(|e| {
            mistake(
                format!("cannot read the configuration: {}", reason(&e)),
                fix,
            )
        })?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            mistake(format!("byte {at} is not UTF-8"), "save the file as UTF-8")
        })?;
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        Ok(Self {
            name: name.clone(),
            text,
            directory: directory.to_owned(),
        })
    }

    /// The folder that paths in the file are relative to.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The place of the byte at `offset`. A string's opening quote belongs to its value.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let before = before.strip_suffix(['"', '\'']).unwrap_or(before);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).map_or(0, |text| text.chars().count()) + 1;
        Place::File {
            name: self.name.clone(),
            line,
            column,
        }
    }

    /// The place of the file's beginning.
    pub(crate) fn beginning(&self) -> Place {
        self.place(0)
    }

    /// Reads the tables; `parse` is given them with whether all of the text is in them.
    ///
    /// What does not read as TOML is added to `report`.
    pub(crate) fn parse<T>(
        &self,
        report: &mut Report,
        use_it: impl FnOnce(&Value<'_>, bool) -> T,
    ) -> T {
        let mut text = self.text.clone();
        if let Some(offset) = too_deep(&text) {
            report.add(Finding::mistake(
                self.place(offset),
                format!("tables, lists or keys are nested more than {DEEPEST} deep"),
                "write it flat: no key of the configuration is that deep",
            ));
            text.clear();
        }
        for _ in 0..MOST_SYNTAX_ERRORS {
            let error = match toml_span::parse(&text) {
                Ok(value) => return use_it(&value, !report.has_mistakes()),
                Err(error) => error,
            };
            report.add(self.syntax(&error));
            let unread = unread_around(&text, &error);
            blank(&mut text, unread);
        }
        use_it(&Value::new(ValueInner::Table(Table::new())), false)
    }

    fn syntax(&self, error: &toml_span::Error) -> Finding {
        let first = |first: &Span| self.place(first.start);
        let (problem, fix) = match &error.kind {
            ErrorKind::DuplicateKey { key, first: span } => (
                format!("`{key}` is given twice, first at {}", first(span)),
                "keep one of the two",
            ),
            ErrorKind::DuplicateTable { first: span, .. } => {
                let header = self.text.get(line_around(&self.text, span.start));
                let header = header.unwrap_or_default().trim();
                let problem = format!("{header} is opened twice, first at {}", first(span));
                (problem, "put its keys together")
            }
            kind => match in_plain_words(kind) {
                Some((problem, fix)) => (problem.to_owned(), fix),
                None => (
                    error.to_string(),
                    "see https://toml.io for how TOML is written",
                ),
            },
        };
        Finding::mistake(self.place(error.span.start), problem, fix)
    }
}

/// The usual slips, said so that one need not know how a TOML reader thinks.
fn in_plain_words(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        ErrorKind::UnquotedString => ("a value is not quoted", "write it in double quotes"),
        ErrorKind::InvalidCharInString('\n' | '\r') | ErrorKind::UnterminatedString => (
            "a string is not closed",
            "close it with the quote that it began with",
        ),
        ErrorKind::InvalidEscape(_) | ErrorKind::InvalidHexEscape(_) => (
            "a backslash is not followed by what TOML knows",
            "double the backslash, or write the string in single quotes",
        ),
        ErrorKind::InvalidNumber => (
            "this is not a number",
            "write a whole number, or put text in double quotes",
        ),
        ErrorKind::Wanted {
            expected: "a right bracket",
            ..
        } => ("a bracket is not closed before here", "close it with ]"),
        ErrorKind::Wanted {
            expected: "an equals",
            ..
        } => ("a key without a value", "write it as key = value"),
        ErrorKind::Wanted {
            expected: "newline",
            ..
        } => (
            "more follows the value on this line",
            "put one key = value on each line, text in double quotes",
        ),
        _ => return None,
    })
}

/// What must be blanked so that the rest can be read: the line of the error; the section of a
/// header that is wrong; the lines of a list that is not closed; all after an open string.
fn unread_around(text: &str, error: &toml_span::Error) -> Range<usize> {
    let offset = error.span.start;
    let line = line_around(text, offset);
    let opening = || {
        let before = text.get(..line.start)?;
        let opened = before.rfind("= [").max(before.rfind("=["))?;
        Some(line_around(text, opened).start..line.start)
    };
    let is_header = text
        .get(line.clone())
        .is_some_and(|line| line.trim_start().starts_with('['));
    match error.kind {
        ErrorKind::UnterminatedString => line.start..text.len(),
        ErrorKind::Wanted {
            expected: "a right bracket",
            ..
        } if offset == line.start => opening().unwrap_or(line),
        _ if is_header => section_around(text, offset),
        _ => line,
    }
}

/// The line that holds `offset`, without its line break.
fn line_around(text: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(text.len());
    let bytes = text.as_bytes();
    let start = bytes
        .get(..offset)
        .and_then(|b| b.iter().rposition(|b| *b == b'\n'));
    let end = bytes
        .get(offset..)
        .and_then(|b| b.iter().position(|b| *b == b'\n'));
    start.map_or(0, |at| at + 1)..end.map_or(text.len(), |at| offset + at)
}

/// From the table header at or above `offset` to just before the next one.
fn section_around(text: &str, offset: usize) -> Range<usize> {
    let mut section = 0..text.len();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            if at > offset {
                section.end = at;
                break;
            }
            section.start = at;
        }
        at += line.len();
    }
    section
}

/// Overwrites a stretch with spaces, so that what follows keeps its place.
fn blank(text: &mut String, range: Range<usize>) {
    let blanks: String = text.get(range.clone()).map_or_else(String::new, |gone| {
        gone.bytes()
            .map(|b| if b == b'\n' { '\n' } else { ' ' })
            .collect()
    });
    text.replace_range(range, &blanks);
}

/// Where the nesting exceeds what the TOML reader, which recurses, should be given.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut dots) = (0_usize, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' => dots += 1,
            b'\n' | b'=' | b',' => dots = 0,
            _ => {}
        }
        if depth > DEEPEST || dots > DEEPEST {
            return Some(at);
        }
    }
    None
}

/// Nesting of tables, lists and dotted keys.
const DEEPEST: usize = 100;

/// Syntax errors that are reported in one go.
const MOST_SYNTAX_ERRORS: usize = 20;

/// Bytes of a configuration file.
const LARGEST_FILE: u64 = 1024 * 1024;
