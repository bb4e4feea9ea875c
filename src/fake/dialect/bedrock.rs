//! Bedrock ConverseStream: messages of AWS' binary event stream.

use lmserver_proto::aws_event_stream::{Value, write_message};

use super::{BAD_JSON, Block, Said, Say, Voice, error, fill, list, quote, quote_or_null};

pub(super) fn say(voice: &mut Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    match say {
        Say::Open => event("messageStart", r#"{"p":"abc","role":"assistant"}"#, out),
        // It has no place for a refusal.
        Say::Text(text) | Say::Refusal(text) => {
            enter(voice, Some(Block::Text), out);
            delta(voice, r#"{"text":$}"#, text, out);
        }
        Say::Reasoning(text) => {
            enter(voice, Some(Block::Reasoning), out);
            delta(voice, r#"{"reasoningContent":{"text":$}}"#, text, out);
        }
        Say::Call(index, call) => {
            enter(voice, Some(Block::Call(*index)), out);
            let index = voice.blocks.to_string();
            let start = fill(
                r#"{"contentBlockIndex":$,"p":"abc","start":{"toolUse":{"name":$,"toolUseId":$}}}"#,
                &[&index, &quote(&call.name), &quote(&call.id)],
            );
            event("contentBlockStart", &start, out);
        }
        Say::Arguments(_, text) => delta(voice, r#"{"toolUse":{"input":$}}"#, text, out),
        Say::Finish => {
            enter(voice, None, out);
            if let Some(reason) = voice.reason(REASONS) {
                let stop = fill(r#"{"p":"abc","stopReason":"$"}"#, &[reason]);
                event("messageStop", &stop, out);
            }
        }
        Say::Mark if voice.has_usage => {
            let usage = voice.usage(USAGE);
            let metadata = fill(
                r#"{"metrics":{"latencyMs":1},"p":"abc","usage":$}"#,
                &[&usage],
            );
            event("metadata", &metadata, out);
        }
        Say::Mark => {}
        Say::Error(status) => exception(voice, *status, out),
        Say::BadJson => event("contentBlockDelta", BAD_JSON, out),
        Say::Comment => event("ping", "{}", out),
    }
}

fn enter(voice: &mut Voice, block: Option<Block>, out: &mut Vec<u8>) {
    if voice.enter(block).0.is_some() {
        let index = voice.blocks.to_string();
        let stop = fill(r#"{"contentBlockIndex":$,"p":"abc"}"#, &[&index]);
        event("contentBlockStop", &stop, out);
        voice.blocks += 1;
    }
}

fn delta(voice: &Voice, template: &str, text: &str, out: &mut Vec<u8>) {
    let delta = fill(template, &[&quote(text)]);
    let delta = fill(
        r#"{"contentBlockIndex":$,"delta":$,"p":"abcdef"}"#,
        &[&voice.blocks.to_string(), &delta],
    );
    event("contentBlockDelta", &delta, out);
}

fn exception(voice: &Voice, status: u16, out: &mut Vec<u8>) {
    let mut kind = error::kind(voice.dialect, status).0.to_owned();
    if let Some(first) = kind.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let headers = [
        (":exception-type", kind.as_str()),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    message(headers, &error::body(voice.dialect, status), out);
}

fn event(kind: &str, payload: &str, out: &mut Vec<u8>) {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    message(headers, payload, out);
}

fn message(headers: [(&str, &str); 3], payload: &str, out: &mut Vec<u8>) {
    let headers = headers.map(|(name, value)| (name, Value::String(value)));
    // They are short: nothing is too long.
    let _ = write_message(out, &headers, payload.as_bytes());
}

pub(super) fn whole(voice: &Voice, said: &Said<'_>) -> String {
    let mut content = Vec::new();
    if !said.reasoning.is_empty() {
        content.push(fill(
            r#"{"reasoningContent":{"reasoningText":{"text":$}}}"#,
            &[&quote(&said.reasoning)],
        ));
    }
    let text = format!("{}{}", said.text, said.refusal);
    if !text.is_empty() {
        content.push(fill(r#"{"text":$}"#, &[&quote(&text)]));
    }
    content.extend(said.calls.iter().map(|call| {
        fill(
            r#"{"toolUse":{"toolUseId":$,"name":$,"input":$}}"#,
            &[&quote(&call.id), &quote(&call.name), &call.arguments],
        )
    }));
    fill(
        r#"{"metrics":{"latencyMs":1},"output":{"message":{"content":[$],"role":"assistant"}},"stopReason":$,"usage":$}"#,
        &[
            &list(content),
            &quote_or_null(voice.reason(REASONS)),
            &voice.usage(USAGE),
        ],
    )
}

const REASONS: [&str; 4] = ["end_turn", "max_tokens", "tool_use", "content_filtered"];

const USAGE: &str = r#"{"inputTokens":$,"outputTokens":$,"totalTokens":$}"#;
