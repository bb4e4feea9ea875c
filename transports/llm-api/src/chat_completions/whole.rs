//! A whole `chat.completion`, from the snapshots of its choices.

use lmserver_runtime::channel::{Snapshot, ToolCallSoFar};
use lmserver_runtime::event::Usage;

use super::Form;
use super::encoding::{chunk_until_choices, finish_reason};
use crate::dialect::About;
use crate::sse::data;
use crate::{json, names};

/// The answer.
pub(super) fn write(form: Form, answers: &[&Snapshot], about: &About<'_>) -> Vec<u8> {
    let text: usize = answers.iter().map(|it| it.text.len()).sum();
    let mut out = Vec::with_capacity(text + text / 8 + 512);
    out.extend_from_slice(br#"{"id":"#);
    json::text(&names::id("chatcmpl-", about.channel), &mut out);
    out.extend_from_slice(br#","object":"chat.completion","created":"#);
    let first = answers.first();
    json::number(first.map_or(0, |it| it.created), &mut out);
    out.extend_from_slice(br#","model":"#);
    json::text(first.map_or(about.model, |it| &it.model), &mut out);
    out.extend_from_slice(br#","choices":["#);
    json::list(answers.iter().enumerate(), &mut out, |(index, it), out| {
        choice(form, index, it, out);
    });
    out.extend_from_slice(br#"],"usage":"#);
    usage(answers, &mut out);
    out.extend_from_slice(br#","system_fingerprint":null}"#);
    out
}

/// The chunk behind the last, which says what the answers cost.
pub(super) fn usage_chunk(answers: &[&Snapshot], about: &About<'_>, out: &mut Vec<u8>) {
    let created = answers.first().map_or(0, |it| it.created);
    data(out, |out| {
        chunk_until_choices(about.channel, created, about.model, out);
        out.extend_from_slice(br#"[],"usage":"#);
        usage(answers, out);
        out.push(b'}');
    });
}

fn choice(form: Form, index: usize, answer: &Snapshot, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"index":"#);
    json::number(index as u64, out);
    out.extend_from_slice(br#","message":{"role":"assistant","content":"#);
    json::text_or_null(some(&answer.text), out);
    out.extend_from_slice(br#","refusal":"#);
    json::text_or_null(some(&answer.refusal), out);
    if let Some(reasoning) = some(&answer.reasoning) {
        out.extend_from_slice(br#","reasoning_content":"#);
        json::text(reasoning, out);
    }
    match answer.tool_calls.as_slice() {
        [] => {}
        [call, ..] if form.legacy => {
            out.extend_from_slice(br#","function_call":"#);
            function(call, out);
        }
        calls => {
            out.extend_from_slice(br#","tool_calls":["#);
            json::list(calls, out, |call, out| {
                out.extend_from_slice(br#"{"id":"#);
                json::text(&call.id, out);
                out.extend_from_slice(br#","type":"function","function":"#);
                function(call, out);
                out.push(b'}');
            });
            out.push(b']');
        }
    }
    out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
    let reason = answer.finish_reason.map_or("stop", |it| it.as_str());
    json::text(finish_reason(form, reason), out);
    out.push(b'}');
}

fn function(call: &ToolCallSoFar, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"name":"#);
    json::text(&call.name, out);
    out.extend_from_slice(br#","arguments":"#);
    json::text(&call.arguments, out);
    out.push(b'}');
}

/// Appends what the answers cost together: the question was asked once for each.
fn usage(answers: &[&Snapshot], out: &mut Vec<u8>) {
    let total = answers
        .iter()
        .filter_map(|it| it.usage)
        .reduce(|all, one| Usage {
            input_tokens: all.input_tokens.saturating_add(one.input_tokens),
            output_tokens: all.output_tokens.saturating_add(one.output_tokens),
            reasoning_tokens: sum(all.reasoning_tokens, one.reasoning_tokens),
            cached_tokens: sum(all.cached_tokens, one.cached_tokens),
            estimated: all.estimated || one.estimated,
        });
    let Some(usage) = total else {
        return out.extend_from_slice(b"null");
    };
    let total = usage.input_tokens.saturating_add(usage.output_tokens);
    for (key, number) in [
        (&br#"{"prompt_tokens":"#[..], usage.input_tokens),
        (br#","completion_tokens":"#, usage.output_tokens),
        (br#","total_tokens":"#, total),
        (
            br#","prompt_tokens_details":{"cached_tokens":"#,
            usage.cached_tokens.unwrap_or(0),
        ),
        (
            br#"},"completion_tokens_details":{"reasoning_tokens":"#,
            usage.reasoning_tokens.unwrap_or(0),
        ),
    ] {
        out.extend_from_slice(key);
        json::number(number, out);
    }
    out.push(b'}');
    if usage.estimated {
        out.extend_from_slice(br#","estimated":true"#);
    }
    out.push(b'}');
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
