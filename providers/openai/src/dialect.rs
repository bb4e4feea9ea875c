//! Where compatible servers differ in what they take.

use lmserver_runtime::plugin::provider::PluginSection;

/// What a server wants to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// The name of the limit on tokens: OpenAI's reasoning models refuse the old one, most other
    /// servers know no other.
    pub(crate) max_tokens_field: &'static str,
    /// The name of the seed.
    pub(crate) seed_field: &'static str,
    /// Ask for the usage. Some send it unasked, and Mistral refuses the question.
    pub(crate) include_usage: bool,
    /// Knows the role `developer`; to others it is `system`.
    pub(crate) has_developer: bool,
    /// Takes the names of speakers. They are a hint, and left out elsewhere.
    pub(crate) has_names: bool,
    /// Takes OpenAI's hints: `user`, `store`, `service_tier`, ….
    pub(crate) has_hints: bool,
    /// Takes the effort as `reasoning: {"effort"}`.
    pub(crate) has_reasoning: bool,
    /// Wants the ids of tool calls to be nine letters and digits, also those that another server
    /// has made.
    pub(crate) has_short_ids: bool,
    /// Wants what it thought back where tools were called, as `reasoning_content`. Others refuse it.
    pub(crate) wants_thoughts: bool,
}

impl Dialect {
    /// What OpenAI takes, and Azure.
    pub(crate) const OPENAI: Self = Self {
        max_tokens_field: NEW_LIMIT,
        ..Self::COMPATIBLE
    };

    /// What a server takes of which nothing is known: all that OpenAI took at first.
    pub(crate) const COMPATIBLE: Self = Self {
        max_tokens_field: OLD_LIMIT,
        seed_field: "seed",
        include_usage: true,
        has_developer: true,
        has_names: true,
        has_hints: true,
        has_reasoning: false,
        has_short_ids: false,
        wants_thoughts: false,
    };

    /// The dialect with the changes that the section asks for.
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

/// The limit's name for models that reason.
pub(crate) const NEW_LIMIT: &str = "max_completion_tokens";
/// The limit's name of old.
pub(crate) const OLD_LIMIT: &str = "max_tokens";
