//! Whatever an answer says is what comes out, however it is cut; and any messages have one end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lmserver_proto::aws_event_stream::{Value as Header, write_message};
use lmserver_runtime::event::Usage;
use lmserver_runtime::plugin::provider::Generation;
use proptest::prelude::*;
use serde_json::{Value, json};

use replay::Outcome;

#[expect(dead_code, reason = "recordings are replayed elsewhere")]
#[path = "../../../tests/common/replay.rs"]
mod replay;

fn generation() -> Box<dyn Generation> {
    replay::generation(lmserver_bedrock::open, "http://api.example", &[])
}

/// A block of an answer.
#[derive(Debug, Clone)]
enum Block {
    Text(Vec<String>),
    Reasoning(Vec<String>),
    Call(String, Vec<String>),
    /// What is not known, or not for clients.
    Other,
}

fn block() -> impl Strategy<Value = Block> {
    let pieces = || proptest::collection::vec("[ -~\u{e9}\u{1F600}\n]{0,8}", 0..4);
    prop_oneof![
        pieces().prop_map(Block::Text),
        pieces().prop_map(Block::Reasoning),
        ("[a-z]{1,6}", pieces()).prop_map(|(name, pieces)| Block::Call(name, pieces)),
        Just(Block::Other),
    ]
}

fn message(out: &mut Vec<u8>, kind: &str, payload: &[u8]) {
    let headers = [
        (":event-type", Header::String(kind)),
        (":content-type", Header::String("application/json")),
        (":message-type", Header::String("event")),
    ];
    write_message(out, &headers, payload).unwrap();
}

fn event(out: &mut Vec<u8>, kind: &str, data: &Value) {
    message(out, kind, data.to_string().as_bytes());
}

fn head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\r\n".to_vec()
}

/// The wire of an answer, and what it is to be read as.
fn written(blocks: &[Block], usage: (u32, u32, u32)) -> (Vec<u8>, Outcome) {
    let (input, cached, output) = usage;
    let mut said = Outcome::default();
    let mut out = head();
    event(
        &mut out,
        "messageStart",
        &json!({"role": "assistant", "p": "abc"}),
    );
    for (index, block) in blocks.iter().enumerate() {
        let delta = |out: &mut Vec<u8>, delta: Value| {
            let data = json!({"contentBlockIndex": index, "delta": delta, "p": "ab"});
            event(out, "contentBlockDelta", &data);
        };
        match block {
            Block::Text(pieces) => {
                for piece in pieces {
                    delta(&mut out, json!({"text": piece}));
                    said.text += piece;
                }
            }
            Block::Reasoning(pieces) => {
                for piece in pieces {
                    delta(&mut out, json!({"reasoningContent": {"text": piece}}));
                    said.reasoning += piece;
                }
                delta(&mut out, json!({"reasoningContent": {"signature": "s"}}));
            }
            Block::Call(name, pieces) => {
                let id = format!("tooluse_{index}");
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                let start = json!({"contentBlockIndex": index, "start": start});
                event(&mut out, "contentBlockStart", &start);
                for piece in pieces {
                    delta(&mut out, json!({"toolUse": {"input": piece}}));
                }
                let arguments = Some(pieces.concat()).filter(|text| !text.is_empty());
                let arguments = arguments.unwrap_or_else(|| "{}".into());
                said.calls.push((Some(id), name.clone(), arguments));
            }
            Block::Other => {
                delta(&mut out, json!({"citation": {"title": "t"}}));
                message(&mut out, "later", b"\xff");
            }
        }
        let stop = json!({"contentBlockIndex": index});
        event(&mut out, "contentBlockStop", &stop);
    }
    let (raw, reason) = if said.calls.is_empty() {
        ("max_tokens", "length")
    } else {
        ("tool_use", "tool_calls")
    };
    event(&mut out, "messageStop", &json!({"stopReason": raw}));
    let usage = json!({"inputTokens": input, "outputTokens": output,
        "cacheReadInputTokens": cached});
    event(&mut out, "metadata", &json!({"usage": usage}));
    said.usage = Some(Usage {
        input_tokens: u64::from(input) + u64::from(cached),
        output_tokens: output.into(),
        cached_tokens: Some(cached.into()),
        ..Usage::default()
    });
    said.finish_reason = Some(reason);
    (out, said)
}

fn read(response: &[u8], size: usize) -> Outcome {
    replay::replay(response.chunks(size), generation())
}

/// An event whose type is known and whose values are not what they should be.
fn odd_event() -> impl Strategy<Value = (&'static str, String)> {
    let kind = prop_oneof![
        Just("messageStart"),
        Just("contentBlockStart"),
        Just("contentBlockDelta"),
        Just("contentBlockStop"),
        Just("messageStop"),
        Just("metadata"),
        Just(""),
    ];
    let value = || {
        prop_oneof![
            Just("null"),
            Just("0"),
            Just("-1"),
            Just("\"end_turn\""),
            Just("[]"),
            Just("{}"),
            Just("1e99"),
            Just("{\"toolUse\":{\"name\":\"f\",\"toolUseId\":7}}"),
            Just("{\"toolUse\":{\"input\":null}}"),
            Just("{\"toolUse\":7}"),
            Just("{\"text\":\"\\ud83d\"}"),
            Just("{\"reasoningContent\":{\"text\":7}}"),
            Just("{\"inputTokens\":\"9\",\"outputTokens\":18446744073709551615}"),
        ]
    };
    (kind, value(), value(), value(), value()).prop_map(|(kind, index, delta, start, rest)| {
        let data = format!(
            "{{\"contentBlockIndex\":{index},\"delta\":{delta},\"start\":{start},\
             \"stopReason\":{rest},\"usage\":{rest}}}"
        );
        (kind, data)
    })
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
    fn a_damaged_answer_has_one_outcome(
        blocks in proptest::collection::vec(block(), 1..4),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        size in 1..40_usize,
    ) {
        let (mut response, said) = written(&blocks, (1, 2, 3));
        let start = head().len();
        let at = start + at.index(response.len() - start);
        response[at] ^= 1 << bit;
        let whole = read(&response, response.len());
        prop_assert!(whole.finish_reason.is_none(), "a checksum tells");
        prop_assert!(said.text.starts_with(&whole.text));
        prop_assert_eq!(read(&response, size), whole);
    }

    #[test]
    fn any_event_has_one_outcome(
        events in proptest::collection::vec(odd_event(), 0..8),
        size in 1..40_usize,
    ) {
        let mut response = head();
        for (kind, data) in &events {
            message(&mut response, kind, data.as_bytes());
        }
        let whole = read(&response, response.len());
        prop_assert_eq!(read(&response, size), whole);
    }
}
