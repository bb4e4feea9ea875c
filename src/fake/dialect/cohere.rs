//! Cohere, version 2: named events around blocks of content, `message-end`, `[DONE]`.

use super::{Block, Said, Say, Voice, error, fill, list, quote, quote_or_null};

pub(super) fn say(voice: &mut Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    match say {
        Say::Open => {
            let start = fill(
                r#""id":"$","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}"#,
                &[&voice.id],
            );
            emit(voice, "message-start", &start, out);
        }
        // It has no place for a refusal.
        Say::Text(text) | Say::Refusal(text) => {
            let block = r#"{"type":"text","text":""}"#;
            enter(voice, Some(Block::Text), block, out);
            delta(voice, r#"{"text":$}"#, text, out);
        }
        Say::Reasoning(text) => {
            let block = r#"{"type":"thinking","thinking":""}"#;
            enter(voice, Some(Block::Reasoning), block, out);
            delta(voice, r#"{"thinking":$}"#, text, out);
        }
        Say::Call(index, call) => {
            enter(voice, Some(Block::Call(*index)), "", out);
            let call = fill(
                r#""index":$,"delta":{"message":{"tool_calls":{"id":$,"type":"function","function":{"name":$,"arguments":""}}}}"#,
                &[&index.to_string(), &quote(&call.id), &quote(&call.name)],
            );
            emit(voice, "tool-call-start", &call, out);
        }
        Say::Arguments(index, text) => {
            let fragment = fill(
                r#""index":$,"delta":{"message":{"tool_calls":{"function":{"arguments":$}}}}"#,
                &[&index.to_string(), &quote(text)],
            );
            emit(voice, "tool-call-delta", &fragment, out);
        }
        Say::Finish => enter(voice, None, "", out),
        Say::Mark => {
            end(voice, &quote_or_null(voice.reason(REASONS)), "", out);
            voice.event(None, "[DONE]", out);
        }
        Say::Error(status) => {
            let message = fill(r#","error":$"#, &[&quote(&error::message(*status))]);
            end(voice, r#""ERROR""#, &message, out);
        }
        Say::BadJson | Say::Comment => {}
    }
}

fn emit(voice: &Voice, name: &str, fields: &str, out: &mut Vec<u8>) {
    let data = fill(r#"{"type":"$",$}"#, &[name, fields]);
    voice.event(Some(name), &data, out);
}

fn enter(voice: &mut Voice, block: Option<Block>, content: &str, out: &mut Vec<u8>) {
    let (former, is_new) = voice.enter(block);
    match former {
        Some(Block::Call(index)) => {
            let fields = fill(r#""index":$"#, &[&index.to_string()]);
            emit(voice, "tool-call-end", &fields, out);
        }
        Some(_) => {
            let fields = fill(r#""index":$"#, &[&voice.blocks.to_string()]);
            emit(voice, "content-end", &fields, out);
            voice.blocks += 1;
        }
        None => {}
    }
    if is_new && !content.is_empty() {
        let fields = fill(
            r#""index":$,"delta":{"message":{"content":$}}"#,
            &[&voice.blocks.to_string(), content],
        );
        emit(voice, "content-start", &fields, out);
    }
}

fn delta(voice: &Voice, template: &str, text: &str, out: &mut Vec<u8>) {
    let content = fill(template, &[&quote(text)]);
    let fields = fill(
        r#""index":$,"delta":{"message":{"content":$}}"#,
        &[&voice.blocks.to_string(), &content],
    );
    emit(voice, "content-delta", &fields, out);
}

fn end(voice: &Voice, reason: &str, error: &str, out: &mut Vec<u8>) {
    let fields = fill(
        r#""id":"$","delta":{"finish_reason":$$$}"#,
        &[&voice.id, reason, error, &usage(voice)],
    );
    emit(voice, "message-end", &fields, out);
}

fn usage(voice: &Voice) -> String {
    if !voice.has_usage {
        return String::new();
    }
    let tokens = [voice.input_tokens, voice.output_tokens].map(|count| count.to_string());
    let [input, output] = tokens.each_ref().map(String::as_str);
    fill(
        r#","usage":{"billed_units":{"input_tokens":$,"output_tokens":$},"tokens":{"input_tokens":$,"output_tokens":$}}"#,
        &[input, output, input, output],
    )
}

pub(super) fn whole(voice: &Voice, said: &Said<'_>) -> String {
    let mut content = Vec::new();
    if !said.reasoning.is_empty() {
        let text = quote(&said.reasoning);
        content.push(fill(r#"{"type":"thinking","thinking":$}"#, &[&text]));
    }
    let text = format!("{}{}", said.text, said.refusal);
    if !text.is_empty() {
        content.push(fill(r#"{"type":"text","text":$}"#, &[&quote(&text)]));
    }
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
    fill(
        r#"{"id":"$","finish_reason":$,"message":{"role":"assistant","content":[$],"tool_calls":[$]}$}"#,
        &[
            &voice.id,
            &quote_or_null(voice.reason(REASONS)),
            &list(content),
            &list(calls),
            &usage(voice),
        ],
    )
}

const REASONS: [&str; 4] = ["COMPLETE", "MAX_TOKENS", "TOOL_CALL", "ERROR_TOXIC"];
