//! Servers that speak like OpenAI, by name: where they are, and how they differ.

use lmserver_runtime::http_provider::{Auth, Defaults};
use lmserver_runtime::plugin::provider::{
    BaseUrl, OpenProvider, PluginSection, Provider, ProviderSettings,
};

use crate::chat_completions::Server;
use crate::dialect::{Dialect, NEW_LIMIT};

/// The kinds of provider that are this one with other defaults. Their order is that of the table
/// in the crate's documentation.
pub const PRESETS: [(&str, OpenProvider); 11] = [
    (TABLE[0].kind, open::<0>),
    (TABLE[1].kind, open::<1>),
    (TABLE[2].kind, open::<2>),
    (TABLE[3].kind, open::<3>),
    (TABLE[4].kind, open::<4>),
    (TABLE[5].kind, open::<5>),
    (TABLE[6].kind, open::<6>),
    (TABLE[7].kind, open::<7>),
    (TABLE[8].kind, open::<8>),
    (TABLE[9].kind, open::<9>),
    (TABLE[10].kind, open::<10>),
];

struct Preset {
    kind: &'static str,
    base_url: &'static str,
    /// Where its key is usually kept; none where none is needed.
    key_variable: Option<&'static str>,
    dialect: Dialect,
}

/// Opens a preset. A constructor is not told the kind, so each has its own.
fn open<const PRESET: usize>(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    open_preset(TABLE.get(PRESET)?, settings, section)
}

fn open_preset(
    preset: &Preset,
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let defaults = Defaults {
        base_url: Some(preset.base_url),
        key_variable: preset.key_variable,
        auth: Auth::Bearer,
        accept: "text/event-stream",
    };
    let dialect = preset.dialect.configured(section);
    Server::open(settings, &defaults, dialect, section).map(Server::boxed)
}

/// What is known of a host: that of a preset is spoken to in its dialect, whatever the kind.
pub(crate) fn of_host(host: &str) -> Option<Dialect> {
    let is_its = |preset: &&Preset| {
        let url = BaseUrl::parse(preset.base_url);
        url.is_ok_and(|url| url.endpoint.tls && *url.endpoint.host == *host)
    };
    TABLE.iter().find(is_its).map(|preset| preset.dialect)
}

/// What is common to the servers below. They tell their own usage, or are asked for it.
const OTHERS: Dialect = Dialect {
    has_developer: false,
    ..Dialect::COMPATIBLE
};

const TABLE: [Preset; 11] = [
    Preset {
        kind: "deepseek",
        base_url: "https://api.deepseek.com",
        key_variable: Some("DEEPSEEK_API_KEY"),
        dialect: Dialect {
            wants_thoughts: true,
            ..OTHERS
        },
    },
    Preset {
        kind: "fireworks",
        base_url: "https://api.fireworks.ai/inference/v1",
        key_variable: Some("FIREWORKS_API_KEY"),
        dialect: Dialect {
            include_usage: false,
            ..OTHERS
        },
    },
    Preset {
        kind: "groq",
        base_url: "https://api.groq.com/openai/v1",
        key_variable: Some("GROQ_API_KEY"),
        dialect: Dialect {
            max_tokens_field: NEW_LIMIT,
            has_names: false,
            ..OTHERS
        },
    },
    Preset {
        kind: "llamacpp",
        base_url: "http://127.0.0.1:8080/v1",
        key_variable: None,
        dialect: OTHERS,
    },
    Preset {
        kind: "lmstudio",
        base_url: "http://127.0.0.1:1234/v1",
        key_variable: None,
        dialect: OTHERS,
    },
    Preset {
        kind: "mistral",
        base_url: "https://api.mistral.ai/v1",
        key_variable: Some("MISTRAL_API_KEY"),
        dialect: Dialect {
            seed_field: "random_seed",
            include_usage: false,
            has_names: false,
            has_hints: false,
            has_short_ids: true,
            ..OTHERS
        },
    },
    Preset {
        kind: "openrouter",
        base_url: "https://openrouter.ai/api/v1",
        key_variable: Some("OPENROUTER_API_KEY"),
        dialect: Dialect {
            has_developer: true,
            has_reasoning: true,
            ..OTHERS
        },
    },
    Preset {
        kind: "perplexity",
        base_url: "https://api.perplexity.ai",
        key_variable: Some("PERPLEXITY_API_KEY"),
        dialect: Dialect {
            include_usage: false,
            has_names: false,
            ..OTHERS
        },
    },
    Preset {
        kind: "together",
        base_url: "https://api.together.xyz/v1",
        key_variable: Some("TOGETHER_API_KEY"),
        dialect: OTHERS,
    },
    Preset {
        kind: "vllm",
        base_url: "http://127.0.0.1:8000/v1",
        key_variable: None,
        dialect: OTHERS,
    },
    Preset {
        kind: "xai",
        base_url: "https://api.x.ai/v1",
        key_variable: Some("XAI_API_KEY"),
        dialect: OTHERS,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::{Keys, settings};
    use crate::testing::sent;

    #[test]
    fn every_preset_is_somewhere() {
        for (kind, line, host) in [
            ("deepseek", "/chat/completions", "api.deepseek.com"),
            (
                "fireworks",
                "/inference/v1/chat/completions",
                "api.fireworks.ai",
            ),
            ("groq", "/openai/v1/chat/completions", "api.groq.com"),
            ("llamacpp", "/v1/chat/completions", "127.0.0.1:8080"),
            ("lmstudio", "/v1/chat/completions", "127.0.0.1:1234"),
            ("mistral", "/v1/chat/completions", "api.mistral.ai"),
            ("openrouter", "/api/v1/chat/completions", "openrouter.ai"),
            ("perplexity", "/chat/completions", "api.perplexity.ai"),
            ("together", "/v1/chat/completions", "api.together.xyz"),
            ("vllm", "/v1/chat/completions", "127.0.0.1:8000"),
            ("xai", "/v1/chat/completions", "api.x.ai"),
        ] {
            let (_, open) = PRESETS.iter().find(|(name, _)| *name == kind).unwrap();
            let request = sent(
                *open,
                settings(None, Some("key-1234")),
                &mut Keys::default(),
            );
            let head = format!("POST {line} HTTP/1.1\r\nHost: {host}\r\n");
            assert!(request.starts_with(&head), "{request}");
            assert!(request.contains("Authorization: Bearer key-1234"), "{kind}");
            let mut section = Keys::default();
            let _ = open(settings(None, None), &mut section);
            let is_local = host.starts_with("127");
            assert_eq!(section.mistakes.is_empty(), is_local, "{kind}");
            let mut section = Keys::default();
            let _ = open(settings(Some("http://h/v1"), None), &mut section);
            assert!(section.mistakes.is_empty(), "{kind} elsewhere needs no key");
        }
    }

    #[test]
    fn a_host_is_known_whatever_the_kind() {
        assert_eq!(of_host("api.mistral.ai"), Some(TABLE[5].dialect));
        assert_eq!(of_host("127.0.0.1"), None);
        assert_eq!(of_host("api.example"), None);
    }
}
