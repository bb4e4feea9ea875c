//! Events as `chat.completion.chunk`s.
//!
//! All that the chunks of a choice have in common is put together once, when it begins. A chunk
//! with text is then three copies, and the text's JSON is copied as the channel has it.

use lmserver_proto::http1::write_chunk_of;
use lmserver_runtime::event::{ErrorCode, Kind};
use lmserver_runtime::plugin::transport::{Encoder, Encoding, Entry};
use serde_json::Value;

use super::Form;
use crate::sse::{data, framed};
use crate::{json, names, openai};

/// The encoding of a form.
pub(super) fn of(chunked: bool, form: Form) -> &'static dyn Encoding {
    let wanted = |it: &&Chunks| it.chunked == chunked && it.form == form;
    ENCODINGS.iter().find(wanted).unwrap_or(&ENCODINGS[0])
}

struct Chunks {
    name: &'static str,
    chunked: bool,
    form: Form,
}

const fn chunks(name: &'static str, chunked: bool, usage: bool, legacy: bool) -> Chunks {
    let form = Form { usage, legacy };
    Chunks {
        name,
        chunked,
        form,
    }
}

static ENCODINGS: [Chunks; 8] = [
    chunks("chat/plain", false, false, false),
    chunks("chat/chunked", true, false, false),
    chunks("chat/plain/usage", false, true, false),
    chunks("chat/chunked/usage", true, true, false),
    chunks("chat/plain/legacy", false, false, true),
    chunks("chat/chunked/legacy", true, false, true),
    chunks("chat/plain/usage/legacy", false, true, true),
    chunks("chat/chunked/usage/legacy", true, true, true),
];

impl Encoding for Chunks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        debug_assert!(false, "it has an encoder");
        Choice::new(self).encode(entry, out);
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Choice::new(self)))
    }
}

/// One choice, as far as it is told.
struct Choice {
    chunked: bool,
    form: Form,
    /// The chunk that says whose words follow, without its framing. It is told together with the
    /// first of them.
    opening: Vec<u8>,
    /// Bytes of it up to the delta, which all chunks begin with.
    head_bytes: usize,
    has_begun: bool,
}

impl Choice {
    fn new(encoding: &Chunks) -> Self {
        Self {
            chunked: encoding.chunked,
            form: encoding.form,
            opening: Vec::new(),
            head_bytes: 0,
            has_begun: false,
        }
    }

