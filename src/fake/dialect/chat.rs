//! OpenAI Chat Completions: `data:` lines, `[DONE]`.

use super::{Dialect, Say, Voice, error, fill, quote};
use crate::fake::script::{Script, Token};

pub(super) fn say(voice: &Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    let delta = match say {
        Say::Open => {
            if voice.dialect == Dialect::Azure {
                voice.event(None, FILTER_RESULTS, out);
            }
            r#"{"role":"assistant","content":"","refusal":null}"#.to_owned()
        }
        Say::Text(text) => fill(r#"{"content":$}"#, &[&quote(text)]),
        Say::Reasoning(text) => fill(r#"{"reasoning_content":$}"#, &[&quote(text)]),
        Say::Refusal(text) => fill(r#"{"refusal":$}"#, &[&quote(text)]),
        Say::Call(index, call) => fill(
            r#"{"tool_calls":[{"index":$,"id":$,"type":"function","function":{"name":$,"arguments":""}}]}"#,
            &[&index.to_string(), &quote(&call.id), &quote(&call.name)],
        ),
        Say::Arguments(index, text) => fill(
            r#"{"tool_calls":[{"index":$,"function":{"arguments":$}}]}"#,
            &[&index.to_string(), &quote(text)],
        ),
        Say::Finish => return finish(voice, out),
        Say::Mark => return voice.event(None, "[DONE]", out),
        Say::Error(status) => return voice.event(None, &error::body(voice.dialect, *status), out),
        Say::BadJson | Say::Comment => return,
    };
    chunk(voice, &choice(&delta, "null"), "null", out);
}

fn finish(voice: &Voice, out: &mut Vec<u8>) {
    if let Some(reason) = voice.reason(REASONS) {
        chunk(voice, &choice("{}", &quote(reason)), "null", out);
    }
    if voice.has_usage {
        chunk(voice, "", &voice.usage(USAGE), out);
    }
}

fn choice(delta: &str, reason: &str) -> String {
    fill(
        r#"{"index":0,"delta":$,"logprobs":null,"finish_reason":$}"#,
        &[delta, reason],
    )
}

fn chunk(voice: &Voice, choices: &str, usage: &str, out: &mut Vec<u8>) {
    // The key is there where usage was asked for.
    let usage = if voice.has_usage {
        fill(r#","usage":$"#, &[usage])
    } else {
        String::new()
    };
    let data = fill(
        r#"{"id":"chatcmpl-$","object":"chat.completion.chunk","created":$,"model":$,"system_fingerprint":"fp_fake","choices":[$]$}"#,
        &[
            &voice.id,
            &voice.created.to_string(),
            &quote(&voice.model),
            choices,
            &usage,
        ],
    );
    voice.event(None, &data, out);
}

/// An answer that is no stream.
pub(in crate::fake) fn whole(voice: &mut Voice, script: &Script) -> String {
    let (mut reasoning, mut text, mut refusal) = Default::default();
    let mut at = 0;
    while let Some(token) = script.token(at) {
        let into: &mut String = match &token {
            Token::Reasoning(_) => &mut reasoning,
            Token::Text(_) => &mut text,
            Token::Refusal(_) => &mut refusal,
            Token::Call(_) | Token::Arguments(..) => &mut String::new(),
        };
        if let Token::Reasoning(word) | Token::Text(word) | Token::Refusal(word) = &token {
            into.push_str(word);
        }
        at += 1;
        voice.output_tokens += 1;
        if text.len() > super::KEPT_BYTES {
            break;
        }
    }
    let said = |text: &String| match text.as_str() {
        "" => "null".to_owned(),
        text => quote(text),
    };
    let calls: Vec<String> = script
        .calls
        .iter()
        .map(|call| {
            fill(
                r#"{"id":$,"type":"function","function":{"name":$,"arguments":$}}"#,
                &[
                    &quote(&call.id),
                    &quote(&call.name),
                    &quote(&call.arguments),
                ],
            )
        })
        .collect();
    let calls = match calls.is_empty() {
        true => String::new(),
        false => fill(r#","tool_calls":[$]"#, &[&calls.join(",")]),
    };
    let reasoning = match reasoning.as_str() {
        "" => String::new(),
        text => fill(r#","reasoning_content":$"#, &[&quote(text)]),
    };
    let reason = voice
        .reason(REASONS)
        .map_or_else(|| "null".to_owned(), quote);
    fill(
        r#"{"id":"chatcmpl-$","object":"chat.completion","created":$,"model":$,"system_fingerprint":"fp_fake","choices":[{"index":0,"message":{"role":"assistant","content":$,"refusal":$$$},"logprobs":null,"finish_reason":$}],"usage":$}"#,
        &[
            &voice.id,
            &voice.created.to_string(),
            &quote(&voice.model),
            &said(&text),
            &said(&refusal),
            &reasoning,
            &calls,
            &reason,
            &voice.usage(USAGE),
        ],
    )
}

const REASONS: [&str; 4] = ["stop", "length", "tool_calls", "content_filter"];

const USAGE: &str = r#"{"prompt_tokens":$,"completion_tokens":$,"total_tokens":$,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}"#;

/// What Azure says first.
const FILTER_RESULTS: &str = r#"{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#;
