//! Sections, settings and requests for the tests of this crate.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use lmserver_runtime::plugin::provider::{
    BaseUrl, ChatRequest, OpenProvider, PluginSection, ProviderSettings, Secret, StartCx,
};

/// A section of strings and truth values.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) strings: HashMap<&'static str, &'static str>,
    pub(crate) bools: HashMap<&'static str, bool>,
    pub(crate) mistakes: Vec<String>,
}

impl Keys {
    pub(crate) fn of(strings: &[(&'static str, &'static str)]) -> Self {
        Self {
            strings: strings.iter().copied().collect(),
            ..Self::default()
        }
    }
}

impl PluginSection for Keys {
    fn take_string(&mut self, key: &str) -> Option<String> {
        self.strings.remove(key).map(str::to_owned)
    }
    fn take_bool(&mut self, key: &str) -> Option<bool> {
        self.bools.remove(key)
    }
    fn take_integer(&mut self, _: &str) -> Option<i64> {
        None
    }
    fn take_duration(&mut self, _: &str) -> Option<Duration> {
        None
    }
    fn reject(&mut self, key: &str, mistake: &str) {
        self.mistakes.push(format!("{key}: {mistake}"));
    }
}

pub(crate) fn settings(url: &str, key: Option<&str>) -> ProviderSettings {
    ProviderSettings {
        name: "test".into(),
        base_url: (!url.is_empty()).then(|| BaseUrl::parse(url).unwrap()),
        api_key: key.map(|key| Secret::new(key.to_owned())),
        headers: BTreeMap::new(),
    }
}

/// What a provider sends to the model `m/1`, opened without mistakes from a section of which
/// nothing is left.
pub(crate) fn sent(open: OpenProvider, settings: ProviderSettings, section: &mut Keys) -> String {
    let provider = open(settings, section).unwrap();
    assert_eq!(section.mistakes, Vec::<String>::new());
    assert!(section.strings.is_empty() && section.bools.is_empty());
    let question = ChatRequest {
        max_tokens: Some(9),
        ..ChatRequest::default()
    };
    let start = provider
        .start(&question, "m/1", StartCx::default())
        .unwrap();
    String::from_utf8(start.upstream.unwrap().request).unwrap()
}
