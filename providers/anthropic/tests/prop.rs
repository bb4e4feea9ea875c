//! Whatever an answer says is what comes out, however it is cut; and any bytes have one end.

use lmserver_runtime::event::Usage;
use lmserver_runtime::plugin::provider::Generation;
use proptest::prelude::*;
use serde_json::{Value, json};

use replay::Outcome;

#[expect(dead_code, reason = "recordings are replayed elsewhere")]
#[path = "../../../tests/common/replay.rs"]
mod replay;

fn generation() -> Box<dyn Generation> {
    replay::generation(lmserver_anthropic::open, "http://api.example/v1", &[])
}

/// A block of an answer.
#[derive(Debug, Clone)]
enum Block {
    Text(Vec<String>),
    Thinking(Vec<String>),
    Call(String, Vec<String>),
    /// What the provider keeps to itself, and signs of life.
    Other,
}

fn block() -> impl Strategy<Value = Block> {
    let pieces = || proptest::collection::vec("[ -~\u{e9}\u{1F600}\n]{0,8}", 0..4);
    prop_oneof![
        pieces().prop_map(Block::Text),
        pieces().prop_map(Block::Thinking),
        ("[a-z]{1,6}", pieces()).prop_map(|(name, pieces)| Block::Call(name, pieces)),
        Just(Block::Other),
    ]
}

fn event(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    format!("event: {kind}\r\ndata: {data}\r\n\r\n")
}

/// The wire of an answer, and what it is to be read as.
fn written(blocks: &[Block], usage: (u32, u32, u32)) -> (Vec<u8>, Outcome) {
    let (input, cached, output) = usage;
    let mut said = Outcome::default();
    let mut out = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_owned();
    let started = json!({"usage": {"input_tokens": input, "cache_read_input_tokens": cached}});
    out += &event("message_start", json!({"message": started}));
    for (index, block) in blocks.iter().enumerate() {
        let (begin, key, kind, pieces) = match block {
            Block::Text(pieces) => (json!({"type": "text"}), "text", "text_delta", pieces),
            Block::Thinking(pieces) => {
                let begin = json!({"type": "thinking", "thinking": ""});
                (begin, "thinking", "thinking_delta", pieces)
            }
            Block::Call(name, pieces) => {
                let id = format!("toolu_{index}");
                let begin = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                let arguments = pieces.concat();
                let arguments = Some(arguments).filter(|text| !text.is_empty());
                let arguments = arguments.unwrap_or_else(|| "{}".into());
                said.calls.push((Some(id), name.clone(), arguments));
                (begin, "partial_json", "input_json_delta", pieces)
            }
            Block::Other => {
                out += ": comment\r\n\r\n";
                out += &event("ping", json!({}));
                let block = json!({"type": "redacted_thinking", "data": "x"});
                let begin = json!({"index": index, "content_block": block});
                out += &event("content_block_start", begin);
                out += &event("content_block_stop", json!({"index": index}));
                continue;
            }
        };
        let begin = json!({"index": index, "content_block": begin});
        out += &event("content_block_start", begin);
        for piece in pieces {
            let delta = json!({"type": kind, key: piece});
            out += &event(
                "content_block_delta",
                json!({"index": index, "delta": delta}),
            );
            match block {
                Block::Text(_) => said.text += piece,
                Block::Thinking(_) => said.reasoning += piece,
                Block::Call(..) | Block::Other => {}
            }
        }
        out += &event("content_block_stop", json!({"index": index}));
    }
    let (raw, reason) = match said.calls.is_empty() {
        true => ("max_tokens", "length"),
        false => ("tool_use", "tool_calls"),
    };
    let delta = json!({"delta": {"stop_reason": raw}, "usage": {"output_tokens": output}});
    out += &event("message_delta", delta);
    out += &event("message_stop", json!({}));
    said.usage = Some(Usage {
        input_tokens: u64::from(input) + u64::from(cached),
        output_tokens: output.into(),
        cached_tokens: Some(cached.into()),
        ..Usage::default()
    });
    said.finish_reason = Some(reason);
    (out.into_bytes(), said)
}

fn read(response: &[u8], size: usize) -> Outcome {
    replay::replay(response.chunks(size), generation())
}

proptest! {
    #[test]
    fn an_answer_says_what_was_put_into_it(
        blocks in proptest::collection::vec(block(), 0..6),
        usage in any::<(u32, u32, u32)>(),
        size in 1..300_usize,
    ) {
        let (response, said) = written(&blocks, usage);
        prop_assert_eq!(read(&response, size), said);
    }

    #[test]
    fn a_cut_answer_is_the_same_however_it_came(
        blocks in proptest::collection::vec(block(), 0..4),
        cut in 0..2000_usize,
        size in 1..40_usize,
    ) {
        let (response, _) = written(&blocks, (1, 2, 3));
        let cut = &response[..cut.min(response.len())];
        let whole = read(cut, cut.len().max(1));
        prop_assert_eq!(read(cut, size), whole);
    }

    #[test]
    fn any_event_has_one_outcome(
        lines in proptest::collection::vec(line(), 0..8),
        size in 1..40_usize,
    ) {
        let mut response = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        lines.iter().for_each(|line| response.extend_from_slice(line.as_bytes()));
        let whole = read(&response, response.len());
        prop_assert_eq!(read(&response, size), whole);
    }
}

/// Events whose keys and types are known and whose values are not what they should be.
fn line() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        Just("message_start"),
        Just("content_block_start"),
        Just("content_block_delta"),
        Just("content_block_stop"),
        Just("message_delta"),
        Just("ping"),
        Just("x"),
    ];
    let value = || {
        prop_oneof![
            Just("null"),
            Just("0"),
            Just("1"),
            Just("-1"),
            Just("\"a\""),
            Just("[]"),
            Just("{}"),
            Just("1e99"),
            Just("{\"type\":\"tool_use\",\"name\":\"f\",\"input\":null}"),
            Just("{\"type\":\"tool_use\",\"id\":7,\"name\":\"\",\"input\":{\"a\":1}}"),
            Just("{\"type\":\"text\",\"text\":\"\\ud83d\"}"),
            Just("{\"partial_json\":\"{\",\"text\":7}"),
            Just("{\"stop_reason\":\"refusal\",\"stop_details\":[]}"),
            Just("{\"input_tokens\":\"9\",\"output_tokens\":18446744073709551615}"),
        ]
    };
    (kind, value(), value(), value(), value()).prop_map(|(kind, index, delta, block, usage)| {
        format!(
            "data: {{\"type\":\"{kind}\",\"index\":{index},\"delta\":{delta},\
             \"content_block\":{block},\"usage\":{usage}}}\n\n"
        )
    })
}
