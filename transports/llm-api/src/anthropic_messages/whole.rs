//! A whole `message`, from the snapshot of its channel.

use lmserver_runtime::channel::Snapshot;
use serde_json::value::RawValue;

use super::reasons;
use crate::dialect::About;
use crate::{json, names};

/// The answer.
pub(super) fn write(answers: &[&Snapshot], about: &About<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(answer) = answers.first() else {
        return out;
    };
    out.extend_from_slice(br#"{"id":"#);
    json::text(&names::id("msg_", about.channel), &mut out);
    out.extend_from_slice(br#","type":"message","role":"assistant","model":"#);
    json::text(&answer.model, &mut out);
    out.extend_from_slice(br#","content":["#);
    content(answer, &mut out);
    out.extend_from_slice(br#"],"stop_reason":"#);
    let reason = answer.finish_reason.map_or("stop", |it| it.as_str());
    let stop_reason = reasons::stop_reason(reason, !answer.refusal.is_empty());
    json::text(stop_reason, &mut out);
    out.extend_from_slice(br#","stop_sequence":null,"usage":"#);
    let usage = answer.usage.unwrap_or_default();
    let (input, output) = (usage.input_tokens, usage.output_tokens);
    reasons::usage(input, usage.cached_tokens, output, &mut out);
    out.push(b'}');
    out
}

fn content(answer: &Snapshot, out: &mut Vec<u8>) {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    if !answer.reasoning.is_empty() {
        let mut block = br#"{"type":"thinking","thinking":"#.to_vec();
        json::text(&answer.reasoning, &mut block);
        block.extend_from_slice(br#","signature":""}"#);
        blocks.push(block);
    }
    for words in [&answer.text, &answer.refusal] {
        if !words.is_empty() {
            let mut block = br#"{"type":"text","text":"#.to_vec();
            json::text(words, &mut block);
            block.push(b'}');
            blocks.push(block);
        }
    }
    for call in &answer.tool_calls {
        let mut block = br#"{"type":"tool_use","id":"#.to_vec();
        json::text(&call.id, &mut block);
        block.extend_from_slice(br#","name":"#);
        json::text(&call.name, &mut block);
        block.extend_from_slice(br#","input":"#);
        block.extend_from_slice(input(&call.arguments));
        block.push(b'}');
        blocks.push(block);
    }
    json::list(blocks, out, |block, out| out.extend_from_slice(&block));
}

/// The arguments as an object; an empty one where they are none, as they are where the answer was
/// cut by a limit.
fn input(arguments: &str) -> &[u8] {
    match serde_json::from_str::<&RawValue>(arguments) {
        Ok(value) if value.get().starts_with('{') => value.get().as_bytes(),
        _ => b"{}",
    }
}
