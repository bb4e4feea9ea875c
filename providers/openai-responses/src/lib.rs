//! The provider of kind `openai-responses`: OpenAI's Responses API, streamed, from OpenAI, Azure,
//! xAI, OpenRouter, LM Studio and others that have it.
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/responses
//!   bytes ──► http_provider (HTTP, events) ──► answer (items of the response) ──► outputs
//! ```
//!
//! Keys of its section beside those that every provider takes:
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `store` | the provider keeps the answer; `metadata` is sent then | false |
//! | `reasoning_summary` | `auto`, `concise` or `detailed`: have the reasoning told in short | unset: it is not told |
//! | `organization`, `project` | OpenAI's header fields | unset |
//!
//! For Azure, `base_url` is the address of the resource, with `/openai/v1` or without.
//!
//! | of a request | becomes |
//! | --- | --- |
//! | `system` | `instructions`; system and developer messages keep their places |
//! | `max_tokens`, `reasoning_effort`, `response_format` | `max_output_tokens`, `reasoning.effort`, `text.format` |
//! | tools that are no functions | the same, flattened like functions |
//! | `verbosity`, `parallel_tool_calls`, `service_tier`, `prompt_cache_key` and the like | `text.verbosity`, the same |
//! | `stop`, penalties, `logit_bias`, `top_k`, log probabilities, sound | refused: this API has no words for them |
//! | `seed`, `prediction`, the `name` of a message | left out: they are hints, and this API has no place for them |
//! | `metadata` | left out, but for an answer that is stored |

mod answer;
mod calls;
mod request;

#[cfg(test)]
#[path = "../../../tests/common/section.rs"]
mod section;

use lmserver_runtime::http_provider::{Api, Auth, Defaults, EventStream, Format, Instance};
use lmserver_runtime::plugin::provider::{
    ChatRequest, PluginSection, Provider, ProviderError, ProviderSettings, StartCx, Upstream,
};

use crate::answer::Items;
use crate::request::Habits;

/// Opens an instance; see the crate's documentation for its keys.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let host = settings.base_url.as_ref().map(|url| &url.endpoint.host);
    let is_azure = host.is_some_and(|host| {
        let host = host.to_ascii_lowercase();
        host.ends_with(".openai.azure.com") || host.ends_with(".services.ai.azure.com")
    });
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
    let summary = section.take_string("reasoning_summary");
    let is_known = |summary: &str| ["auto", "concise", "detailed"].contains(&summary);
    if summary.as_deref().is_some_and(|summary| !is_known(summary)) {
        section.reject(
            "reasoning_summary",
            "is \"auto\", \"concise\" or \"detailed\"",
        );
    }
    let path = match instance.path() {
        "" if is_azure => "/openai/v1/responses",
        _ => "/responses",
    };
    let habits = Habits {
        store: section.take_bool("store").unwrap_or(false),
        summary,
    };
    Some(instance.provider(Responses { path, habits }))
}

struct Responses {
    path: &'static str,
    habits: Habits,
}

impl Api for Responses {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        _: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let body = request::body(&self.habits, request, model)?;
        Ok(instance.post(self.path, &body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(EventStream::new(Box::new(Items::new(seed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::{Keys, settings};

    #[test]
    fn the_request_goes_where_the_server_is() {
        for (url, head, key) in [
            (
                None,
                "POST /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\n",
                "Authorization: Bearer key-1234\r\n",
            ),
            (
                Some("https://r.openai.azure.com"),
                "POST /openai/v1/responses HTTP/1.1\r\nHost: r.openai.azure.com\r\n",
                "api-key: key-1234\r\n",
            ),
            (
                Some("http://127.0.0.1:1234/v1"),
                "POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:1234\r\n",
                "Authorization: Bearer key-1234\r\n",
            ),
        ] {
            let mut section = Keys::from_iter([("project", "p"), ("reasoning_summary", "auto")]);
            let provider = open(settings(url, Some("key-1234")), &mut section).unwrap();
            assert!(section.mistakes.is_empty() && section.values.is_empty());
            let start = provider.start(&ChatRequest::default(), "m", StartCx::default());
            let request = String::from_utf8(start.unwrap().upstream.unwrap().request).unwrap();
            assert!(request.starts_with(head), "{request}");
            for text in [key, "OpenAI-Project: p\r\n", "{\"summary\":\"auto\"}"] {
                assert!(request.contains(text), "{text}: {request}");
            }
        }
    }

    #[test]
    fn an_unknown_summary_is_a_mistake() {
        let mut section = Keys::from_iter([("reasoning_summary", "long")]);
        let _ = open(settings(None, Some("key-1234")), &mut section);
        let want = ["reasoning_summary: is \"auto\", \"concise\" or \"detailed\""];
        assert_eq!(section.mistakes, want);
    }
}
