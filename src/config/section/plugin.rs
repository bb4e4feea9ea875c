//! What a plugin sees of its section.

use std::time::Duration;

use lmserver_runtime::plugin::provider::{PluginSection, Secret};

use super::Section;

impl PluginSection for Section<'_> {
    fn take_string(&mut self, key: &str) -> Option<String> {
        self.string(key)
    }

    fn take_bool(&mut self, key: &str) -> Option<bool> {
        self.bool(key)
    }

    fn take_integer(&mut self, key: &str) -> Option<i64> {
        let (_, value) = self.take(key)?;
        let number = value.as_integer();
        if number.is_none() {
            self.wrong(
                key,
                value,
                "a whole number",
                &format!("write {key} = 1, without quotes"),
            );
        }
        number
    }

    fn take_duration(&mut self, key: &str) -> Option<Duration> {
        self.duration(key)
    }

    fn take_secret(&mut self, key: &str) -> Option<Secret> {
        self.secret(key)
    }

    /// Splits `mistake` into what is wrong and what would be right, at its last semicolon or
    /// else its first colon. A key that has its mistake, or that may stand in a part of the file
    /// that could not be read, gets no second one.
    fn reject(&mut self, key: &str, mistake: &str) {
        let place = self.place(key);
        if self.report.has_mistake_at(&place) || !(self.has(key) || self.context.is_whole) {
            return;
        }
        let generic = format!("see [{}] in lmserver.example.toml", self.title);
        let parts = mistake
            .rsplit_once("; ")
            .or_else(|| mistake.split_once(": "));
        let (problem, fix) = parts.unwrap_or((mistake, &generic));
        self.mistake(place, format!("`{key}`: {problem}"), fix.to_owned());
    }
}
