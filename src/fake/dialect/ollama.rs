//! Ollama's own format: a JSON object a line, the last with `"done":true`.

use super::{Say, Voice, error, fill, quote};

pub(super) fn say(voice: &Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    let message = match say {
        // It has no place for a refusal.
        Say::Text(text) | Say::Refusal(text) => {
            fill(r#"{"role":"assistant","content":$}"#, &[&quote(text)])
        }
        Say::Reasoning(text) => fill(
            r#"{"role":"assistant","content":"","thinking":$}"#,
            &[&quote(text)],
        ),
        // A call comes whole.
        Say::Call(index, call) => fill(
            r#"{"role":"assistant","content":"","tool_calls":[{"id":$,"function":{"index":$,"name":$,"arguments":$}}]}"#,
            &[
                &quote(&call.id),
                &index.to_string(),
                &quote(&call.name),
                &call.arguments,
            ],
        ),
        Say::Mark => return done(voice, out),
        Say::Error(status) => return voice.line(&error::body(voice.dialect, *status), out),
        Say::Open | Say::Arguments(..) | Say::Finish | Say::BadJson | Say::Comment => return,
    };
    line(voice, &message, r#""done":false"#, out);
}

fn done(voice: &Voice, out: &mut Vec<u8>) {
    let reason = voice.reason(["stop", "length", "stop", "stop"]);
    let reason = reason.map(|reason| fill(r#","done_reason":"$""#, &[reason]));
    let usage = match voice.has_usage {
        true => fill(
            r#","total_duration":1,"load_duration":1,"prompt_eval_count":$,"prompt_eval_duration":1,"eval_count":$,"eval_duration":1"#,
            &[
                &voice.input_tokens.to_string(),
                &voice.output_tokens.to_string(),
            ],
        ),
        false => String::new(),
    };
    let end = fill(r#""done":true$$"#, &[&reason.unwrap_or_default(), &usage]);
    line(voice, r#"{"role":"assistant","content":""}"#, &end, out);
}

fn line(voice: &Voice, message: &str, end: &str, out: &mut Vec<u8>) {
    let line = fill(
        r#"{"model":$,"created_at":"2026-01-01T00:00:00.000000Z","message":$,$}"#,
        &[&quote(&voice.model), message, end],
    );
    voice.line(&line, out);
}
