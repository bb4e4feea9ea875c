//! The patient reader: any JSON, a chunk of whatever in it makes sense.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    CallFragment, Choice, Choices, Chunk, CompletionDetails, Content, Custom, Delta, Function,
    Groq, Part, PromptDetails, Text, Usage, lossy,
};

/// Reads any JSON document, lone surrogates and malformed UTF-8 replaced.
pub(crate) fn value(data: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice(data) {
        return Some(value);
    }
    serde_json::from_str(&without_lone_surrogates(&lossy(data))).ok()
}

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
    value.is_object().then(|| Usage {
        prompt_tokens: count(value.get("prompt_tokens")),
        completion_tokens: count(value.get("completion_tokens")),
        completion_tokens_details: value.get("completion_tokens_details").map(|details| {
            CompletionDetails {
                reasoning_tokens: count(details.get("reasoning_tokens")),
            }
        }),
        prompt_tokens_details: value
            .get("prompt_tokens_details")
            .map(|details| PromptDetails {
                cached_tokens: count(details.get("cached_tokens")),
            }),
        reasoning_tokens: count(value.get("reasoning_tokens")),
        prompt_cache_hit_tokens: count(value.get("prompt_cache_hit_tokens")),
        cached_tokens: count(value.get("cached_tokens")),
    })
}

/// A string, or a number as its digits.
fn text(value: Option<&Value>) -> Option<Text<'static>> {
    match value? {
        Value::String(text) => Some(Text(Cow::Owned(text.clone()))),
        Value::Number(number) => Some(Text(Cow::Owned(number.to_string()))),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A count, also one written as a float or as a string.
fn count(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    value.as_u64().or_else(|| {
        let number = value
            .as_f64()
            .filter(|number| (0.0..9.0e15).contains(number))?;
        format!("{number:.0}").parse().ok()
    })
}

/// True for an `error` that says something: some servers send an empty one with every chunk.
pub(crate) fn says_something(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn present(error: Option<&Value>) -> Option<IgnoredAny> {
    error
        .filter(|error| says_something(error))
        .map(|_| IgnoredAny)
}

/// Replaces every `\uD800` to `\uDFFF` escape without its other half by `\uFFFD`.
fn without_lone_surrogates(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let taken = match (unit(escape, 0), unit(escape, 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\uFFFD");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            // Any other escape: the backslash and the character behind it.
            _ => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escape, after) = escape.split_at_checked(taken).unwrap_or((escape, ""));
        out.push_str(escape);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The UTF-16 unit that an escape at `at` stands for.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, want) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\uFFFD""#),
            (r#""\ude00\ud83d""#, r#""\uFFFD\uFFFD""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud83d\n""#, r#""\uFFFD\n""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\uFFFD\ud83d\ude00""#),
            ("\\", "\\"),
            ("\\é", "\\é"),
        ] {
            assert_eq!(without_lone_surrogates(json), want, "{json}");
        }
    }

    #[test]
    fn counts_come_in_many_forms() {
        for (json, want) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("\"7\"", Some(7)),
            ("null", None),
            ("-1", None),
            ("1e300", None),
            ("{}", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(count(Some(&value)), want, "{json}");
        }
    }

    #[test]
    fn a_chunk_of_wrong_types_still_says_what_it_can() {
        let json =
            br#"{"id":7,"choices":[{"index":"0","delta":{"role":1,"content":"a","content":"b",
            "tool_calls":[{"index":0.0,"id":3,"function":{"name":"f","arguments":{"a":1}}}, 5]},
            "finish_reason":"stop"}],"usage":{"prompt_tokens":3.0,"completion_tokens":"4"}}"#;
        let chunk = chunk(&value(json).unwrap()).unwrap();
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
