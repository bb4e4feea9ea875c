//! OpenAI Chat Completions: `data:` lines, `[DONE]`.

use super::{Dialect, Said, Say, Voice, error, fill, list, quote, quote_or_null};

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

pub(super) fn whole(voice: &Voice, said: &Said<'_>) -> String {
    let calls = said.calls.iter().map(|call| {
        fill(
            r#"{"id":$,"type":"function","function":{"name":$,"arguments":$}}"#,
            &[
                &quote(&call.id),
                &quote(&call.name),
                &quote(&call.arguments),
            ],
        )
    });
    let calls = match list(calls).as_str() {
        "" => String::new(),
        calls => fill(r#","tool_calls":[$]"#, &[calls]),
    };
    let reasoning = match said.reasoning.as_str() {
        "" => String::new(),
        text => fill(r#","reasoning_content":$"#, &[&quote(text)]),
    };
    let reason = voice.reason(REASONS);
    fill(
        r#"{"id":"chatcmpl-$","object":"chat.completion","created":$,"model":$,"system_fingerprint":"fp_fake","choices":[{"index":0,"message":{"role":"assistant","content":$,"refusal":$$$},"logprobs":null,"finish_reason":$}],"usage":$}"#,
        &[
            &voice.id,
            &voice.created.to_string(),
            &quote(&voice.model),
            &quote_or_null(Some(&said.text)),
            &quote_or_null(Some(&said.refusal)),
            &reasoning,
            &calls,
            &quote_or_null(reason),
            &voice.usage(USAGE),
        ],
    )
}

const REASONS: [&str; 4] = ["stop", "length", "tool_calls", "content_filter"];

const USAGE: &str = r#"{"prompt_tokens":$,"completion_tokens":$,"total_tokens":$,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}"#;

/// What Azure says first.
const FILTER_RESULTS: &str = r#"{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#;
