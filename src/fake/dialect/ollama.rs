//! Ollama's own format: a JSON object a line, the last with `"done":true`.

use super::{Said, Say, Voice, error, fill, list, quote};
use crate::fake::script::Call;

pub(super) fn say(voice: &Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    let message = match say {
        // It has no place for a refusal.
        Say::Text(text) | Say::Refusal(text) => message(text, ""),
        Say::Reasoning(text) => message("", &fill(r#","thinking":$"#, &[&quote(text)])),
        // A call comes whole.
        Say::Call(index, call) => {
            let call = called(*index, call);
            message("", &fill(r#","tool_calls":[$]"#, &[&call]))
        }
        Say::Mark => return voice.line(&line(voice, &message("", ""), &done(voice)), out),
        Say::Error(status) => return voice.line(&error::body(voice.dialect, *status), out),
        Say::Open | Say::Arguments(..) | Say::Finish | Say::BadJson | Say::Comment => return,
    };
    voice.line(&line(voice, &message, r#""done":false"#), out);
}

pub(super) fn whole(voice: &Voice, said: &Said<'_>) -> String {
    let mut more = String::new();
    if !said.reasoning.is_empty() {
        more = fill(r#","thinking":$"#, &[&quote(&said.reasoning)]);
    }
    if !said.calls.is_empty() {
        let calls = said.calls.iter().enumerate();
        let calls = list(calls.map(|(index, call)| called(index, call)));
        more.push_str(&fill(r#","tool_calls":[$]"#, &[&calls]));
    }
    let text = format!("{}{}", said.text, said.refusal);
    line(voice, &message(&text, &more), &done(voice))
}

fn message(text: &str, more: &str) -> String {
    fill(
        r#"{"role":"assistant","content":$$}"#,
        &[&quote(text), more],
    )
}

fn called(index: usize, call: &Call) -> String {
    fill(
        r#"{"id":$,"function":{"index":$,"name":$,"arguments":$}}"#,
        &[
            &quote(&call.id),
            &index.to_string(),
            &quote(&call.name),
            &call.arguments,
        ],
    )
}

fn done(voice: &Voice) -> String {
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
    fill(r#""done":true$$"#, &[&reason.unwrap_or_default(), &usage])
}

fn line(voice: &Voice, message: &str, end: &str) -> String {
    fill(
        r#"{"model":$,"created_at":"2026-01-01T00:00:00.000000Z","message":$,$}"#,
        &[&quote(&voice.model), message, end],
    )
}
