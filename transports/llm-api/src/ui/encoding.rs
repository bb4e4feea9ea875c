//! `{"type":"start"}` … `{"type":"finish"}`: the parts of one answer.

use lmserver_proto::http1::Version;
use lmserver_runtime::event::{Kind, write_json_string};
use lmserver_runtime::plugin::transport::{Encoder, Encoding, Entry};
use serde_json::Value;

use crate::json::{number, text};
use crate::names;
use crate::sse::{data, framed};

/// In chunks of HTTP/1.1.
static CHUNKED: Parts = Parts { chunked: true };
/// As it is, for HTTP/1.0.
static PLAIN: Parts = Parts { chunked: false };

/// The encoding for a client of this version.
pub(super) fn for_version(version: Version) -> &'static dyn Encoding {
    match version {
        Version::Http11 => &CHUNKED,
        Version::Http10 => &PLAIN,
    }
}

struct Parts {
    chunked: bool,
}

impl Encoding for Parts {
    fn name(&self) -> &'static str {
        if self.chunked {
            "llm/ui/chunked"
        } else {
            "llm/ui/plain"
        }
    }

    /// Its views have encoders.
    fn encode(&self, _entry: &Entry<'_>, _out: &mut Vec<u8>) {}

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Told {
            chunked: self.chunked,
            ..Told::default()
        }))
    }
}

/// What the events so far have opened.
#[derive(Default)]
struct Told {
    chunked: bool,
    has_begun: bool,
    /// How many parts of text and of reasoning there have been: their ids.
    count: u64,
    open: Option<Part>,
    calls: Vec<Call>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Reasoning,
}

/// A tool call, whose arguments a page wants once more when they are whole.
#[derive(Default)]
struct Call {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Encoder for Told {
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if entry.kind == Kind::Start {
            return;
        }
        framed(self.chunked, out, |out| {
            if !self.has_begun {
                self.has_begun = true;
                begin(entry, out);
            }
            match entry.kind {
                Kind::Chunk | Kind::Refusal => self.piece(Part::Text, entry, out),
                Kind::Reasoning => self.piece(Part::Reasoning, entry, out),
                Kind::ToolCall => self.call(entry, out),
                Kind::End => self.end(entry, out),
                Kind::Error => self.fail(entry, out),
                Kind::Start | Kind::Data => {}
            }
        });
    }

    fn bytes(&self) -> usize {
        let texts = self
            .calls
            .iter()
            .map(|call| size_of::<Call>() + call.id.len() + call.name.len() + call.arguments.len());
        texts.sum()
    }
}

