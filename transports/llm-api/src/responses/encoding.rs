//! Events as a response's, each with its number.

use std::collections::BTreeMap;

use lmserver_runtime::event::{ErrorCode, FinishReason, Kind as EventKind, Usage};
use lmserver_runtime::plugin::transport::{Encoder, Encoding, Entry};
use serde_json::Value;

use super::item::{self, Item, Kind, Part, Text};
use super::object::{self, Standing};
use super::pen::{Pen, head, place};
use crate::json;
use crate::sse::framed;

/// The encoding for clients that read chunks, or that do not.
pub(super) fn of(chunked: bool) -> &'static dyn Encoding {
    if chunked { &CHUNKED } else { &PLAIN }
}

/// An encoder that leaves out what stands at and before a number.
pub(super) fn behind(chunked: bool, after: u64) -> Box<dyn Encoder> {
    Box::new(Story::new(chunked, Some(after)))
}

static CHUNKED: Numbered = Numbered { chunked: true };
static PLAIN: Numbered = Numbered { chunked: false };

struct Numbered {
    chunked: bool,
}

impl Encoding for Numbered {
    fn name(&self) -> &'static str {
        if self.chunked {
            "responses/chunked"
        } else {
            "responses/plain"
        }
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        debug_assert!(false, "it has an encoder");
        Story::new(self.chunked, None).encode(entry, out);
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Story::new(self.chunked, None)))
    }
}

/// A response, as far as it is told.
struct Story {
    chunked: bool,
    pen: Pen,
    items: Vec<Item>,
    /// How many of the items are messages, and how many reasoning.
    messages: usize,
    thoughts: usize,
    /// Where each call stands among the items, by its number.
    calls: BTreeMap<u64, usize>,
    /// What the items hold.
    bytes: usize,
    /// The reasoning or message that goes on.
    open: Option<usize>,
    /// What the deltas of its last part begin with, up to their number.
    delta: Vec<u8>,
    has_begun: bool,
}

impl Story {
    fn new(chunked: bool, after: Option<u64>) -> Self {
        Self {
            chunked,
            pen: Pen::behind(after),
            items: Vec::new(),
            messages: 0,
            thoughts: 0,
            calls: BTreeMap::new(),
            bytes: 0,
            open: None,
            delta: Vec::new(),
            has_begun: false,
        }
    }

    fn tell(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if !self.has_begun {
            self.has_begun = true;
            self.standing("response.created", entry, Standing::InProgress, None, out);
            let in_progress = "response.in_progress";
            self.standing(in_progress, entry, Standing::InProgress, None, out);
        }
        match (entry.kind, entry.text()) {
            (EventKind::Chunk, Some(text)) => self.say(entry, false, text, out),
            (EventKind::Refusal, Some(text)) => self.say(entry, true, text, out),
            (EventKind::Reasoning, Some(text)) => self.think(entry, text, out),
            (EventKind::ToolCall, _) => self.call(entry, out),
            (EventKind::End, _) => self.end(entry, out),
            (EventKind::Error, _) => self.fail(entry, out),
            _ => {}
        }
    }

