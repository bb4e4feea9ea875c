//! How many tokens a question and its answer are, where the provider does not say.
//!
//! Every tokenizer is another, so this is a guess, and is marked as one. A character counts by
//! its script, which its first byte of UTF-8 tells:
//!
//! | script | tokens a character |
//! | --- | --- |
//! | ASCII: English, code | 1/4 |
//! | other alphabets: accents, Greek, Cyrillic, Hebrew, Arabic, the scripts of India | 1/2 |
//! | Hangul; punctuation and symbols beyond ASCII | 3/4 |
//! | Chinese and Japanese characters, full-width forms | 1 |
//! | emoji and whatever else takes four bytes | 2 |
//!
//! For English, code and western Europe's languages that is mostly within a quarter of what
//! OpenAI's tokenizers `o200k_base` and `cl100k_base` count, more often above than below; for
//! Chinese, Japanese and Korean it lies between the two. JSON costs a token a member for its
//! punctuation, a message 4 for its frame, a picture or any other part that is no text 765, as a
//! picture of 1024 pixels square does at OpenAI.

use serde_json::Value;

use crate::channel::ToolCallSoFar;
use crate::event::{Kind, Usage, join};
use crate::plugin::provider::{ChatRequest, Content};

/// What a question of so many tokens and the answer so far have cost: its texts, each as a JSON
/// string, and its tool calls.
pub(crate) fn usage<'a, T: Iterator<Item = &'a [u8]>>(
    asked: u64,
    texts: impl Fn(Kind) -> T,
    calls: &[ToolCallSoFar],
) -> Usage {
    let calls = calls.iter();
    let calls = calls.map(|call| MESSAGE + text(&call.name) + text(&call.arguments));
    let calls: u64 = calls.sum();
    let said = |kind| texts(kind).map(string).sum::<u64>();
    let reasoning = said(Kind::Reasoning);
    let output = said(Kind::Chunk) + said(Kind::Refusal) + reasoning + calls;
    Usage {
        input_tokens: asked,
        output_tokens: tokens(output),
        reasoning_tokens: (reasoning > 0).then(|| tokens(reasoning)),
        cached_tokens: None,
        estimated: true,
    }
}

/// How many tokens a question is.
pub(crate) fn asked(request: &ChatRequest) -> u64 {
    tokens(question(request))
}

/// Whole tokens of so many quarters.
fn tokens(quarters: u64) -> u64 {
    quarters.div_ceil(4)
}

/// All that a model reads, in quarters of a token.
fn question(request: &ChatRequest) -> u64 {
    let optional = |text_of: &Option<String>| text_of.as_deref().map_or(0, text);
    let messages = request.messages.iter().map(|message| {
        let said = match &message.content {
            Content::Absent => 0,
            Content::Text(said) => text(said),
            Content::Parts(parts) => parts.iter().map(part).sum(),
        };
        let calls = message.tool_calls.as_ref().map_or(0, json);
        MESSAGE + said + calls + optional(&message.name)
    });
    let system = request.system.as_deref().map_or(0, |it| MESSAGE + text(it));
    let documents = [&request.tools, &request.response_format];
    let documents = documents.into_iter().flatten().map(json);
    system + messages.sum::<u64>() + documents.sum::<u64>()
}

fn part(part: &Value) -> u64 {
    match part.get("text").or_else(|| part.get("refusal")) {
        Some(Value::String(said)) => text(said),
        _ => MEDIUM,
    }
}

/// A document as the model reads it. It is no deeper than what was parsed.
fn json(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(string) => text(string),
        Value::Array(list) => list.iter().map(|item| 1 + json(item)).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| 4 + text(key) + json(value))
            .sum(),
    }
}

/// What a JSON string says.
fn string(json: &[u8]) -> u64 {
    let (mut sum, mut is_escaped) = (0, false);
    for byte in json {
        sum += u64::from(quarters(*byte));
        is_escaped |= *byte == b'\\';
    }
    if is_escaped {
        return text(&join(std::iter::once(json)));
    }
    // Its quotes say nothing.
    sum.saturating_sub(2 * u64::from(quarters(b'"')))
}

