//! The providers that speak Chat Completions, streamed: kind `openai`, its presets, and
//! [`azure`].
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/chat/completions
//!   bytes ──► http_provider (HTTP, events) ──► answer ──► chunk (JSON) ──► outputs
//! ```
//!
//! Keys of a section beside those that every provider takes:
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `max_tokens_field` | `max_tokens` or `max_completion_tokens` | the latter for OpenAI, Azure and Groq |
//! | `include_usage` | ask for the token counts (`stream_options`) | true; false where they come unasked |
//! | `organization`, `project` | OpenAI's header fields, kind `openai` alone | unset |
//!
//! A preset is the kind `openai` with another base URL and other habits. A key is needed for its
//! usual host; another `base_url` may need none. The kind `openai` at the host of a preset has its
//! habits too.
//!
//! | kind | where | differs from OpenAI in |
//! | --- | --- | --- |
//! | `deepseek` | `https://api.deepseek.com` | what it thought goes back to it where tools were called |
//! | `fireworks` | `https://api.fireworks.ai/inference/v1` | usage comes unasked |
//! | `groq` | `https://api.groq.com/openai/v1` | `max_completion_tokens`; no `name` in messages |
//! | `llamacpp` | `http://127.0.0.1:8080/v1` | no key |
//! | `lmstudio` | `http://127.0.0.1:1234/v1` | no key |
//! | `mistral` | `https://api.mistral.ai/v1` | usage comes unasked; `random_seed`; ids of calls become nine letters and digits; none of OpenAI's hints (`user`, `store`, …), no `name` |
//! | `openrouter` | `https://openrouter.ai/api/v1` | effort as `reasoning: {"effort"}` |
//! | `perplexity` | `https://api.perplexity.ai` | usage comes unasked; no `name` |
//! | `together` | `https://api.together.xyz/v1` | |
//! | `vllm` | `http://127.0.0.1:8000/v1` | no key |
//! | `xai` | `https://api.x.ai/v1` | |
//!
//! To all of them but `openrouter` the role `developer` is sent as `system`, and the limit is
//! `max_tokens` where nothing else is said. Everything else of a request goes out as it came, and
//! `extra` is laid over it. `metadata` is sent with `extra.store` only, since OpenAI refuses it
//! otherwise.
//!
//! A new way in which some server deviates belongs into the narrowest file: its JSON into `chunk`,
//! what it refuses to be sent into `dialect` and `presets`; its errors and its numbering of tool
//! calls concern all providers, and belong into `lmserver_runtime::http_provider`.

mod answer;
pub mod azure;
mod chat_completions;
mod chunk;
mod dialect;
mod presets;
mod request;
#[cfg(test)]
mod testing;

#[cfg(test)]
#[path = "../../../tests/common/section.rs"]
mod section;

use lmserver_runtime::http_provider::{Auth, Defaults};
use lmserver_runtime::plugin::provider::{PluginSection, Provider, ProviderSettings};

pub use presets::PRESETS;

use crate::chat_completions::Server;
use crate::dialect::Dialect;

/// Opens an instance of kind `openai`; see the crate's documentation for its keys.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let url = settings.base_url.as_ref();
    let host = url.map_or(OPENAI_HOST, |url| &url.endpoint.host);
    let host = host.to_ascii_lowercase();
    let is_azure = azure::is_host(&host);
    let dialect = match presets::of_host(&host) {
        Some(dialect) => dialect,
        None if is_azure || host == OPENAI_HOST => Dialect::OPENAI,
        None => Dialect::COMPATIBLE,
    };
    let defaults = Defaults {
        base_url: Some(OPENAI_URL),
        key_variable: Some("OPENAI_API_KEY"),
        auth: if is_azure {
            Auth::Field("api-key")
        } else {
            Auth::Bearer
        },
        accept: "text/event-stream",
    };
    let dialect = dialect.configured(section);
    let mut server = Server::open(settings, &defaults, dialect, section)?;
    let instance = &mut server.instance;
    instance.take_field("organization", "OpenAI-Organization", section);
    instance.take_field("project", "OpenAI-Project", section);
    Some(server.boxed())
}

const OPENAI_URL: &str = "https://api.openai.com/v1";
const OPENAI_HOST: &str = "api.openai.com";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::{Keys, settings};
    use crate::testing::sent;

    #[test]
    fn without_a_url_it_is_openai() {
        let request = sent(open, settings(None, Some("key-1234")), &mut Keys::default());
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n";
        assert!(request.starts_with(head), "{request}");
        let provider = open(settings(None, Some("k")), &mut Keys::default()).unwrap();
        assert_eq!(provider.endpoint().unwrap().port, 443);
    }

    #[test]
    fn the_key_goes_where_the_server_looks_for_it() {
        for (url, want) in [
            ("", "Authorization: Bearer key-1234"),
            ("https://r.openai.azure.com/openai/v1", "api-key: key-1234"),
        ] {
            let request = sent(
                open,
                settings(Some(url), Some("key-1234")),
                &mut Keys::default(),
            );
            assert!(request.contains(want), "{request}");
            assert_eq!(request.matches("key-1234").count(), 1, "{request}");
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_key() {
        for (settings, key, want) in [
            (
                settings(None, None),
                None,
                "api_key: api.openai.com needs a key",
            ),
            (
                settings(Some("http://h"), None),
                Some(("max_tokens_field", "x")),
                "max_tokens_field: is",
            ),
            (
                settings(Some("http://h"), None),
                Some(("project", "a\n")),
                "project: the value of",
            ),
        ] {
            let mut section: Keys = key.into_iter().collect();
            let _ = open(settings, &mut section);
            let [mistake] = &section.mistakes[..] else {
                panic!("{want}: {:?}", section.mistakes)
            };
            assert!(mistake.starts_with(want), "{mistake}");
        }
    }

    #[test]
    fn keys_of_the_section_change_what_is_sent() {
        let mut section = Keys::from_iter([
            ("max_tokens_field", "max_tokens"),
            ("organization", "o"),
            ("project", "p"),
            ("include_usage", "false"),
        ]);
        let request = sent(open, settings(None, Some("k")), &mut section);
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