impl Told {
    fn piece(&mut self, part: Part, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if self.open != Some(part) {
            self.close(out);
            self.open = Some(part);
            self.count += 1;
            self.say(part, "-start", out, |_| {});
        }
        self.say(part, "-delta", out, |out| {
            out.extend_from_slice(br#","delta":"#);
            out.extend_from_slice(entry.text().unwrap_or(b"\"\""));
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(part) = self.open.take() {
            self.say(part, "-end", out, |_| {});
        }
    }

    /// `{"type":"text-delta","id":"1"…}`.
    fn say(&self, part: Part, what: &str, out: &mut Vec<u8>, more: impl FnOnce(&mut Vec<u8>)) {
        let kind: &[u8] = match part {
            Part::Text => b"text",
            Part::Reasoning => b"reasoning",
        };
        data(out, |out| {
            out.extend_from_slice(br#"{"type":""#);
            out.extend_from_slice(kind);
            out.extend_from_slice(what.as_bytes());
            out.extend_from_slice(br#"","id":""#);
            number(self.count, out);
            out.push(b'"');
            more(out);
            out.push(b'}');
        });
    }

    fn call(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let fragment: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let index = fragment["index"].as_u64().unwrap_or_default();
        let text_at = |key: &str| fragment[key].as_str().unwrap_or_default();
        let known = self.calls.iter().position(|call| call.index == index);
        let at = known.unwrap_or_else(|| {
            let call = Call {
                index,
                id: text_at("id").to_owned(),
                name: text_at("name").to_owned(),
                arguments: String::new(),
            };
            call_part("tool-input-start", &call, out, |_| {});
            self.calls.push(call);
            self.calls.len() - 1
        });
        let arguments = text_at("arguments");
        let Some(call) = self.calls.get_mut(at).filter(|_| !arguments.is_empty()) else {
            return;
        };
        call.arguments.push_str(arguments);
        data(out, |out| {
            out.extend_from_slice(br#"{"type":"tool-input-delta","toolCallId":"#);
            text(&call.id, out);
            out.extend_from_slice(br#","inputTextDelta":"#);
            write_json_string(arguments, out);
            out.push(b'}');
        });
    }

    /// Every call once more, with its whole input.
    fn give_inputs(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        for call in std::mem::take(&mut self.calls) {
            let whole = if call.arguments.trim().is_empty() {
                "{}"
            } else {
                &call.arguments
            };
            if serde_json::from_str::<serde::de::IgnoredAny>(whole).is_ok() {
                call_part("tool-input-available", &call, out, |out| {
                    out.extend_from_slice(br#","input":"#);
                    // Line breaks between its tokens would end the event's line.
                    out.extend(whole.bytes().map(|b| if b < b' ' { b' ' } else { b }));
                });
            } else {
                call_part("tool-input-error", &call, out, |out| {
                    out.extend_from_slice(br#","input":"#);
                    text(whole, out);
                    out.extend_from_slice(
                        br#","errorText":"the model's arguments are no valid JSON""#,
                    );
                });
            }
        }
    }

    fn end(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.give_inputs(out);
        let end: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let reason = match end["finish_reason"].as_str().unwrap_or_default() {
            "stop" => "stop",
            "length" => "length",
            "tool_calls" => "tool-calls",
            "content_filter" => "content-filter",
            "cancelled" => {
                data(out, |out| {
                    out.extend_from_slice(br#"{"type":"abort","reason":"cancelled"}"#)
                });
                return done(out);
            }
            _ => "other",
        };
        data(out, |out| {
            out.extend_from_slice(br#"{"type":"finish-step"}"#)
        });
        data(out, |out| {
            out.extend_from_slice(br#"{"type":"finish","finishReason":"#);
            text(reason, out);
            out.extend_from_slice(br#","messageMetadata":{"usage":"#);
            // A Value into a Vec: it cannot fail.
            let _ = serde_json::to_writer(&mut *out, &end["usage"]);
            out.extend_from_slice(b"}}");
        });
        done(out);
    }

    fn fail(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let failure: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        data(out, |out| {
            out.extend_from_slice(br#"{"type":"error","errorText":"#);
            text(failure["message"].as_str().unwrap_or_default(), out);
            out.push(b'}');
        });
        done(out);
    }
}

/// The answer's message has the id that its request wants, if it goes on with one of the page's.
fn begin(entry: &Entry<'_>, out: &mut Vec<u8>) {
    data(out, |out| {
        out.extend_from_slice(br#"{"type":"start","messageId":"#);
        match std::str::from_utf8(entry.note) {
            Ok(id) if !id.is_empty() => text(id, out),
            _ => text(&names::id("msg_", entry.channel), out),
        }
        out.extend_from_slice(br#","messageMetadata":{"channelId":"#);
        text(entry.channel, out);
        out.extend_from_slice(b"}}");
    });
    data(out, |out| {
        out.extend_from_slice(br#"{"type":"start-step"}"#)
    });
}

fn call_part(kind: &str, call: &Call, out: &mut Vec<u8>, more: impl FnOnce(&mut Vec<u8>)) {
    data(out, |out| {
        out.extend_from_slice(br#"{"type":"#);
        text(kind, out);
        out.extend_from_slice(br#","toolCallId":"#);
        text(&call.id, out);
        out.extend_from_slice(br#","toolName":"#);
        text(&call.name, out);
        more(out);
        out.push(b'}');
    });
}

fn done(out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: [DONE]\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{events, events_with};

    const START: (Kind, &str) = (Kind::Start, r#"{"type":"start","message":"","model":"m"}"#);
    const BEGUN: &str = "data: {\"type\":\"start\",\"messageId\":\"msg_6c9f0f668f1c4a57b2b46b1f3c1a9d00\",\"messageMetadata\":{\"channelId\":\"chat:6c9f0f66-8f1c-4a57-b2b4-6b1f3c1a9d00\"}}\n\ndata: {\"type\":\"start-step\"}\n\n";

    fn told(entries: &[(Kind, &str)]) -> Vec<String> {
        let text = events(for_version(Version::Http10), entries);
        let rest = text.strip_prefix(BEGUN).unwrap();
        let events = rest
            .split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").unwrap());
        events.map(str::to_owned).collect()
    }

    #[test]
    fn parts_follow_one_another_and_calls_are_told_whole_at_the_end() {
        let entries = [
            START,
            (Kind::Reasoning, r#"{"type":"reasoning","message":"Hm"}"#),
            (Kind::Chunk, r#"{"type":"chunk","message":"a"}"#),
            (Kind::Chunk, r#"{"type":"chunk","message":"b"}"#),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":0,"id":"i","name":"f","arguments":"{\"a\":"}"#,
            ),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":0,"arguments":"\n1}"}"#,
            ),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":1,"id":"j","name":"g","arguments":""}"#,
            ),
            (
                Kind::ToolCall,
                r#"{"type":"tool_call","message":"","index":2,"id":"k","name":"h","arguments":"{\"cu"}"#,
            ),
            (
                Kind::End,
                r#"{"type":"end","finish_reason":"tool_calls","usage":null}"#,
            ),
        ];
        assert_eq!(
            told(&entries),
            [
                r#"{"type":"reasoning-start","id":"1"}"#,
                r#"{"type":"reasoning-delta","id":"1","delta":"Hm"}"#,
                r#"{"type":"reasoning-end","id":"1"}"#,
                r#"{"type":"text-start","id":"2"}"#,
                r#"{"type":"text-delta","id":"2","delta":"a"}"#,
                r#"{"type":"text-delta","id":"2","delta":"b"}"#,
                r#"{"type":"text-end","id":"2"}"#,
                r#"{"type":"tool-input-start","toolCallId":"i","toolName":"f"}"#,
                r#"{"type":"tool-input-delta","toolCallId":"i","inputTextDelta":"{\"a\":"}"#,
                r#"{"type":"tool-input-delta","toolCallId":"i","inputTextDelta":"\n1}"}"#,
                r#"{"type":"tool-input-start","toolCallId":"j","toolName":"g"}"#,
                r#"{"type":"tool-input-start","toolCallId":"k","toolName":"h"}"#,
                r#"{"type":"tool-input-delta","toolCallId":"k","inputTextDelta":"{\"cu"}"#,
                r#"{"type":"tool-input-available","toolCallId":"i","toolName":"f","input":{"a": 1}}"#,
                r#"{"type":"tool-input-available","toolCallId":"j","toolName":"g","input":{}}"#,
                r#"{"type":"tool-input-error","toolCallId":"k","toolName":"h","input":"{\"cu","errorText":"the model's arguments are no valid JSON"}"#,
                r#"{"type":"finish-step"}"#,
                r#"{"type":"finish","finishReason":"tool-calls","messageMetadata":{"usage":null}}"#,
                "[DONE]",
            ]
        );
    }

    #[test]
    fn an_answer_that_was_cancelled_or_failed_ends_too() {
        let chunk = (Kind::Chunk, r#"{"type":"chunk","message":"a"}"#);
        let cancelled = [
            START,
            chunk,
            (Kind::End, r#"{"finish_reason":"cancelled"}"#),
        ];
        let end = r#"{"type":"abort","reason":"cancelled"}"#;
        assert_eq!(told(&cancelled)[3..], [end, "[DONE]"]);
        let failed = [
            START,
            chunk,
            (Kind::Error, r#"{"type":"error","message":"gone"}"#),
        ];
        let end = r#"{"type":"error","errorText":"gone"}"#;
        assert_eq!(
            told(&failed)[2..],
            [r#"{"type":"text-end","id":"1"}"#, end, "[DONE]"]
        );
    }

    #[test]
    fn an_answer_that_goes_on_with_a_message_of_the_page_has_its_id() {
        let entries = [START, (Kind::Chunk, r#"{"type":"chunk","message":"a"}"#)];
        let text = events_with(for_version(Version::Http11), &entries, b"mine\"");
        assert!(
            text.contains(r#"{"type":"start","messageId":"mine\"","#),
            "{text}"
        );
        assert_eq!(events(for_version(Version::Http11), &entries[..1]), "");
    }
}
