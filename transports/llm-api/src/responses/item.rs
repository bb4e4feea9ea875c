//! The items of a response's output, as far as they have come.

use lmserver_runtime::channel::Snapshot;

use crate::{json, names};

/// A text that grows, kept as JSON has it: a string without its last quote.
#[derive(Clone, Debug)]
pub(super) struct Text(Vec<u8>);

/// An item and its place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) is_done: bool,
}

/// What an item is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Reasoning(Text),
    Message(Vec<Part>),
    Call {
        call_id: String,
        name: String,
        arguments: Text,
    },
}

/// A part of a message.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) is_refusal: bool,
    pub(super) text: Text,
}

impl Text {
    pub(super) fn new() -> Self {
        Self(vec![b'"'])
    }

    fn of(text: &str) -> Self {
        let mut string = Vec::with_capacity(text.len() + 2);
        json::text(text, &mut string);
        string.pop();
        Self(string)
    }

    /// Appends what a JSON string says. The bytes that it has grown by.
    pub(super) fn push(&mut self, string: &[u8]) -> usize {
        let inner = string.strip_prefix(b"\"");
        let inner = inner.and_then(|rest| rest.strip_suffix(b"\""));
        let inner = inner.unwrap_or_default();
        self.0.extend_from_slice(inner);
        inner.len()
    }

    /// Appends it as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
        out.push(b'"');
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl Part {
    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.bytes()
    }

    /// Appends it as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.is_refusal {
            out.extend_from_slice(br#"{"type":"refusal","refusal":"#);
            self.text.write(out);
        } else {
            out.extend_from_slice(br#"{"type":"output_text","text":"#);
            self.text.write(out);
            out.extend_from_slice(br#","annotations":[],"logprobs":[]"#);
        }
        out.push(b'}');
    }
}

impl Item {
    /// Appends it as JSON. `is_whole`: the answer came to its proper end.
    pub(super) fn write(&self, is_whole: bool, out: &mut Vec<u8>) {
        let (prefix, rest): (&[u8], _) = match &self.kind {
            Kind::Reasoning(_) => (br#"{"type":"reasoning","id":"#, &b""[..]),
            Kind::Message(_) => (
                br#"{"type":"message","id":"#,
                &br#","role":"assistant""#[..],
            ),
            Kind::Call { .. } => (br#"{"type":"function_call","id":"#, &b""[..]),
        };
        out.extend_from_slice(prefix);
        json::text(&self.id, out);
        out.extend_from_slice(rest);
        let status = match (self.is_done, is_whole) {
            (false, true) => "in_progress",
            (true, true) => "completed",
            (_, false) => "incomplete",
        };
        out.extend_from_slice(br#","status":"#);
        json::text(status, out);
        match &self.kind {
            Kind::Reasoning(text) => {
                out.extend_from_slice(br#","summary":["#);
                if text.bytes() > 1 {
                    out.extend_from_slice(br#"{"type":"summary_text","text":"#);
                    text.write(out);
                    out.push(b'}');
                }
                out.push(b']');
            }
            Kind::Message(parts) => {
                out.extend_from_slice(br#","content":["#);
                json::list(parts, out, Part::write);
                out.push(b']');
            }
            Kind::Call {
                call_id,
                name,
                arguments,
                ..
            } => {
                out.extend_from_slice(br#","call_id":"#);
                json::text(call_id, out);
                out.extend_from_slice(br#","name":"#);
                json::text(name, out);
                out.extend_from_slice(br#","arguments":"#);
                arguments.write(out);
            }
        }
        out.push(b'}');
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let kind = match &self.kind {
            Kind::Reasoning(text) => text.bytes(),
            Kind::Message(parts) => parts.iter().map(Part::bytes).sum(),
            Kind::Call {
                call_id,
                name,
                arguments,
                ..
            } => call_id.len() + name.len() + arguments.bytes(),
        };
        size_of::<Self>() + self.id.len() + kind
    }
}

/// The id of an item: the response's, and its place where it is not the first of its kind.
pub(super) fn id(prefix: &str, channel: &str, place: usize) -> String {
    let id = names::id(prefix, channel);
    if place == 0 {
        id
    } else {
        format!("{id}_{place}")
    }
}

/// The items of an answer as its snapshot has it.
pub(super) fn of_snapshot(channel: &str, snapshot: &Snapshot) -> Vec<Item> {
    let is_done = snapshot.finish_reason.is_some();
    let item = |prefix, place, kind| Item {
        id: id(prefix, channel, place),
        kind,
        is_done,
    };
    let mut items = Vec::new();
    if !snapshot.reasoning.is_empty() {
        items.push(item(
            "rs_",
            0,
            Kind::Reasoning(Text::of(&snapshot.reasoning)),
        ));
    }
    let parts = [(false, &snapshot.text), (true, &snapshot.refusal)].into_iter();
    let parts: Vec<Part> = parts
        .filter(|(_, text)| !text.is_empty())
        .map(|(is_refusal, text)| Part {
            is_refusal,
            text: Text::of(text),
        })
        .collect();
    if !parts.is_empty() {
        items.push(item("msg_", 0, Kind::Message(parts)));
    }
    for (index, call) in snapshot.tool_calls.iter().enumerate() {
        let kind = Kind::Call {
            call_id: call.id.clone(),
            name: call.name.clone(),
            arguments: Text::of(&call.arguments),
        };
        items.push(item("fc_", index, kind));
    }
    items
}
