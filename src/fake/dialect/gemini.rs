//! Gemini: whole answers that hold what is new; the end of the body is the end.

use super::{Say, Voice, error, fill, quote};
use crate::fake::settings::Finish;

pub(super) fn say(voice: &mut Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    let part = match say {
        Say::Text(text) => fill(r#"{"text":$}"#, &[&quote(text)]),
        Say::Reasoning(text) => fill(r#"{"text":$,"thought":true}"#, &[&quote(text)]),
        Say::Refusal(_) => {
            voice.finish = Finish::Filter;
            return;
        }
        // A call comes whole.
        Say::Call(_, call) => fill(
            r#"{"functionCall":{"name":$,"args":$}}"#,
            &[&quote(&call.name), &call.arguments],
        ),
        Say::Finish => return finish(voice, out),
        Say::Error(status) => return piece(voice, &error::body(voice.dialect, *status), out),
        Say::Mark if !voice.wants_events => {
            let end: &[u8] = if voice.sequence == 0 { b"[]" } else { b"]" };
            return out.extend_from_slice(end);
        }
        Say::Open | Say::Arguments(..) | Say::Mark | Say::BadJson | Say::Comment => return,
    };
    answer(
        voice,
        &fill(r#"{"parts":[$],"role":"model"}"#, &[&part]),
        "",
        out,
    );
}

fn finish(voice: &mut Voice, out: &mut Vec<u8>) {
    let reason = voice.reason(["STOP", "MAX_TOKENS", "STOP", "SAFETY"]);
    let reason = reason.map(|reason| fill(r#","finishReason":"$""#, &[reason]));
    if let Some(reason) = reason {
        answer(voice, r#"{"role":"model"}"#, &reason, out);
    }
}

fn answer(voice: &mut Voice, content: &str, reason: &str, out: &mut Vec<u8>) {
    let usage = match voice.has_usage {
        true => fill(
            r#","usageMetadata":$"#,
            &[&voice
                .usage(r#"{"promptTokenCount":$,"candidatesTokenCount":$,"totalTokenCount":$}"#)],
        ),
        false => String::new(),
    };
    let answer = fill(
        r#"{"candidates": [{"content": $$,"index": 0}]$,"modelVersion": $,"responseId": "$"}"#,
        &[content, reason, &usage, &quote(&voice.model), &voice.id],
    );
    piece(voice, &answer, out);
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
