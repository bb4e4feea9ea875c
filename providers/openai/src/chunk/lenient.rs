//! The patient reader: any JSON, a chunk of whatever in it makes sense.

use std::borrow::Cow;

use lmserver_runtime::http_provider::json::{self, Text, count};
use serde_json::Value;

use super::{
    CallFragment, Choice, Choices, Chunk, CompletionDetails, Content, Custom, Delta, Function,
    Groq, Part, PromptDetails, Usage,
};

/// The chunk in an object.
pub(super) fn chunk(value: &Value) -> Option<Chunk<'static>> {
    let value = value.as_object()?;
    Some(Chunk {
        object: text(value.get("object")),
        kind: text(value.get("type")),
        choices: value.get("choices").and_then(choices),
        usage: value.get("usage").and_then(usage).map(Box::new),
        x_groq: value.get("x_groq").and_then(groq).map(Box::new),
        error: present(value.get("error")),
    })
}

fn groq(value: &Value) -> Option<Groq> {
    value.is_object().then(|| Groq {
        usage: value.get("usage").and_then(usage).map(Box::new),
        error: present(value.get("error")),
    })
}

fn choices(value: &Value) -> Option<Choices<'static>> {
    let mut choices = Choices::default();
    for (place, choice) in (0..).zip(value.as_array()?) {
        if choice.is_object() {
            choices.add(
                place,
                Choice {
                    index: count(choice.get("index")),
                    delta: choice.get("delta").and_then(delta),
                    finish_reason: text(choice.get("finish_reason")),
                    error: present(choice.get("error")),
                },
            );
        }
    }
    Some(choices)
}

/// A delta, or a whole message, which has the same shape.
pub(crate) fn delta(value: &Value) -> Option<Delta<'static>> {
    value.is_object().then(|| Delta {
        content: content(value.get("content")),
        reasoning_content: content(value.get("reasoning_content")),
        reasoning: content(value.get("reasoning")),
        refusal: text(value.get("refusal")),
        tool_calls: value
            .get("tool_calls")
            .and_then(Value::as_array)
            .map(|calls| {
                calls
                    .iter()
                    .filter(|call| call.is_object())
                    .map(call)
                    .collect()
            }),
        function_call: value.get("function_call").and_then(function).map(Box::new),
    })
}

fn content(value: Option<&Value>) -> Option<Content<'static>> {
    match value? {
        Value::String(_) => text(value).map(Content::Text),
        Value::Array(parts) => Some(Content::Parts(parts.iter().map(part).collect())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn part(value: &Value) -> Part<'static> {
    match value {
        Value::String(_) => Part {
            text: text(Some(value)),
            ..Part::default()
        },
        _ => Part {
            kind: text(value.get("type")),
            text: text(value.get("text")),
            thinking: content(value.get("thinking")),
        },
    }
}

fn call(value: &Value) -> CallFragment<'static> {
    CallFragment {
        index: count(value.get("index")),
        id: text(value.get("id")),
        function: value.get("function").and_then(function),
        custom: value
            .get("custom")
            .filter(|custom| custom.is_object())
            .map(|custom| Custom {
                name: text(custom.get("name")),
                input: text(custom.get("input")),
            }),
    }
}

fn function(value: &Value) -> Option<Function<'static>> {
    value.is_object().then(|| Function {
        name: text(value.get("name")),
        arguments: match value.get("arguments") {
            Some(arguments @ (Value::Object(_) | Value::Array(_))) => {
                Some(Text(Cow::Owned(arguments.to_string())))
            }
            arguments => text(arguments),
        },
    })
}

fn usage(value: &Value) -> Option<Usage> {
    let details = |key| value.get(key).filter(|details| details.is_object());
    value.is_object().then(|| Usage {
        prompt_tokens: count(value.get("prompt_tokens")),
        completion_tokens: count(value.get("completion_tokens")),
        completion_tokens_details: details("completion_tokens_details").map(|details| {
            CompletionDetails {
                reasoning_tokens: count(details.get("reasoning_tokens")),
            }
        }),
        prompt_tokens_details: details("prompt_tokens_details").map(|details| PromptDetails {
            cached_tokens: count(details.get("cached_tokens")),
        }),
        reasoning_tokens: count(value.get("reasoning_tokens")),
        prompt_cache_hit_tokens: count(value.get("prompt_cache_hit_tokens")),
        cached_tokens: count(value.get("cached_tokens")),
    })
}

/// A string, or a number as its digits.
fn text(value: Option<&Value>) -> Option<Text<'static>> {
    json::text(value).map(|text| Text(Cow::Owned(text)))
}

fn present(error: Option<&Value>) -> bool {
    error.is_some_and(json::says_something)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_of_wrong_types_still_says_what_it_can() {
        let text =
            br#"{"id":7,"choices":[{"index":"0","delta":{"role":1,"content":"a","content":"b",
            "tool_calls":[{"index":0.0,"id":3,"function":{"name":"f","arguments":{"a":1}}}, 5]},
            "finish_reason":"stop"}],"usage":{"prompt_tokens":3.0,"completion_tokens":"4"}}"#;
        let chunk = chunk(&json::value(text).unwrap()).unwrap();
        let choice = chunk.choices.unwrap().first.unwrap();
        let delta = choice.delta.unwrap();
        let calls = delta.tool_calls.unwrap();
        let function = calls[0].function.as_ref().unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].id.as_deref(), Some("3"));
        assert_eq!(function.arguments.as_deref(), Some("{\"a\":1}"));
        let usage = chunk.usage.unwrap();
        assert_eq!(
            (usage.prompt_tokens, usage.completion_tokens),
            (Some(3), Some(4))
        );
    }
}
