//! How hard a model is to think.
//!
//! | model | where it is said |
//! | --- | --- |
//! | Claude from 4.6 | a level in `outputConfig`, and among the fields handed on that it is to think |
//! | Claude before | a budget of tokens among the fields handed on; it wants a limit above it, and does not think amid tool calls |
//! | Nova 2, gpt-oss | a level of their own among the fields handed on |
//! | others | a level in `outputConfig` |
//!
//! Nova 2 takes no limit beside its highest level. The words and what they are worth are those of
//! [`Effort`](lmserver_runtime::http_provider::Effort); of `none` nothing is told.

use lmserver_runtime::http_provider::{Question, json as lenient};
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::{Map, Value, json};

/// Says in `body` how hard to think.
pub(crate) fn apply(
    question: &Question<'_>,
    model: &str,
    body: &mut Map<String, Value>,
) -> Result<(), ProviderError> {
    let request = question.request;
    let Some(effort) = question.effort()? else {
        return Ok(());
    };
    // The families that have levels of their own have these three.
    let level = match effort.level {
        "xhigh" | "max" => "high",
        level => level,
    };
    let more = if takes_budget(model) {
        // Refused there: nobody has told them what they thought before the calls.
        if is_amid_calls(body) {
            return Ok(());
        }
        refuse_temperature(question)?;
        let (limit, budget) = effort.limits(request.max_tokens, ANSWER_TOKENS);
        if limit <= budget {
            let want = "more than 1024 where `reasoning_effort` is set";
            return Err(question.wrong("max_tokens", want));
        }
        json!({
            "inferenceConfig": {"maxTokens": limit},
            "additionalModelRequestFields":
                {"thinking": {"type": "enabled", "budget_tokens": budget}},
        })
    } else if model.contains("anthropic.claude-") {
        refuse_temperature(question)?;
        json!({
            "outputConfig": {"effort": effort.level},
            "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
        })
    } else if model.contains("amazon.nova-2-") {
        let sampling = [request.temperature, request.top_p];
        if level == "high" && (request.max_tokens.is_some() || sampling.iter().any(Option::is_some))
        {
            let what = "`max_tokens`, `temperature` or `top_p` beside a `reasoning_effort` of high";
            return Err(question.cannot(what));
        }
        let config = json!({"type": "enabled", "maxReasoningEffort": level});
        json!({"additionalModelRequestFields": {"reasoningConfig": config}})
    } else if model.contains("openai.gpt-oss-") {
        json!({"additionalModelRequestFields": {"reasoning_effort": level}})
    } else {
        json!({"outputConfig": {"effort": effort.level}})
    };
    if let Value::Object(more) = more {
        lenient::merge(body, &more);
    }
    Ok(())
}

/// Claude that thinks takes no other temperature than 1.
fn refuse_temperature(question: &Question<'_>) -> Result<(), ProviderError> {
    if question
        .request
        .temperature
        .is_some_and(|value| value < 1.0)
    {
        return Err(question.cannot("a `temperature` other than 1 beside `reasoning_effort`"));
    }
    Ok(())
}

/// Claude 3.7 to 4.5, by the identifiers that it has here.
fn takes_budget(model: &str) -> bool {
    let Some((_, name)) = model.split_once("anthropic.claude-") else {
        return false;
    };
    name.starts_with("3-")
        || ["-4-20", "-4-1-", "-4-5-"]
            .iter()
            .any(|part| name.contains(part))
}

/// Did the model's last turn call tools?
fn is_amid_calls(body: &Map<String, Value>) -> bool {
    let messages = body.get("messages").and_then(Value::as_array);
    let mut messages = messages.into_iter().flatten().rev();
    let last = messages.find(|message| lenient::str_at(message, "/role") == "assistant");
    let blocks = last.and_then(|last| last.get("content")?.as_array());
    let mut blocks = blocks.into_iter().flatten();
    blocks.any(|block| block.get("toolUse").is_some())
}

/// Room for the answer behind the thinking, where the request names no limit.
const ANSWER_TOKENS: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_of_a_model_tells_whether_it_takes_a_budget() {
        for (model, want) in [
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", true),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", true),
            ("anthropic.claude-opus-4-1-20250805-v1:0", true),
            ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", true),
            ("global.anthropic.claude-haiku-4-5-20251001-v1:0", true),
            ("anthropic.claude-opus-4-6-v1", false),
            ("anthropic.claude-sonnet-5-v1:0", false),
            ("amazon.nova-2-lite-v1:0", false),
            ("openai.gpt-oss-120b-1:0", false),
        ] {
            assert_eq!(takes_budget(model), want, "{model}");
        }
    }
}
