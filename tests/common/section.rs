//! A section of a configuration and the settings beside it, to open a provider with.
//!
//! Included with `#[path]`.

use std::collections::BTreeMap;
use std::time::Duration;

use lmserver_runtime::plugin::provider::{BaseUrl, PluginSection, ProviderSettings, Secret};

/// A section of keys with their values, a number as text too. What nobody took is left, and what
/// is told about it is kept.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) values: BTreeMap<&'static str, &'static str>,
    pub(crate) mistakes: Vec<String>,
}

impl FromIterator<(&'static str, &'static str)> for Keys {
    fn from_iter<I: IntoIterator<Item = (&'static str, &'static str)>>(values: I) -> Self {
        Self {
            values: values.into_iter().collect(),
            mistakes: Vec::new(),
        }
    }
}

impl PluginSection for Keys {
    fn take_string(&mut self, key: &str) -> Option<String> {
        self.values.remove(key).map(str::to_owned)
    }
    fn take_bool(&mut self, key: &str) -> Option<bool> {
        self.values.remove(key)?.parse().ok()
    }
    fn take_integer(&mut self, key: &str) -> Option<i64> {
        self.values.remove(key)?.parse().ok()
    }
    fn take_duration(&mut self, _: &str) -> Option<Duration> {
        None
    }
    fn reject(&mut self, key: &str, mistake: &str) {
        self.mistakes.push(format!("{key}: {mistake}"));
    }
}

/// What every provider is given; a text that is no URL is left out.
pub(crate) fn settings(url: Option<&str>, key: Option<&str>) -> ProviderSettings {
    ProviderSettings {
        name: "test".into(),
        base_url: url.and_then(|url| BaseUrl::parse(url).ok()),
        api_key: key.map(|key| Secret::new(key.to_owned())),
        headers: BTreeMap::new(),
    }
}
