//! Whatever an answer says is what comes out, however it is cut; and any messages have one end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use lmserver_proto::aws_event_stream::{Value as Header, write_message};
use lmserver_runtime::event::{FinishReason, Usage};
use lmserver_runtime::plugin::provider::{Generation, Output};
use proptest::prelude::*;
use serde_json::{Value, json};

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

/// What an answer says, put together.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    reasoning: String,
    /// Id, name, arguments.
    calls: Vec<(String, String, String)>,
    end: Option<(FinishReason, Option<Usage>)>,
    error: Option<String>,
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
fn written(blocks: &[Block], usage: (u32, u32, u32)) -> (Vec<u8>, Said) {
    let (input, cached, output) = usage;
    let mut said = Said::default();
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
                said.calls.push((id, name.clone(), arguments));
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
        ("max_tokens", FinishReason::Length)
    } else {
        ("tool_use", FinishReason::ToolCalls)
    };
    event(&mut out, "messageStop", &json!({"stopReason": raw}));
    let usage = json!({"inputTokens": input, "outputTokens": output,
        "cacheReadInputTokens": cached});
    event(&mut out, "metadata", &json!({"usage": usage}));
    let usage = Usage {
        input_tokens: u64::from(input) + u64::from(cached),
        output_tokens: output.into(),
        cached_tokens: Some(cached.into()),
        ..Usage::default()
    };
    said.end = Some((reason, Some(usage)));
    (out, said)
}

fn read(response: &[u8], size: usize) -> Said {
    let mut generation = generation();
    let mut said = Said::default();
    let mut out = Vec::new();
    for piece in response.chunks(size) {
        let result = generation.receive(piece, &mut out);
        out.drain(..).for_each(|output| said.add(output));
        if let Err(error) = result {
            said.error = Some(error.to_string());
            return said;
        }
    }
    if said.end.is_none() {
        let result = generation.closed(&mut out);
        out.drain(..).for_each(|output| said.add(output));
        said.error = result.err().map(|error| error.to_string());
    }
    assert!(
        said.end.is_some() != said.error.is_some(),
        "one end: {said:?}"
    );
    said
}

impl Said {
    fn add(&mut self, output: Output) {
        assert!(
            self.end.is_none() || output == Output::Alive,
            "{output:?} after the end"
        );
        match output {
            Output::Alive => {}
            Output::Chunk(text) => self.text += &text,
            Output::Reasoning(text) => self.reasoning += &text,
            Output::Refusal(text) => panic!("{text}"),
            Output::ToolCall(call) => {
                if let Some(id) = call.id {
                    assert_eq!(call.index as usize, self.calls.len());
                    let name = call.name.unwrap_or_default();
                    self.calls.push((id.into(), name.into(), String::new()));
                }
                self.calls[call.index as usize].2 += &call.arguments;
            }
            Output::End {
                finish_reason,
                usage,
            } => self.end = Some((finish_reason, usage)),
        }
    }
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
        prop_assert!(whole.end.is_none(), "a checksum tells");
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
