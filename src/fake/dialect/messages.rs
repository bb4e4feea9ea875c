//! Anthropic Messages: named events around blocks of content, `message_stop`.

use super::{Block, Said, Say, Voice, error, fill, list, quote, quote_or_null};

pub(super) fn say(voice: &mut Voice, say: &Say<'_>, out: &mut Vec<u8>) {
    match say {
        Say::Open => {
            let input = voice.input_tokens.to_string();
            let data = fill(
                r#"{"type":"message_start","message":{"id":"msg_$","type":"message","role":"assistant","model":$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":$,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}"#,
                &[&voice.id, &quote(&voice.model), &input],
            );
            voice.event(Some("message_start"), &data, out);
            voice.event(Some("ping"), r#"{"type": "ping"}"#, out);
        }
        Say::Text(text) => {
            let block = r#"{"type":"text","text":""}"#;
            enter(voice, Some((Block::Text, block)), out);
            delta(voice, r#"{"type":"text_delta","text":$}"#, text, out);
        }
        Say::Reasoning(text) => {
            let block = r#"{"type":"thinking","thinking":"","signature":""}"#;
            enter(voice, Some((Block::Reasoning, block)), out);
            let template = r#"{"type":"thinking_delta","thinking":$}"#;
            delta(voice, template, text, out);
        }
        Say::Refusal(text) => voice.keep(text),
        Say::Call(index, call) => {
            let block = fill(
                r#"{"type":"tool_use","id":$,"name":$,"input":{}}"#,
                &[&quote(&call.id), &quote(&call.name)],
            );
            enter(voice, Some((Block::Call(*index), &block)), out);
        }
        Say::Arguments(_, text) => {
            let template = r#"{"type":"input_json_delta","partial_json":$}"#;
            delta(voice, template, text, out);
        }
        Say::Finish => finish(voice, out),
        Say::Mark => voice.event(Some("message_stop"), r#"{"type":"message_stop"}"#, out),
        Say::Error(status) => {
            let data = error::body(voice.dialect, *status);
            voice.event(Some("error"), &data, out);
        }
        Say::BadJson | Say::Comment => {}
    }
}

fn enter(voice: &mut Voice, block: Option<(Block, &str)>, out: &mut Vec<u8>) {
    let (former, is_new) = voice.enter(block.map(|(block, _)| block));
    if let Some(former) = former {
        if former == Block::Reasoning {
            delta(
                voice,
                r#"{"type":"signature_delta","signature":$}"#,
                "c2lnbmVk",
                out,
            );
        }
        let index = voice.blocks.to_string();
        let data = fill(r#"{"type":"content_block_stop","index":$}"#, &[&index]);
        voice.event(Some("content_block_stop"), &data, out);
        voice.blocks += 1;
    }
    if let Some((_, block)) = block.filter(|_| is_new) {
        let data = fill(
            r#"{"type":"content_block_start","index":$,"content_block":$}"#,
            &[&voice.blocks.to_string(), block],
        );
        voice.event(Some("content_block_start"), &data, out);
    }
}

fn delta(voice: &Voice, template: &str, text: &str, out: &mut Vec<u8>) {
    let delta = fill(template, &[&quote(text)]);
    let data = fill(
        r#"{"type":"content_block_delta","index":$,"delta":$}"#,
        &[&voice.blocks.to_string(), &delta],
    );
    voice.event(Some("content_block_delta"), &data, out);
}

fn finish(voice: &mut Voice, out: &mut Vec<u8>) {
    enter(voice, None, out);
    let (reason, details) = match voice.text.as_str() {
        "" => (voice.reason(REASONS), String::new()),
        refusal => (
            Some("refusal"),
            fill(
                r#","stop_details":{"type":"refusal","category":null,"explanation":$}"#,
                &[&quote(refusal)],
            ),
        ),
    };
    let usage = match voice.has_usage {
        true => fill(
            r#","usage":{"output_tokens":$}"#,
            &[&voice.output_tokens.to_string()],
        ),
        false => String::new(),
    };
    if let Some(reason) = reason {
        let data = fill(
            r#"{"type":"message_delta","delta":{"stop_reason":"$","stop_sequence":null$}$}"#,
            &[reason, &details, &usage],
        );
        voice.event(Some("message_delta"), &data, out);
    }
}

pub(super) fn whole(voice: &Voice, said: &Said<'_>) -> String {
    let mut blocks = Vec::new();
    if !said.reasoning.is_empty() {
        blocks.push(fill(
            r#"{"type":"thinking","thinking":$,"signature":"c2lnbmVk"}"#,
            &[&quote(&said.reasoning)],
        ));
    }
    if !said.text.is_empty() {
        let text = quote(&said.text);
        blocks.push(fill(r#"{"type":"text","text":$}"#, &[&text]));
    }
    blocks.extend(said.calls.iter().map(|call| {
        fill(
            r#"{"type":"tool_use","id":$,"name":$,"input":$}"#,
            &[&quote(&call.id), &quote(&call.name), &call.arguments],
        )
    }));
    let reason = match said.refusal.as_str() {
        "" => voice.reason(REASONS),
        _ => Some("refusal"),
    };
    fill(
        r#"{"id":"msg_$","type":"message","role":"assistant","model":$,"content":[$],"stop_reason":$,"stop_sequence":null,"usage":{"input_tokens":$,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":$}}"#,
        &[
            &voice.id,
            &quote(&voice.model),
            &list(blocks),
            &quote_or_null(reason),
            &voice.input_tokens.to_string(),
            &voice.output_tokens.to_string(),
        ],
    )
}

const REASONS: [&str; 4] = ["end_turn", "max_tokens", "tool_use", "refusal"];
