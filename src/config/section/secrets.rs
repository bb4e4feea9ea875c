//! Values that may be secret, and whether they stand in the file itself.

use lmserver_runtime::plugin::provider::Secret;

use crate::config::report::{Finding, Place};
use crate::config::secret::{self, Origin};

use super::Section;

impl Section<'_> {
    /// Takes a secret; a literal one is warned about.
    pub(crate) fn secret(&mut self, key: &str) -> Option<Secret> {
        let (place, written) = self.placed_string(key)?;
        self.read_secret(key, place, &written)
    }

    /// Takes a list of secrets, each with a name for it that can be shown.
    pub(crate) fn secrets(&mut self, key: &str) -> Vec<(String, Secret)> {
        let written = self.strings(key).unwrap_or_default();
        let mut read: Vec<(String, Secret)> = Vec::new();
        for (index, (place, text)) in written.into_iter().enumerate() {
            let Some(found) = self.read_secret(key, place, &text) else {
                continue;
            };
            let mut name = secret::name(&text, index + 1);
            // Files in several folders may be called the same.
            if read.iter().any(|(other, _)| *other == name) {
                name.push_str(&format!("-{}", index + 1));
            }
            read.push((name, found));
        }
        read
    }

    /// Takes a table of names to values that may be secret, like header fields.
    pub(crate) fn fields(&mut self, key: &str) -> Vec<(Place, String, Secret)> {
        let title = self.path(key);
        let Some(table) = self.section(key).table else {
            return Vec::new();
        };
        let mut fields = Vec::with_capacity(table.len());
        for (name, value) in table {
            let place = self.place_of(value);
            let Some(text) = value.as_str() else {
                self.wrong(
                    key,
                    value,
                    "a string",
                    &format!("write {} = \"…\"", name.name),
                );
                continue;
            };
            let key = format!("{title}.{}", name.name);
            let found = self.read_field(&key, place.clone(), text);
            fields.extend(found.map(|secret| (place, name.name.to_string(), secret)));
        }
        fields
    }

    fn read_secret(&mut self, key: &str, place: Place, written: &str) -> Option<Secret> {
        let (secret, origin) = self.resolve(key, place.clone(), written)?;
        if origin == Origin::Literal {
            self.report.add(Finding::warning(
                place,
                format!("`{key}` holds the secret itself"),
                "write \"env:NAME\" or \"file:PATH\", so that the file can be shown to others",
            ));
        }
        Some(secret)
    }

    fn read_field(&mut self, key: &str, place: Place, written: &str) -> Option<Secret> {
        let (secret, _) = self.resolve(key, place, written)?;
        Some(secret)
    }

    fn resolve(&mut self, key: &str, place: Place, written: &str) -> Option<(Secret, Origin)> {
        let directory = self.directory();
        match secret::read(written, self.context.environment, directory) {
            Ok(found) => Some(found),
            Err(error) => {
                self.mistake(place, format!("`{key}`: {error}"), error.fix());
                None
            }
        }
    }
}
