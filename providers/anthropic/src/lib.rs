//! The provider `anthropic`: Anthropic's Messages API, and gateways that speak it.
//!
//! ```toml
//! [provider.anthropic]
//! kind = "anthropic"
//! api_key = "env:ANTHROPIC_API_KEY"
//! # base_url = "https://api.anthropic.com/v1"
//! # max_tokens = 8192           # of an answer whose request names no limit; the API wants one
//! # thinking = "budget"         # or "adaptive"; by the model's name if absent
//! # beta = "files-api-2025-04-14"
//! ```
//!
//! `request` translates the question, `messages` reads the events of the answer; everything
//! else is what all providers that speak HTTP share.

mod messages;
mod request;
mod thinking;

#[cfg(test)]
#[path = "../../../tests/common/asking.rs"]
mod asking;

use lmserver_runtime::http_provider::{
    Api, Auth, Defaults, EventStream, Format, Instance, Question,
};
use lmserver_runtime::plugin::provider::{
    ChatRequest, PluginSection, Provider, ProviderError, ProviderSettings, StartCx, Upstream,
};

use crate::messages::Messages;
use crate::request::Dialect;
use crate::thinking::Thinking;

/// Opens one `[provider.NAME]` of kind `anthropic`.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let dialect = dialect(section);
    let mut instance = Instance::open(settings, &DEFAULTS, section)?;
    instance.take_field("beta", "anthropic-beta", section);
    instance.add_default("anthropic-version", "2023-06-01");
    Some(instance.provider(dialect))
}

fn dialect(section: &mut dyn PluginSection) -> Dialect {
    let mut max_tokens = MAX_TOKENS;
    if let Some(number) = section.take_integer("max_tokens") {
        match u64::try_from(number) {
            Ok(number) if number > 0 => max_tokens = number,
            _ => section.reject("max_tokens", "is a number of tokens, at least 1"),
        }
    }
    let thinking = match section.take_string("thinking").as_deref() {
        None => None,
        Some("budget") => Some(Thinking::Budget),
        Some("adaptive") => Some(Thinking::Adaptive),
        Some(_) => {
            section.reject("thinking", "is \"budget\" or \"adaptive\"");
            None
        }
    };
    Dialect {
        max_tokens,
        thinking,
    }
}

impl Api for Dialect {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        _: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let body = request::body(*self, &Question::new(request, "anthropic"), model)?;
        Ok(instance.post("/messages", &body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(EventStream::new(Box::new(Messages::new(seed))))
    }
}

const DEFAULTS: Defaults<'static> = Defaults {
    base_url: Some("https://api.anthropic.com/v1"),
    key_variable: Some("ANTHROPIC_API_KEY"),
    auth: Auth::Field("x-api-key"),
    accept: "text/event-stream",
};

/// The limit of an answer where neither request nor configuration has one.
const MAX_TOKENS: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asking;
    use crate::asking::section::{Keys, settings};

    /// Head and body of the request for one word.
    fn request(provider: &dyn Provider) -> (String, serde_json::Value) {
        let (head, body) = asking::sent(provider, "claude-x", &"Hi".into()).unwrap();
        (head.join("\r\n"), body)
    }

    #[test]
    fn a_request_goes_to_anthropic_with_its_key_and_version() {
        let provider = asking::opened(open, None);
        assert_eq!(&*provider.endpoint().unwrap().host, "api.anthropic.com");
        let (head, body) = request(&*provider);
        for line in [
            "POST /v1/messages HTTP/1.1",
            "Host: api.anthropic.com",
            "x-api-key: key-1234",
            "anthropic-version: 2023-06-01",
            "Content-Type: application/json",
            "Accept: text/event-stream",
        ] {
            assert!(head.lines().any(|other| other == line), "{line} in {head}");
        }
        assert!(!head.contains("anthropic-beta"), "{head}");
        assert_eq!(
            (&body["max_tokens"], &body["stream"]),
            (&8192.into(), &true.into())
        );
    }

    #[test]
    fn keys_are_read() {
        let mut keys =
            Keys::from_iter([("beta", "a,b"), ("thinking", "budget"), ("max_tokens", "9")]);
        let url = Some("http://127.0.0.1:1/gateway");
        let provider = open(settings(url, None), &mut keys).unwrap();
        assert!(keys.mistakes.is_empty(), "{:?}", keys.mistakes);
        let (head, body) = request(&*provider);
        assert!(head.starts_with("POST /gateway/messages "), "{head}");
        assert!(head.contains("anthropic-beta: a,b"), "{head}");
        assert_eq!(body["max_tokens"], 9);
    }

    #[test]
    fn mistakes_are_told() {
        for (setting, key, want) in [
            (
                None,
                None,
                "api_key: api.anthropic.com needs a key: set api_key = \"env:ANTHROPIC_API_KEY\", \
                 or base_url to a server that needs none",
            ),
            (
                Some(("thinking", "hard")),
                Some("k"),
                "thinking: is \"budget\" or \"adaptive\"",
            ),
            (
                Some(("max_tokens", "0")),
                Some("k"),
                "max_tokens: is a number of tokens, at least 1",
            ),
        ] {
            let mut keys: Keys = setting.into_iter().collect();
            let _ = open(settings(None, key), &mut keys);
            assert_eq!(keys.mistakes, [want]);
        }
    }
}
