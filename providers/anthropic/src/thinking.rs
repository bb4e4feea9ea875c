//! How hard a model is to think.
//!
//! Older models take a budget of tokens, newer ones a level of effort and find the amount
//! themselves. Either way thinking counts towards `max_tokens`, so there must be room for it. Those
//! with a budget do not think amid tool calls unless they are told again what they thought before
//! them. The words and what they are worth are those of
//! [`Effort`](lmserver_runtime::http_provider::Effort); `none` disables thinking.

use lmserver_runtime::http_provider::{Question, json as lenient};
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::{Map, Value, json};

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// `thinking: {"type": "enabled", "budget_tokens": …}`.
    Budget,
    /// `thinking: {"type": "adaptive"}` and `output_config: {"effort": …}`.
    Adaptive,
}

impl Thinking {
    /// The way of a model, by its name: those before Claude 4.6 take a budget and nothing else.
    pub(crate) fn of(model: &str) -> Self {
        let is_old = |version: &str| {
            let mut parts = version.split(['-', '.', '@', ':']);
            match (parts.next(), parts.next()) {
                (Some("3"), _) => true,
                // A date, or nothing, stands where later names have the minor version.
                (Some("4"), minor) => minor
                    .and_then(|minor| minor.parse::<u32>().ok())
                    .is_none_or(|minor| !(6..=99).contains(&minor)),
                _ => false,
            }
        };
        let versions = ["claude-", "opus-", "sonnet-", "haiku-"];
        let mut versions = versions.iter().filter_map(|name| {
            let (_, version) = model.split_once(name)?;
            Some(version)
        });
        if versions.any(is_old) {
            Self::Budget
        } else {
            Self::Adaptive
        }
    }
}

/// Says in `body` how hard to think. Returns the limit of the answer's tokens.
pub(crate) fn apply(
    style: Thinking,
    default_max_tokens: u64,
    question: &Question<'_>,
    body: &mut Map<String, Value>,
) -> Result<u64, ProviderError> {
    let request = question.request;
    let otherwise = request.max_tokens.unwrap_or(default_max_tokens);
    let Some(effort) = question.effort()? else {
        if request.reasoning_effort.is_some() {
            body.insert("thinking".into(), json!({"type": "disabled"}));
        }
        return Ok(otherwise);
    };
    if request.temperature.is_some_and(|value| value < 1.0) {
        return Err(question.cannot("a `temperature` other than 1 beside `reasoning_effort`"));
    }
    let (limit, budget) = effort.limits(request.max_tokens, default_max_tokens);
    match style {
        // Refused there, and clients of other APIs have no place for what was thought.
        Thinking::Budget if has_forgotten(body) => {}
        Thinking::Budget if limit <= budget => {
            let want = "more than 1024 where `reasoning_effort` is set";
            return Err(question.wrong("max_tokens", want));
        }
        Thinking::Budget => {
            body.insert(
                "thinking".into(),
                json!({"type": "enabled", "budget_tokens": budget}),
            );
        }
        Thinking::Adaptive => {
            let mut more = Map::new();
            more.insert("thinking".into(), json!({"type": "adaptive"}));
            more.insert("output_config".into(), json!({"effort": effort.level}));
            lenient::merge(body, &more);
        }
    }
    Ok(limit)
}

/// Did the model's last turn call tools, and is what it thought before that not told any more?
fn has_forgotten(body: &Map<String, Value>) -> bool {
    let messages = body.get("messages").and_then(Value::as_array);
    let mut messages = messages.into_iter().flatten().rev();
    let Some(last) = messages.find(|message| lenient::str_at(message, "/role") == "assistant")
    else {
        return false;
    };
    let blocks = last.get("content").and_then(Value::as_array);
    let mut kinds = blocks
        .into_iter()
        .flatten()
        .map(|block| lenient::str_at(block, "/type"));
    let begins_with_thought = kinds
        .clone()
        .next()
        .is_some_and(|kind| kind.ends_with("thinking"));
    !begins_with_thought && kinds.any(|kind| kind == "tool_use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_model_tells_how_it_thinks() {
        for (model, want) in [
            ("claude-3-7-sonnet-20250219", Thinking::Budget),
            ("claude-3-7-sonnet-latest", Thinking::Budget),
            ("claude-sonnet-4-20250514", Thinking::Budget),
            ("claude-sonnet-4", Thinking::Budget),
            ("claude-opus-4-1-20250805", Thinking::Budget),
            ("claude-opus-4-5", Thinking::Budget),
            ("claude-haiku-4-5-20251001", Thinking::Budget),
            ("anthropic/claude-haiku-4.5", Thinking::Budget),
            ("claude-sonnet-4-5@20250929", Thinking::Budget),
            (
                "us.anthropic.claude-sonnet-4-20250514-v1:0",
                Thinking::Budget,
            ),
            ("claude-opus-4-6", Thinking::Adaptive),
            ("claude-sonnet-4-6-20260101", Thinking::Adaptive),
            ("claude-opus-4.7", Thinking::Adaptive),
            ("claude-sonnet-5", Thinking::Adaptive),
            ("claude-next", Thinking::Adaptive),
            ("something-else-3", Thinking::Adaptive),
        ] {
            assert_eq!(Thinking::of(model), want, "{model}");
        }
    }
}