    /// Makes all that the first word would have to wait for.
    fn start(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let start = entry.json.whole();
        let model = json::string_at(&start, "model");
        let names = entry.channel.len() + model.as_ref().map_or(0, |it| it.len());
        let mut opening = Vec::with_capacity(names + OPENING_ROOM);
        opening.extend_from_slice(b"data: ");
        chunk_until_choices(
            entry.channel,
            entry.created,
            model.as_deref().unwrap_or(""),
            &mut opening,
        );
        opening.extend_from_slice(br#"[{"index":"#);
        json::number(names::index(entry.channel) as u64, &mut opening);
        opening.extend_from_slice(br#","delta":"#);
        self.head_bytes = opening.len();
        opening.extend_from_slice(br#"{"role":"assistant","content":"","refusal":null}"#);
        self.end_chunk(&mut opening, None);
        out.reserve(opening.len() + self.head_bytes + FIRST_ROOM);
        self.opening = opening;
    }

    fn head(&self) -> &[u8] {
        self.opening.get(..self.head_bytes).unwrap_or_default()
    }

    fn write(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if entry.kind == Kind::Error {
            return write_error(entry, out);
        }
        if !self.has_begun {
            self.has_begun = true;
            out.extend_from_slice(&self.opening);
        }
        if let Some((before, text)) = spoken(entry) {
            return self.text(before, text, out);
        }
        match entry.kind {
            Kind::ToolCall => {
                self.chunk(out, None, |out| {
                    write_call(self.form, &entry.json.whole(), out)
                });
            }
            Kind::End => {
                let end = entry.json.whole();
                let reason = json::string_at(&end, "finish_reason");
                let reason = finish_reason(self.form, reason.as_deref().unwrap_or("stop"));
                self.chunk(out, Some(reason), |out| out.extend_from_slice(b"{}"));
            }
            _ => {}
        }
    }

    fn text(&self, before: &[u8], text: &[u8], out: &mut Vec<u8>) {
        for part in self.text_parts(before, text) {
            out.extend_from_slice(part);
        }
    }

    /// A chunk with text, in parts.
    fn text_parts<'a>(&'a self, before: &'a [u8], text: &'a [u8]) -> [&'a [u8]; 4] {
        let after: &[u8] = if self.form.usage {
            b"},\"finish_reason\":null}],\"usage\":null}\n\n"
        } else {
            b"},\"finish_reason\":null}]}\n\n"
        };
        [self.head(), before, text, after]
    }

    fn chunk(&self, out: &mut Vec<u8>, reason: Option<&str>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(self.head());
        delta(out);
        self.end_chunk(out, reason);
    }

    fn end_chunk(&self, out: &mut Vec<u8>, reason: Option<&str>) {
        if reason.is_some() {
            out.extend_from_slice(br#","finish_reason":"#);
            json::text_or_null(reason, out);
        } else {
            out.extend_from_slice(br#","finish_reason":null"#);
        }
        out.extend_from_slice(if self.form.usage {
            b"}],\"usage\":null}\n\n"
        } else {
            b"}]}\n\n"
        });
    }
}

impl Encoder for Choice {
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if entry.kind == Kind::Start {
            return self.start(entry, out);
        }
        // The hot path: a token to a client that reads chunks.
        if self.chunked
            && let Some((before, text)) = spoken(entry)
        {
            let opening: &[u8] = if self.has_begun { &[] } else { &self.opening };
            let [head, before, text, after] = self.text_parts(before, text);
            write_chunk_of(out, &[opening, head, before, text, after]);
            self.has_begun = true;
            return;
        }
        framed(self.chunked, out, |out| self.write(entry, out));
    }

    fn bytes(&self) -> usize {
        self.opening.len()
    }
}

/// How the delta of an event with text begins, and its text in JSON.
fn spoken<'a>(entry: &Entry<'a>) -> Option<(&'static [u8], &'a [u8])> {
    let before: &[u8] = match entry.kind {
        Kind::Chunk => br#"{"content":"#,
        Kind::Reasoning => br#"{"reasoning_content":"#,
        Kind::Refusal => br#"{"refusal":"#,
        _ => return None,
    };
    Some((before, entry.text()?))
}

/// Appends what all chunks of an answer begin with, up to the value of `choices`.
pub(super) fn chunk_until_choices(channel: &str, created: u64, model: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"id":"#);
    json::text(&names::id("chatcmpl-", channel), out);
    out.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
    json::number(created, out);
    out.extend_from_slice(br#","model":"#);
    json::text(model, out);
    out.extend_from_slice(br#","choices":"#);
}

/// OpenAI's word for how an answer ended. An answer that was cancelled is one that stopped.
pub(super) fn finish_reason(form: Form, reason: &str) -> &str {
    match reason {
        "cancelled" => "stop",
        "tool_calls" if form.legacy => "function_call",
        reason => reason,
    }
}

fn write_error(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let failure: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
    let word = |key: &str| failure.get(key).and_then(Value::as_str).unwrap_or("");
    let code = ErrorCode::parse(word("code")).unwrap_or(ErrorCode::Internal);
    data(out, |out| openai::error(code, word("message"), out));
}

/// Bytes of the first chunk, without the names in it.
const OPENING_ROOM: usize = 256;

/// Bytes of a chunk behind its head, with a text of usual size, and of the framing.
const FIRST_ROOM: usize = 128;

/// What stands in the JSON of a call's fragment before its index.
const CALL: &[u8] = br#"{"type":"tool_call","message":"","index":"#;

/// Appends a fragment of a call as a delta.
fn write_call(form: Form, fragment: &[u8], out: &mut Vec<u8>) {
    if !form.legacy
        && let Some((index, arguments)) = further_arguments(fragment)
    {
        out.extend_from_slice(br#"{"tool_calls":[{"index":"#);
        out.extend_from_slice(index);
        out.extend_from_slice(br#","function":{"arguments":"#);
        out.extend_from_slice(arguments);
        return out.extend_from_slice(b"}}]}");
    }
    let fragment: Value = serde_json::from_slice(fragment).unwrap_or_default();
    let text = |key: &str| fragment.get(key).and_then(Value::as_str);
    let function = |out: &mut Vec<u8>| {
        out.push(b'{');
        if let Some(name) = text("name") {
            out.extend_from_slice(br#""name":"#);
            json::text(name, out);
            out.push(b',');
        }
        out.extend_from_slice(br#""arguments":"#);
        json::text(text("arguments").unwrap_or(""), out);
        out.push(b'}');
    };
    if form.legacy {
        out.extend_from_slice(br#"{"function_call":"#);
        function(out);
        return out.push(b'}');
    }
    out.extend_from_slice(br#"{"tool_calls":[{"index":"#);
    let index = fragment.get("index").and_then(Value::as_u64);
    json::number(index.unwrap_or(0), out);
    if let Some(id) = text("id") {
        out.extend_from_slice(br#","id":"#);
        json::text(id, out);
        out.extend_from_slice(br#","type":"function""#);
    }
    out.extend_from_slice(br#","function":"#);
    function(out);
    out.extend_from_slice(b"}]}");
}

/// The index and the arguments of a fragment that is nothing else, as they are written.
fn further_arguments(fragment: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = fragment.strip_prefix(CALL)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (index, rest) = rest.split_at_checked(digits)?;
    let arguments = rest.strip_prefix(br#","arguments":"#)?;
    Some((index, arguments.strip_suffix(b"}")?))
}
