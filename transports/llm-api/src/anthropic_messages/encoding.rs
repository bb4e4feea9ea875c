//! `event: message_start` … `event: message_stop`: the events of one answer.
//!
//! Blocks follow one another: a block is closed by what does not belong to it. A fragment of a tool
//! call that comes after its block was closed (calls that are streamed side by side) is told all
//! the same, under its block's number, as clients put blocks together by number.

use lmserver_proto::http1::Version;
use lmserver_runtime::event::{Kind, write_json_string};
use lmserver_runtime::plugin::transport::{Encoder, Encoding, Entry};
use serde_json::Value;

use super::reasons;
use crate::json::{number, text};
use crate::names;
use crate::sse::{framed, named};

/// In chunks of HTTP/1.1.
static CHUNKED: Messages = Messages { chunked: true };
/// As it is, for HTTP/1.0.
static PLAIN: Messages = Messages { chunked: false };

/// The encoding for a client of this version.
pub(super) fn for_version(version: Version) -> &'static dyn Encoding {
    match version {
        Version::Http11 => &CHUNKED,
        Version::Http10 => &PLAIN,
    }
}

struct Messages {
    chunked: bool,
}

impl Encoding for Messages {
    fn name(&self) -> &'static str {
        if self.chunked {
            "llm/messages/chunked"
        } else {
            "llm/messages/plain"
        }
    }

    /// Its views have encoders.
    fn encode(&self, _entry: &Entry<'_>, _out: &mut Vec<u8>) {}

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Blocks {
            chunked: self.chunked,
            ..Blocks::default()
        }))
    }
}

/// What the events so far have opened.
#[derive(Default)]
struct Blocks {
    chunked: bool,
    /// The model as it was asked for.
    model: String,
    has_begun: bool,
    has_refused: bool,
    /// How many blocks there have been.
    count: u64,
    /// The one that is open; it is the last.
    open: Option<Block>,
    /// The block of each tool call.
    calls: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    /// The call of this number.
    Call(u64),
}

impl Encoder for Blocks {
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if entry.kind == Kind::Start {
            let start: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
            start["model"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut self.model);
            return;
        }
        framed(self.chunked, out, |out| {
            if !self.has_begun {
                self.has_begun = true;
                self.begin(entry, out);
            }
            match entry.kind {
                Kind::Chunk => self.piece(Block::Text, entry, out),
                Kind::Refusal => {
                    self.has_refused = true;
                    self.piece(Block::Text, entry, out);
                }
                Kind::Reasoning => self.piece(Block::Thinking, entry, out),
                Kind::ToolCall => self.call(entry, out),
                Kind::End => self.end(entry, out),
                Kind::Error => fail(entry, out),
                Kind::Start | Kind::Data => {}
            }
        });
    }

    fn bytes(&self) -> usize {
        self.model.capacity() + self.calls.capacity() * size_of::<(u64, u64)>()
    }
}