fn text(text: &str) -> u64 {
    text.bytes().map(|byte| u64::from(quarters(byte))).sum()
}

/// What the character counts that begins with this byte of UTF-8; the bytes after it are free.
fn quarters(byte: u8) -> u8 {
    match byte {
        0x00..=0x7F => 1,
        0x80..=0xBF => 0,
        // U+0080 to U+1FFF.
        0xC0..=0xE1 => 2,
        // U+2000 to U+2FFF, and Hangul's syllables from U+A000 on.
        0xE2 | 0xEA..=0xED => 3,
        0xE3..=0xE9 | 0xEE..=0xEF => 4,
        0xF0..=0xFF => 8,
    }
}

/// The frame of a message or call, in quarters.
const MESSAGE: u64 = 4 * 4;

/// A picture, or another part that is no text, in quarters.
const MEDIUM: u64 = 4 * 765;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::channel::ToolCallSoFar;
    use crate::plugin::provider::Message;

    #[test]
    fn a_text_is_near_what_tokenizers_say() {
        // With what o200k_base and cl100k_base count.
        for (said, o200k, cl100k) in [
            (
                "All human beings are born free and equal in dignity and rights. They are endowed \
                 with reason and conscience and should act towards one another in a spirit of \
                 brotherhood.",
                33,
                33,
            ),
            (
                "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont \
                 doués de raison et de conscience et doivent agir les uns envers les autres dans \
                 un esprit de fraternité.",
                41,
                49,
            ),
            (
                "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
                35,
                50,
            ),
            (
                "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
                35,
                45,
            ),
            (
                "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
                24,
                41,
            ),
        ] {
            let guess = tokens(text(said));
            let (low, high) = (o200k * 8 / 10, cl100k * 135 / 100);
            assert!((low..=high).contains(&guess), "{guess} for {said}");
        }
    }

    #[test]
    fn what_a_model_reads_counts_and_a_picture_is_not_its_base64() {
        let message = |content| Message {
            role: "user".into(),
            content,
            name: None,
            tool_calls: None,
            tool_call_id: None,
            reasoning: None,
        };
        let ask = |content| ChatRequest {
            messages: vec![message(content)],
            ..ChatRequest::default()
        };
        let question = |request: &ChatRequest| tokens(question(request));
        let plain = ask(Content::Text("12345678".into()));
        assert_eq!(question(&plain), 4 + 2);
        assert_eq!(question(&ask(Content::Absent)), 4);
        let url = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        let parts = ask(Content::Parts(vec![
            json!({"type": "text", "text": "12345678"}),
            json!({"type": "image_url", "image_url": {"url": url}}),
            json!(7),
        ]));
        assert_eq!(question(&parts), 4 + 2 + 2 * 765);
        let tools = ChatRequest {
            system: Some("1234".into()),
            tools: Some(json!([{"name": "f", "strict": true}])),
            ..plain
        };
        assert!(question(&tools) > 4 + 2 + 4 + 1 + 4);
    }

    #[test]
    fn an_answer_counts_with_its_reasoning_and_calls() {
        let texts = [
            (Kind::Reasoning, &b"\"1234\\n\""[..]),
            (Kind::Reasoning, b"\"2341\""),
            (Kind::Chunk, b"\"12345678\""),
        ];
        let calls = [ToolCallSoFar {
            id: "call_0123456789".into(),
            name: "name".into(),
            arguments: "{\"a\":12}".into(),
        }];
        let question = asked(&ChatRequest::default());
        let said = |kind| texts.iter().filter(move |it| it.0 == kind).map(|it| it.1);
        let usage = usage(question, said, &calls);
        assert_eq!(
            (usage.input_tokens, usage.output_tokens),
            (0, (8 + 9 + 16 + 4 + 8_u64).div_ceil(4))
        );
        assert_eq!(usage.reasoning_tokens, Some(3));
        assert!(usage.estimated);
        let nothing = super::usage(question, |_| std::iter::empty(), &[]);
        assert_eq!((nothing.output_tokens, nothing.reasoning_tokens), (0, None));
    }
}
