//! Gemini: whole answers that hold what is new; the end of the body is the end.

use super::{Said, Say, Voice, error, fill, list, quote};
use crate::fake::script::Call;
use crate::fake::settings::Finish;

pub(super) fn say(voice: &mut Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    let part = match say {
        Say::Text(text) => spoken(text),
        Say::Reasoning(text) => thought(text),
        Say::Refusal(_) => {
            voice.finish = Finish::Filter;
            return;
        }
        // A call comes whole.
        Say::Call(_, call) => called(call),
        Say::Finish => {
            if let Some(reason) = reason(voice) {
                let answer = answer(voice, r#"{"role":"model"}"#, &reason);
                piece(voice, &answer, out);
            }
            return;
        }
        Say::Error(status) => return piece(voice, &error::body(voice.dialect, *status), out),
        Say::Mark if !voice.wants_events => {
            let end: &[u8] = if voice.sequence == 0 { b"[]" } else { b"]" };
            return out.extend_from_slice(end);
        }
        Say::Open | Say::Arguments(..) | Say::Mark | Say::BadJson | Say::Comment => return,
    };
    let answer = answer(voice, &content(&part), "");
    piece(voice, &answer, out);
}

pub(super) fn whole(voice: &Voice, said: &Said<'_>) -> String {
    let mut parts = Vec::new();
    if !said.reasoning.is_empty() {
        parts.push(thought(&said.reasoning));
    }
    if !said.text.is_empty() {
        parts.push(spoken(&said.text));
    }
    parts.extend(said.calls.iter().map(called));
    let reason = reason(voice).unwrap_or_default();
    answer(voice, &content(&list(parts)), &reason)
}

fn spoken(text: &str) -> String {
    fill(r#"{"text":$}"#, &[&quote(text)])
}

fn thought(text: &str) -> String {
    fill(r#"{"text":$,"thought":true}"#, &[&quote(text)])
}

fn called(call: &Call) -> String {
    fill(
        r#"{"functionCall":{"name":$,"args":$}}"#,
        &[&quote(&call.name), &call.arguments],
    )
}

fn content(parts: &str) -> String {
    fill(r#"{"parts":[$],"role":"model"}"#, &[parts])
}

fn reason(voice: &Voice) -> Option<String> {
    let reason = voice.reason(["STOP", "MAX_TOKENS", "STOP", "SAFETY"])?;
    Some(fill(r#","finishReason":"$""#, &[reason]))
}

fn answer(voice: &Voice, content: &str, reason: &str) -> String {
    let usage = match voice.has_usage {
        true => fill(r#","usageMetadata":$"#, &[&voice.usage(USAGE)]),
        false => String::new(),
    };
    fill(
        r#"{"candidates": [{"content": $$,"index": 0}]$,"modelVersion": $,"responseId": "$"}"#,
        &[content, reason, &usage, &quote(&voice.model), &voice.id],
    )
}

/// An event, or an element of the array.
fn piece(voice: &mut Voice, json: &str, out: &mut Vec<u8>) {
    if voice.wants_events {
        return voice.event(None, json, out);
    }
    let between: &[u8] = if voice.sequence == 0 { b"[" } else { b",\r\n" };
    voice.sequence += 1;
    out.extend_from_slice(between);
    out.extend_from_slice(json.as_bytes());
}

const USAGE: &str = r#"{"promptTokenCount":$,"candidatesTokenCount":$,"totalTokenCount":$}"#;