impl Blocks {
    fn begin(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        named("message_start", out, |out| {
            out.extend_from_slice(br#"{"type":"message_start","message":{"id":"#);
            text(&names::id("msg_", entry.channel), out);
            out.extend_from_slice(br#","type":"message","role":"assistant","model":"#);
            text(&self.model, out);
            out.extend_from_slice(
                br#","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}"#,
            );
        });
    }

    /// A piece of text or of thinking.
    fn piece(&mut self, block: Block, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let (start, kind, key) = match block {
            Block::Thinking => (
                &br#"{"type":"thinking","thinking":"","signature":""}"#[..],
                &br#"{"type":"thinking_delta","thinking":"#[..],
                block,
            ),
            Block::Text | Block::Call(_) => (
                &br#"{"type":"text","text":""}"#[..],
                &br#"{"type":"text_delta","text":"#[..],
                block,
            ),
        };
        if self.open != Some(key) {
            self.open(key, out, |out| out.extend_from_slice(start));
        }
        let last = self.count.saturating_sub(1);
        delta(last, out, |out| {
            out.extend_from_slice(kind);
            out.extend_from_slice(entry.text().unwrap_or(b"\"\""));
            out.push(b'}');
        });
    }

    fn call(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let call: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let index = call["index"].as_u64().unwrap_or_default();
        let known = self.calls.iter().find(|(call, _)| *call == index);
        let block = match known {
            Some((_, block)) => *block,
            None => {
                self.open(Block::Call(index), out, |out| {
                    out.extend_from_slice(br#"{"type":"tool_use","id":"#);
                    text(call["id"].as_str().unwrap_or_default(), out);
                    out.extend_from_slice(br#","name":"#);
                    text(call["name"].as_str().unwrap_or_default(), out);
                    out.extend_from_slice(br#","input":{}}"#);
                });
                let block = self.count.saturating_sub(1);
                self.calls.push((index, block));
                block
            }
        };
        let arguments = call["arguments"].as_str().unwrap_or_default();
        if !arguments.is_empty() {
            delta(block, out, |out| {
                out.extend_from_slice(br#"{"type":"input_json_delta","partial_json":"#);
                write_json_string(arguments, out);
                out.push(b'}');
            });
        }
    }

    fn end(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let end: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let reason = end["finish_reason"].as_str().unwrap_or_default();
        named("message_delta", out, |out| {
            out.extend_from_slice(br#"{"type":"message_delta","delta":{"stop_reason":"#);
            text(reasons::stop_reason(reason, self.has_refused), out);
            out.extend_from_slice(br#","stop_sequence":null},"usage":"#);
            let count = |key: &str| end["usage"][key].as_u64();
            let (input, output) = (count("input_tokens"), count("output_tokens"));
            reasons::usage(
                input.unwrap_or(0),
                count("cached_tokens"),
                output.unwrap_or(0),
                out,
            );
            out.push(b'}');
        });
        named("message_stop", out, |out| {
            out.extend_from_slice(br#"{"type":"message_stop"}"#);
        });
    }

    fn open(&mut self, block: Block, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.close(out);
        named("content_block_start", out, |out| {
            out.extend_from_slice(br#"{"type":"content_block_start","index":"#);
            number(self.count, out);
            out.extend_from_slice(br#","content_block":"#);
            write(out);
            out.push(b'}');
        });
        self.open = Some(block);
        self.count += 1;
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_none() {
            return;
        }
        named("content_block_stop", out, |out| {
            out.extend_from_slice(br#"{"type":"content_block_stop","index":"#);
            number(self.count.saturating_sub(1), out);
            out.push(b'}');
        });
    }
}

fn delta(block: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    named("content_block_delta", out, |out| {
        out.extend_from_slice(br#"{"type":"content_block_delta","index":"#);
        number(block, out);
        out.extend_from_slice(br#","delta":"#);
        write(out);
        out.push(b'}');
    });
}

fn fail(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let failure: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
    let code = failure["code"].as_str().unwrap_or_default();
    let message = failure["message"].as_str().unwrap_or_default();
    named("error", out, |out| reasons::error(code, message, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::events;

    /// The events in short: names, and what they carry.
    fn told(entries: &[(Kind, &str)]) -> Vec<String> {
        let text = events(for_version(Version::Http10), entries);
        let blocks = text.split_terminator("\n\n").map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name, "{event}");
            let shown = match name {
                "content_block_start" => {
                    format!("{} {}", data["index"], data["content_block"]["type"])
                }
                "content_block_delta" => format!("{} {}", data["index"], data["delta"]),
                "content_block_stop" => data["index"].to_string(),
                "message_start" => data["message"]["model"].to_string(),
                "message_delta" => format!("{} {}", data["delta"]["stop_reason"], data["usage"]),
                "error" => data["error"].to_string(),
                _ => String::new(),
            };
            format!("{name} {shown}").trim_end().to_owned()
        });
        blocks.collect()
    }

    const START: (Kind, &str) = (Kind::Start, r#"{"type":"start","message":"","model":"m"}"#);
    const END: (Kind, &str) = (
        Kind::End,
        r#"{"type":"end","finish_reason":"stop","usage":{"input_tokens":9,"output_tokens":4,"cached_tokens":2}}"#,
    );

    #[test]
    fn blocks_follow_one_another() {
        let entries = [
            START,
            (Kind::Reasoning, r#"{"type":"reasoning","message":"Hm"}"#),
            (Kind::Chunk, r#"{"type":"chunk","message":"a\n"}"#),
            (Kind::Chunk, r#"{"type":"chunk","message":"b"}"#),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":0,"id":"i","name":"f","arguments":"{}"}"#,
            ),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":1,"id":"j","name":"g","arguments":""}"#,
            ),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":0,"arguments":" "}"#,
            ),
            END,
        ];
        assert_eq!(
            told(&entries),
            [
                r#"message_start "m""#,
                r#"content_block_start 0 "thinking""#,
                r#"content_block_delta 0 {"thinking":"Hm","type":"thinking_delta"}"#,
                "content_block_stop 0",
                r#"content_block_start 1 "text""#,
                r#"content_block_delta 1 {"text":"a\n","type":"text_delta"}"#,
                r#"content_block_delta 1 {"text":"b","type":"text_delta"}"#,
                "content_block_stop 1",
                r#"content_block_start 2 "tool_use""#,
                r#"content_block_delta 2 {"partial_json":"{}","type":"input_json_delta"}"#,
                "content_block_stop 2",
                r#"content_block_start 3 "tool_use""#,
                r#"content_block_delta 2 {"partial_json":" ","type":"input_json_delta"}"#,
                "content_block_stop 3",
                r#"message_delta "end_turn" {"cache_read_input_tokens":2,"input_tokens":7,"output_tokens":4}"#,
                "message_stop",
            ]
        );
    }

    #[test]
    fn every_end_has_its_stop_reason() {
        for (reason, refusal, want) in [
            ("stop", false, "end_turn"),
            ("length", false, "max_tokens"),
            ("tool_calls", false, "tool_use"),
            ("content_filter", false, "refusal"),
            ("cancelled", false, "end_turn"),
            ("stop", true, "refusal"),
        ] {
            let end = format!(r#"{{"finish_reason":"{reason}","usage":null}}"#);
            let mut entries = vec![START];
            if refusal {
                entries.push((Kind::Refusal, r#"{"type":"refusal","message":"no"}"#));
            }
            entries.push((Kind::End, &end));
            let told = told(&entries);
            let usage = r#"{"input_tokens":0,"output_tokens":0}"#;
            assert_eq!(
                told[told.len() - 2],
                format!("message_delta \"{want}\" {usage}")
            );
        }
    }

    #[test]
    fn a_failure_is_the_last_event() {
        let failure = r#"{"type":"error","message":"gone","code":"provider_overloaded"}"#;
        let entries = [
            START,
            (Kind::Chunk, r#"{"type":"chunk","message":"a"}"#),
            (Kind::Error, failure),
        ];
        let told = told(&entries);
        assert_eq!(
            told.last().unwrap(),
            r#"error {"message":"gone","type":"overloaded_error"}"#
        );
    }

    #[test]
    fn a_start_alone_is_nothing() {
        assert_eq!(events(for_version(Version::Http11), &[START]), "");
    }
}