    /// An event about the response as a whole.
    fn standing(
        &mut self,
        name: &str,
        entry: &Entry<'_>,
        standing: Standing<'_>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) {
        let items = &self.items;
        self.pen.event(name, out, |out| {
            out.extend_from_slice(br#","response":"#);
            let Entry {
                channel,
                created,
                note,
                ..
            } = *entry;
            object::write(channel, created, note, standing, items, usage, out);
        });
    }

    /// Text of a message, or of a refusal.
    fn say(&mut self, entry: &Entry<'_>, is_refusal: bool, text: &[u8], out: &mut Vec<u8>) {
        let is_message = |item: &Item| matches!(item.kind, Kind::Message(_));
        let index = self.opened(entry, is_message, "msg_", || Kind::Message(Vec::new()), out);
        let fits = match self.items.get(index).map(|item| &item.kind) {
            Some(Kind::Message(parts)) => {
                parts.last().is_some_and(|it| it.is_refusal == is_refusal)
            }
            _ => false,
        };
        if !fits {
            self.close_part(index, out);
            self.open_part(index, is_refusal, out);
        }
        if let Some(Item {
            kind: Kind::Message(parts),
            ..
        }) = self.items.get_mut(index)
            && let Some(part) = parts.last_mut()
        {
            self.bytes += part.text.push(text);
        }
        self.say_delta(text, out);
    }

    fn think(&mut self, entry: &Entry<'_>, text: &[u8], out: &mut Vec<u8>) {
        let is_reasoning = |item: &Item| matches!(item.kind, Kind::Reasoning(_));
        let former = self.open;
        let index = self.opened(
            entry,
            is_reasoning,
            "rs_",
            || Kind::Reasoning(Text::new()),
            out,
        );
        let Some(item) = self.items.get_mut(index) else {
            return;
        };
        if former != Some(index) {
            let part = Some(("summary_index", 0));
            let name = "response.reasoning_summary_part.added";
            self.pen.event(name, out, |out| {
                place(item, index, part, out);
                out.extend_from_slice(br#","part":{"type":"summary_text","text":""}"#);
            });
            self.delta.clear();
            head("response.reasoning_summary_text.delta", &mut self.delta);
            place(item, index, part, &mut self.delta);
        }
        if let Kind::Reasoning(so_far) = &mut item.kind {
            self.bytes += so_far.push(text);
        }
        self.say_delta(text, out);
    }

    /// A delta of the part that goes on: this is what most events are.
    fn say_delta(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let (is_told, number) = self.pen.take();
        if !is_told {
            return;
        }
        out.extend_from_slice(&self.delta);
        out.extend_from_slice(br#","sequence_number":"#);
        json::number(number, out);
        out.extend_from_slice(br#","delta":"#);
        out.extend_from_slice(text);
        out.extend_from_slice(b"}\n\n");
    }

    /// The open item, if it is one of the kind; else the one before is closed and one opened.
    fn opened(
        &mut self,
        entry: &Entry<'_>,
        fits: impl Fn(&Item) -> bool,
        prefix: &str,
        make: impl FnOnce() -> Kind,
        out: &mut Vec<u8>,
    ) -> usize {
        let open = self
            .open
            .and_then(|index| Some((index, self.items.get(index)?)));
        if let Some((index, item)) = open
            && fits(item)
        {
            return index;
        }
        self.close(true, out);
        let kind = make();
        let place = match &kind {
            Kind::Message(_) => &mut self.messages,
            Kind::Reasoning(_) => &mut self.thoughts,
            Kind::Call { .. } => &mut 0,
        };
        let id = item::id(prefix, entry.channel, *place);
        *place += 1;
        let index = self.add(id, kind, out);
        self.open = Some(index);
        index
    }

    fn add(&mut self, id: String, kind: Kind, out: &mut Vec<u8>) -> usize {
        let index = self.items.len();
        let item = Item {
            id,
            kind,
            is_done: false,
        };
        self.item_event("response.output_item.added", index, &item, true, out);
        self.bytes += item.bytes();
        self.items.push(item);
        index
    }

    fn item_event(
        &mut self,
        name: &str,
        index: usize,
        item: &Item,
        is_whole: bool,
        out: &mut Vec<u8>,
    ) {
        self.pen.event(name, out, |out| {
            out.extend_from_slice(br#","output_index":"#);
            json::number(index as u64, out);
            out.extend_from_slice(br#","item":"#);
            item.write(is_whole, out);
        });
    }

    fn open_part(&mut self, index: usize, is_refusal: bool, out: &mut Vec<u8>) {
        let Some(item) = self.items.get_mut(index) else {
            return;
        };
        let Kind::Message(parts) = &mut item.kind else {
            return;
        };
        let part = Part {
            is_refusal,
            text: Text::new(),
        };
        let at = Some(("content_index", parts.len()));
        self.bytes += part.bytes();
        parts.push(part.clone());
        self.pen.event("response.content_part.added", out, |out| {
            place(item, index, at, out);
            out.extend_from_slice(br#","part":"#);
            part.write(out);
        });
        self.delta.clear();
        if is_refusal {
            head("response.refusal.delta", &mut self.delta);
        } else {
            head("response.output_text.delta", &mut self.delta);
        }
        place(item, index, at, &mut self.delta);
        if !is_refusal {
            self.delta.extend_from_slice(br#","logprobs":[]"#);
        }
    }

    fn close_part(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(item) = self.items.get(index) else {
            return;
        };
        match &item.kind {
            Kind::Message(parts) => {
                let Some(part) = parts.last() else { return };
                let at = Some(("content_index", parts.len() - 1));
                let (name, key) = if part.is_refusal {
                    ("response.refusal.done", &br#","refusal":"#[..])
                } else {
                    (
                        "response.output_text.done",
                        &br#","logprobs":[],"text":"#[..],
                    )
                };
                self.pen.event(name, out, |out| {
                    place(item, index, at, out);
                    out.extend_from_slice(key);
                    part.text.write(out);
                });
                self.pen.event("response.content_part.done", out, |out| {
                    place(item, index, at, out);
                    out.extend_from_slice(br#","part":"#);
                    part.write(out);
                });
            }
            Kind::Reasoning(text) => {
                let at = Some(("summary_index", 0));
                let name = "response.reasoning_summary_text.done";
                self.pen.event(name, out, |out| {
                    place(item, index, at, out);
                    out.extend_from_slice(br#","text":"#);
                    text.write(out);
                });
                let name = "response.reasoning_summary_part.done";
                self.pen.event(name, out, |out| {
                    place(item, index, at, out);
                    out.extend_from_slice(br#","part":{"type":"summary_text","text":"#);
                    text.write(out);
                    out.push(b'}');
                });
            }
            Kind::Call { arguments, .. } => {
                let name = "response.function_call_arguments.done";
                self.pen.event(name, out, |out| {
                    place(item, index, None, out);
                    out.extend_from_slice(br#","arguments":"#);
                    arguments.write(out);
                });
            }
        }
    }

    /// Closes the item that goes on.
    fn close(&mut self, is_whole: bool, out: &mut Vec<u8>) {
        if let Some(index) = self.open.take() {
            self.close_item(index, is_whole, out);
        }
    }

    fn close_item(&mut self, index: usize, is_whole: bool, out: &mut Vec<u8>) {
        self.close_part(index, out);
        let Some(item) = self.items.get_mut(index) else {
            return;
        };
        item.is_done = true;
        let item = item.clone();
        self.item_event("response.output_item.done", index, &item, is_whole, out);
    }

    /// A fragment of a call.
    fn call(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let fragment: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let text = |key: &str| fragment.get(key).and_then(Value::as_str).unwrap_or("");
        let number = fragment.get("index").and_then(Value::as_u64).unwrap_or(0);
        let index = match self.calls.get(&number) {
            Some(index) => *index,
            None => {
                self.close(true, out);
                let place = usize::try_from(number).unwrap_or(usize::MAX);
                let kind = Kind::Call {
                    call_id: text("id").to_owned(),
                    name: text("name").to_owned(),
                    arguments: Text::new(),
                };
                let index = self.add(item::id("fc_", entry.channel, place), kind, out);
                self.calls.insert(number, index);
                index
            }
        };
        if text("arguments").is_empty() {
            return;
        }
        let mut string = Vec::new();
        json::text(text("arguments"), &mut string);
        let Some(item) = self.items.get_mut(index) else {
            return;
        };
        if let Kind::Call { arguments, .. } = &mut item.kind {
            self.bytes += arguments.push(&string);
        }
        let name = "response.function_call_arguments.delta";
        self.pen.event(name, out, |out| {
            place(item, index, None, out);
            out.extend_from_slice(br#","delta":"#);
            out.extend_from_slice(&string);
        });
    }

    fn end(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let end: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let reason = end.get("finish_reason").and_then(Value::as_str);
        let reason = reason.and_then(FinishReason::parse);
        let standing = Standing::of(reason.unwrap_or(FinishReason::Stop));
        let usage = end.get("usage").and_then(usage);
        self.finish(entry, standing, usage, out);
    }

    fn fail(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let failure: Value = serde_json::from_slice(&entry.json.whole()).unwrap_or_default();
        let word = |key: &str| failure.get(key).and_then(Value::as_str).unwrap_or("");
        let standing = Standing::Failed {
            code: ErrorCode::parse(word("code")).unwrap_or(ErrorCode::Internal),
            message: word("message"),
        };
        self.finish(entry, standing, None, out);
    }

    fn finish(
        &mut self,
        entry: &Entry<'_>,
        standing: Standing<'_>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) {
        self.close(standing.is_whole(), out);
        for index in 0..self.items.len() {
            if self.items.get(index).is_some_and(|item| !item.is_done) {
                self.close_item(index, standing.is_whole(), out);
            }
        }
        let name = match standing {
            Standing::InProgress | Standing::Completed => "response.completed",
            Standing::Incomplete { .. } | Standing::Cancelled => "response.incomplete",
            Standing::Failed { .. } => "response.failed",
        };
        self.standing(name, entry, standing, usage, out);
    }
}

impl Encoder for Story {
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if entry.kind != EventKind::Start {
            framed(self.chunked, out, |out| self.tell(entry, out));
        }
    }

    fn bytes(&self) -> usize {
        self.bytes + self.delta.len() + self.calls.len() * size_of::<(u64, usize)>()
    }
}

/// The usage that a terminal event says.
fn usage(value: &Value) -> Option<Usage> {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    Some(Usage {
        input_tokens: number("input_tokens")?,
        output_tokens: number("output_tokens")?,
        reasoning_tokens: number("reasoning_tokens"),
        cached_tokens: number("cached_tokens"),
        estimated: value.get("estimated").and_then(Value::as_bool) == Some(true),
    })
}
