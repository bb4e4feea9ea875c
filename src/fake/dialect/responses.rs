//! OpenAI Responses: named events with a `sequence_number`, around items of output.

use super::{Block, Say, Voice, error, fill, quote};
use crate::fake::settings::Finish;

pub(super) fn say(voice: &mut Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    match say {
        Say::Open => {
            for name in ["response.created", "response.in_progress"] {
                let response = response(voice, "in_progress", "null");
                emit(voice, name, &fill(r#""response":$"#, &[&response]), out);
            }
        }
        Say::Text(text) => speak(voice, Block::Text, text, "response.output_text.delta", out),
        Say::Refusal(text) => speak(voice, Block::Refusal, text, "response.refusal.delta", out),
        Say::Reasoning(text) => {
            let name = "response.reasoning_summary_text.delta";
            speak(voice, Block::Reasoning, text, name, out);
        }
        Say::Call(index, call) => {
            voice.call = (call.id.clone(), call.name.clone());
            enter(voice, Some(Block::Call(*index)), out);
        }
        Say::Arguments(index, text) => {
            let name = "response.function_call_arguments.delta";
            speak(voice, Block::Call(*index), text, name, out);
        }
        Say::Finish => enter(voice, None, out),
        Say::Mark => {
            let (name, status) = outcome(voice);
            let response = response(voice, status, "null");
            emit(voice, name, &fill(r#""response":$"#, &[&response]), out);
        }
        Say::Error(status) => {
            let inner = error::inner(voice.dialect, *status);
            emit(voice, "error", &fill(r#""error":$"#, &[&inner]), out);
            let response = response(voice, "failed", &inner);
            let fields = fill(r#""response":$"#, &[&response]);
            emit(voice, "response.failed", &fields, out);
        }
        Say::BadJson | Say::Comment => {}
    }
}

/// The answer as its terminal event would have it.
pub(super) fn whole(voice: &Voice) -> String {
    response(voice, outcome(voice).1, "null")
}

/// The terminal event of an answer, and its status.
fn outcome(voice: &Voice) -> (&'static str, &'static str) {
    match voice.finish {
        Finish::Length | Finish::Filter => ("response.incomplete", "incomplete"),
        Finish::Stop | Finish::Calls | Finish::None => ("response.completed", "completed"),
    }
}

fn emit(voice: &mut Voice, name: &str, fields: &str, out: &mut Vec<u8>) {
    let data = fill(
        r#"{"type":"$","sequence_number":$,$}"#,
        &[name, &voice.sequence.to_string(), fields],
    );
    voice.sequence += 1;
    voice.event(Some(name), &data, out);
}

fn speak(voice: &mut Voice, block: Block, text: &str, name: &str, out: &mut Vec<u8>) {
    enter(voice, Some(block), out);
    voice.keep(text);
    let place = place(voice, block);
    emit(
        voice,
        name,
        &fill(r#"$,"delta":$"#, &[&place, &quote(text)]),
        out,
    );
}

/// Where an event belongs.
fn place(voice: &Voice, block: Block) -> String {
    let part = match block {
        Block::Text | Block::Refusal => r#","content_index":0"#,
        Block::Reasoning => r#","summary_index":0"#,
        Block::Call(_) => "",
    };
    let index = voice.blocks.to_string();
    fill(
        r#""item_id":"item_$","output_index":$$"#,
        &[&index, &index, part],
    )
}

fn enter(voice: &mut Voice, block: Option<Block>, out: &mut Vec<u8>) {
    let (former, is_new) = voice.enter(block);
    if let Some(former) = former {
        leave(voice, former, out);
    }
    if let Some(block) = block.filter(|_| is_new) {
        voice.text.clear();
        let fields = [
            &*voice.blocks.to_string(),
            &*item(voice, block, "in_progress"),
        ];
        let fields = fill(r#""output_index":$,"item":$"#, &fields);
        emit(voice, "response.output_item.added", &fields, out);
        if let Some((name, part)) = part(voice, block) {
            let fields = fill(r#"$,"part":$"#, &[&place(voice, block), &part]);
            emit(voice, &format!("response.{name}.added"), &fields, out);
        }
    }
}

fn leave(voice: &mut Voice, block: Block, out: &mut Vec<u8>) {
    let (name, key) = match block {
        Block::Text => ("response.output_text.done", "text"),
        Block::Refusal => ("response.refusal.done", "refusal"),
        Block::Reasoning => ("response.reasoning_summary_text.done", "text"),
        Block::Call(_) => ("response.function_call_arguments.done", "arguments"),
    };
    let fields = [&*place(voice, block), key, &*quote(&voice.text)];
    emit(voice, name, &fill(r#"$,"$":$"#, &fields), out);
    if let Some((name, part)) = part(voice, block) {
        let fields = fill(r#"$,"part":$"#, &[&place(voice, block), &part]);
        emit(voice, &format!("response.{name}.done"), &fields, out);
    }
    let item = item(voice, block, "completed");
    let fields = fill(
        r#""output_index":$,"item":$"#,
        &[&voice.blocks.to_string(), &item],
    );
    emit(voice, "response.output_item.done", &fields, out);
    voice.items.push(item);
    voice.blocks += 1;
}

/// The part of an item that a block is, and what its events are called.
fn part(voice: &Voice, block: Block) -> Option<(&'static str, String)> {
    let text = quote(&voice.text);
    Some(match block {
        Block::Text => (
            "content_part",
            fill(
                r#"{"type":"output_text","text":$,"annotations":[],"logprobs":[]}"#,
                &[&text],
            ),
        ),
        Block::Refusal => (
            "content_part",
            fill(r#"{"type":"refusal","refusal":$}"#, &[&text]),
        ),
        Block::Reasoning => (
            "reasoning_summary_part",
            fill(r#"{"type":"summary_text","text":$}"#, &[&text]),
        ),
        Block::Call(_) => return None,
    })
}

/// An item of the output; one in progress holds nothing yet.
fn item(voice: &Voice, block: Block, status: &str) -> String {
    let index = voice.blocks.to_string();
    let parts = match part(voice, block) {
        Some((_, part)) if status == "completed" => part,
        _ => String::new(),
    };
    match block {
        Block::Text | Block::Refusal => fill(
            r#"{"id":"item_$","type":"message","status":"$","role":"assistant","content":[$]}"#,
            &[&index, status, &parts],
        ),
        Block::Reasoning => fill(
            r#"{"id":"item_$","type":"reasoning","summary":[$]}"#,
            &[&index, &parts],
        ),
        Block::Call(_) => fill(
            r#"{"id":"item_$","type":"function_call","status":"$","call_id":$,"name":$,"arguments":$}"#,
            &[
                &index,
                status,
                &quote(&voice.call.0),
                &quote(&voice.call.1),
                &quote(&voice.text),
            ],
        ),
    }
}

fn response(voice: &Voice, status: &str, error: &str) -> String {
    let is_over = status != "in_progress";
    let incomplete = match voice.finish {
        _ if status != "incomplete" => "null",
        Finish::Length => r#"{"reason":"max_output_tokens"}"#,
        _ => r#"{"reason":"content_filter"}"#,
    };
    let usage = match is_over {
        true => voice.usage(USAGE),
        false => "null".to_owned(),
    };
    fill(
        r#"{"id":"resp_$","object":"response","created_at":$,"status":"$","background":false,"error":$,"incomplete_details":$,"instructions":null,"max_output_tokens":null,"model":$,"output":[$],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":false,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":$,"user":null,"metadata":{}}"#,
        &[
            &voice.id,
            &voice.created.to_string(),
            status,
            error,
            incomplete,
            &quote(&voice.model),
            &voice.items.join(","),
            &usage,
        ],
    )
}

const USAGE: &str = r#"{"input_tokens":$,"input_tokens_details":{"cached_tokens":0},"output_tokens":$,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":$}"#;
