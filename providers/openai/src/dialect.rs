//! Where compatible servers differ in what they take.

use lmserver_runtime::plugin::provider::PluginSection;

/// What a server wants to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// The name of the limit on tokens: OpenAI's reasoning models refuse the old one, most other
    /// servers know no other.
    pub(crate) max_tokens_field: &'static str,
    pub(crate) seed_field: &'static str,
    /// Ask for the usage. Mistral sends it unasked and refuses the question.
    pub(crate) include_usage: bool,
}

impl Dialect {
    /// What is known of a host.
    pub(crate) fn of(host: &str) -> Self {
        let is_mistral = host == "api.mistral.ai";
        Self {
            max_tokens_field: if host == OPENAI_HOST || is_azure(host) {
                NEW_LIMIT
            } else {
                OLD_LIMIT
            },
            seed_field: if is_mistral { "random_seed" } else { "seed" },
            include_usage: !is_mistral,
        }
    }

    /// What the section says of it.
    pub(crate) fn configured(mut self, section: &mut dyn PluginSection) -> Self {
        match section.take_string("max_tokens_field").as_deref() {
            Some("max_tokens") => self.max_tokens_field = OLD_LIMIT,
            Some("max_completion_tokens") => self.max_tokens_field = NEW_LIMIT,
            Some(_) => section.reject(
                "max_tokens_field",
                "is \"max_tokens\" or \"max_completion_tokens\"",
            ),
            None => {}
        }
        if let Some(include_usage) = section.take_bool("include_usage") {
            self.include_usage = include_usage;
        }
        self
    }
}

/// Azure's hosts look for the key in a field of its own.
pub(crate) fn is_azure(host: &str) -> bool {
    host.ends_with(".openai.azure.com") || host.ends_with(".services.ai.azure.com")
}

const OPENAI_HOST: &str = "api.openai.com";
const NEW_LIMIT: &str = "max_completion_tokens";
const OLD_LIMIT: &str = "max_tokens";
