//! The provider of kind `openai`: Chat Completions, streamed, from OpenAI and every server that
//! speaks like it.
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/chat/completions
//!   bytes ──► http_provider (HTTP, events) ──► answer ──► chunk (JSON) ──► outputs
//! ```
//!
//! Keys of its section beside those that every provider takes:
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `max_tokens_field` | `max_tokens` or `max_completion_tokens` | the latter for OpenAI and Azure |
//! | `include_usage` | ask for the token counts (`stream_options`) | true, false for Mistral |
//! | `organization`, `project` | OpenAI's header fields | unset |
//!
//! A new way in which some server deviates belongs into the narrowest file: its JSON into `chunk`,
//! what it refuses to be sent into `dialect`; its errors and its numbering of tool calls concern
//! all providers, and belong into `lmserver_runtime::http_provider`.

mod answer;
mod chunk;
mod dialect;
mod request;

use std::sync::Arc;

use lmserver_runtime::http_provider::{Auth, Defaults, EventStream, Instance, Seeds, Stream};
use lmserver_runtime::plugin::provider::{
    ChatRequest, Endpoint, PluginSection, Provider, ProviderError, ProviderSettings, Start, StartCx,
};

use crate::answer::Chunks;
use crate::dialect::{Dialect, is_azure};

/// Opens an instance; see the crate's documentation for its keys.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let url = settings.base_url.as_ref();
    let is_azure = url.is_some_and(|url| is_azure(&url.endpoint.host.to_ascii_lowercase()));
    let defaults = Defaults {
        base_url: Some("https://api.openai.com/v1"),
        key_variable: Some("OPENAI_API_KEY"),
        auth: if is_azure {
            Auth::Field("api-key")
        } else {
            Auth::Bearer
        },
        accept: "text/event-stream",
    };
    let mut instance = Instance::open(settings, &defaults, section)?;
    instance.take_field("organization", "OpenAI-Organization", section);
    instance.take_field("project", "OpenAI-Project", section);
    let host = instance.endpoint().host.to_ascii_lowercase();
    Some(Box::new(ChatCompletions {
        dialect: Dialect::of(&host).configured(section),
        instance: Arc::new(instance),
        seeds: Seeds::default(),
    }))
}

struct ChatCompletions {
    instance: Arc<Instance>,
    dialect: Dialect,
    seeds: Seeds,
}

impl Provider for ChatCompletions {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.instance.endpoint())
    }

    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let format = EventStream::new(Box::new(Chunks::new(self.seeds.next(cx))));
        let body = request::body(&self.dialect, request, model);
        Ok(Start {
            generation: Box::new(Stream::new(Arc::clone(&self.instance), Box::new(format))),
            upstream: Some(self.instance.post("/chat/completions", &body)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::time::Duration;

    use lmserver_runtime::plugin::provider::{BaseUrl, Secret};

    use super::*;

    /// A section of strings and truth values.
    #[derive(Default)]
    struct Keys {
        strings: HashMap<&'static str, &'static str>,
        bools: HashMap<&'static str, bool>,
        mistakes: Vec<String>,
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

    fn settings(url: &str, key: Option<&str>) -> ProviderSettings {
        ProviderSettings {
            name: "test".into(),
            base_url: (!url.is_empty()).then(|| BaseUrl::parse(url).unwrap()),
            api_key: key.map(|key| Secret::new(key.to_owned())),
            headers: BTreeMap::new(),
        }
    }

    /// What a provider sends, opened without mistakes.
    fn request(settings: ProviderSettings, section: &mut Keys) -> String {
        let provider = open(settings, section).unwrap();
        assert_eq!(section.mistakes, Vec::<String>::new());
        let question = ChatRequest {
            max_tokens: Some(9),
            ..ChatRequest::default()
        };
        let start = provider.start(&question, "m", StartCx::default()).unwrap();
        String::from_utf8(start.upstream.unwrap().request).unwrap()
    }

    #[test]
    fn without_a_url_it_is_openai() {
        let request = request(settings("", Some("key-1234")), &mut Keys::default());
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n";
        assert!(request.starts_with(head), "{request}");
        let provider = open(settings("", Some("k")), &mut Keys::default()).unwrap();
        assert_eq!(provider.endpoint().unwrap().port, 443);
    }

    #[test]
    fn the_key_goes_where_the_server_looks_for_it() {
        for (url, want) in [
            ("", "Authorization: Bearer key-1234"),
            ("https://r.openai.azure.com/openai/v1", "api-key: key-1234"),
        ] {
            let request = request(settings(url, Some("key-1234")), &mut Keys::default());
            assert!(request.contains(want), "{request}");
            assert_eq!(request.matches("key-1234").count(), 1, "{request}");
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_key() {
        for (settings, key, want) in [
            (
                settings("", None),
                None,
                "api_key: api.openai.com needs a key",
            ),
            (
                settings("http://h", None),
                Some(("max_tokens_field", "x")),
                "max_tokens_field: is",
            ),
            (
                settings("http://h", None),
                Some(("project", "a\n")),
                "project: the value of",
            ),
        ] {
            let mut section = Keys {
                strings: key.into_iter().collect(),
                ..Keys::default()
            };
            let _ = open(settings, &mut section);
            let [mistake] = &section.mistakes[..] else {
                panic!("{want}: {:?}", section.mistakes)
            };
            assert!(mistake.starts_with(want), "{mistake}");
        }
    }

    #[test]
    fn keys_of_the_section_change_what_is_sent() {
        let mut section = Keys {
            strings: [
                ("max_tokens_field", "max_tokens"),
                ("organization", "o"),
                ("project", "p"),
            ]
            .into(),
            bools: [("include_usage", false)].into(),
            ..Keys::default()
        };
        let request = request(settings("", Some("k")), &mut section);
        assert!(section.strings.is_empty() && section.bools.is_empty());
        for text in [
            "OpenAI-Organization: o",
            "OpenAI-Project: p",
            "\"max_tokens\":9",
        ] {
            assert!(request.contains(text), "{text}: {request}");
        }
        assert!(!request.contains("stream_options"), "{request}");
    }
}
