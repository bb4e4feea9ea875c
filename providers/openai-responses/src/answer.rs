//! The events of one response: what each says, into outputs.
//!
//! ```text
//!   response.output_text.delta, …refusal.delta, …reasoning….delta ──► text
//!   response.output_item.added, ….delta, ….done                   ──► tool calls, by output_index, else id
//!   response.completed, response.incomplete                       ──► End
//!   response.failed, error                                        ──► ProviderError
//! ```
//!
//! What is repeated whole (`….done`, the response at the end) is published where nothing of its sort
//! had come: texts of an item, or of all items at the end, where none came in pieces, arguments where
//! the call has none. Events of the tools that the provider itself runs are ignored, as all unknown ones.

use std::borrow::Cow;

use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};
use lmserver_runtime::http_provider::json::{self, Scanner};
use lmserver_runtime::http_provider::{Answer, Events, Finish, Fragment, Speaker};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde_json::Value;

use crate::calls::Calls;

/// Reads the items of one response.
#[derive(Debug)]
pub(crate) struct Items {
    answer: Answer,
    calls: Calls,
    /// The sorts that come in pieces: whole items say nothing new of them.
    streamed: Sorts,
    /// The sorts of which something has come: the copy of all items at the end says nothing new.
    told: Sorts,
}

/// Sorts of what an answer is made of, a bit each.
type Sorts = u8;

const TEXT: Sorts = 1;
const REFUSAL: Sorts = 2;
const REASONING: Sorts = 4;
const CALLS: Sorts = 8;

/// What is read of an event that adds to something.
#[derive(Debug, Default)]
struct Event<'a> {
    kind: Option<Cow<'a, str>>,
    delta: Option<Cow<'a, str>>,
    /// The key of an item: ids may change between the events of one.
    output_index: Option<u64>,
    /// The key where there is no other.
    item_id: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// Reads an event in one go, copying nothing. `None`: the patient reader is to see to it.
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut scanner = Scanner::new(data);
        let mut event = Self::default();
        scanner.object(&mut |key, scanner| match key {
            b"type" if event.kind.is_none() => {
                event.kind = Some(scanner.string()?);
                Some(())
            }
            b"delta" if event.delta.is_none() => {
                event.delta = Some(scanner.string()?);
                Some(())
            }
            b"output_index" if event.output_index.is_none() => {
                event.output_index = Some(scanner.unsigned()?);
                Some(())
            }
            b"item_id" if event.item_id.is_none() => {
                event.item_id = Some(scanner.string()?);
                Some(())
            }
            b"type" | b"delta" | b"output_index" | b"item_id" => None,
            _ => scanner.skip(),
        })?;
        scanner.end()?;
        Some(event)
    }
}

impl Items {
    /// A response of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            answer: Answer::new(seed),
            calls: Calls::default(),
            streamed: 0,
            told: 0,
        }
    }

    /// Takes an event that adds to a text or to arguments. False: it is another.
    fn delta(
        &mut self,
        kind: &str,
        event: &Event<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let delta = event.delta.as_deref().unwrap_or_default();
        let sort = match kind {
            "response.output_text.delta" => {
                self.answer.chunk(delta, out);
                TEXT
            }
            "response.refusal.delta" => {
                self.answer.refusal(delta, out);
                REFUSAL
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.answer.reasoning(delta, out);
                REASONING
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let id = event.item_id.as_deref().unwrap_or_default();
                let fragment = Fragment {
                    number: self.calls.number(event.output_index, id),
                    arguments: delta,
                    ..Fragment::default()
                };
                self.answer.call(&fragment, speaker, out)?;
                CALLS
            }
            _ => return Ok(false),
        };
        if !delta.is_empty() {
            self.streamed |= sort;
            self.told |= sort;
        }
        Ok(true)
    }

    /// Takes any other event.
    fn whole(
        &mut self,
        kind: &str,
        document: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let number = json::count(document.get("output_index"));
        let item_id = || json::str_at(document, "/item_id");
        let response = document.get("response").unwrap_or(&Value::Null);
        match kind {
            "response.output_item.added" | "response.output_item.done" => {
                let item = document.get("item").unwrap_or(&Value::Null);
                let is_done = kind.ends_with("done");
                if is_done {
                    self.texts(item, self.streamed, out);
                }
                self.call(number, item, is_done, speaker, out)
            }
            "response.function_call_arguments.done" => {
                let arguments = json::str_at(document, "/arguments");
                let number = self.calls.number(number, item_id());
                self.arguments(number, arguments, speaker, out)
            }
            "response.custom_tool_call_input.done" => {
                let input = json::str_at(document, "/input");
                let number = self.calls.number(number, item_id());
                self.arguments(number, input, speaker, out)
            }
            "response.completed" | "response.incomplete" => {
                self.items(response, speaker, out)?;
                self.complete(response, kind.ends_with(".incomplete"), speaker, out)
            }
            "response.failed" => Err(failure(response, speaker)),
            _ => {
                let is_flat = kind == "error";
                match speaker.event_error(document, is_flat) {
                    // What is not an event of this API may be an error of a gateway's.
                    Some(error) if is_flat || !kind.starts_with("response.") => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Takes the texts of an item but for some sorts.
    fn texts(&mut self, item: &Value, but: Sorts, out: &mut Vec<Output>) {
        for list in ["content", "summary"] {
            let parts = item.get(list).and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                let (sort, text) = match json::str_at(part, "/type") {
                    "output_text" => (TEXT, "/text"),
                    "refusal" => (REFUSAL, "/refusal"),
                    "reasoning_text" | "summary_text" => (REASONING, "/text"),
                    _ => continue,
                };
                let text = json::str_at(part, text);
                if but & sort != 0 || text.is_empty() {
                    continue;
                }
                self.told |= sort;
                match sort {
                    TEXT => self.answer.chunk(text, out),
                    REFUSAL => self.answer.refusal(text, out),
                    _ => self.answer.reasoning(text, out),
                }
            }
        }
    }

    /// Takes the call of an item that is one of the client's tools.
    fn call(
        &mut self,
        number: Option<u64>,
        item: &Value,
        is_done: bool,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let arguments = match json::str_at(item, "/type") {
            "function_call" => "/arguments",
            "custom_tool_call" => "/input",
            _ => return Ok(()),
        };
        let (own_id, call_id) = (json::str_at(item, "/id"), json::str_at(item, "/call_id"));
        let number = self.calls.note(number, own_id, call_id, is_done);
        let arguments = json::str_at(item, arguments);
        self.told |= CALLS;
        let fragment = Fragment {
            number: Some(number),
            id: if call_id.is_empty() { own_id } else { call_id },
            name: json::str_at(item, "/name"),
            arguments: if is_done { "" } else { arguments },
        };
        self.answer.call(&fragment, speaker, out)?;
        if is_done {
            self.arguments(Some(number), arguments, speaker, out)?;
        }
        Ok(())
    }

    /// Takes the whole arguments of a call, of which pieces may have come.
    fn arguments(
        &mut self,
        number: Option<u64>,
        arguments: &str,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if !number.is_some_and(|number| self.answer.lacks_arguments(number)) {
            return Ok(());
        }
        let fragment = Fragment {
            number,
            arguments,
            ..Fragment::default()
        };
        self.answer.call(&fragment, speaker, out)
    }

    /// Takes the items of a whole response, but for the sorts of which something has come.
    fn items(
        &mut self,
        response: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let told = self.told;
        let items = response.get("output").and_then(Value::as_array);
        for (number, item) in (0..).zip(items.into_iter().flatten()) {
            self.texts(item, told, out);
            if told & CALLS == 0 {
                self.call(Some(number), item, true, speaker, out)?;
            }
        }
        Ok(())
    }

    /// The response is complete, as far as it goes.
    fn complete(
        &mut self,
        response: &Value,
        is_incomplete: bool,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        // Proxies name the last event as they like: the status knows better.
        let is_incomplete = match json::str_at(response, "/status") {
            "failed" => return Err(failure(response, speaker)),
            "incomplete" => true,
            _ => is_incomplete,
        };
        self.answer.usage = response.get("usage").and_then(counted);
        self.answer.set_finish(Finish::Reason(if is_incomplete {
            match json::str_at(response, "/incomplete_details/reason") {
                "content_filter" => FinishReason::ContentFilter,
                _ => FinishReason::Length,
            }
        } else {
            FinishReason::Stop
        }));
        self.answer.conclude(speaker, out)
    }
}

impl Events for Items {
    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        // A list would be read as the fields in order.
        if !data.starts_with(b"{") {
            return Ok(false);
        }
        if let Some(event) = Event::read(data) {
            let kind = event.kind.as_deref().unwrap_or(name);
            if self.delta(kind, &event, speaker, out)? {
                return Ok(true);
            }
        }
        let Some(document) = json::value(data) else {
            return Ok(false);
        };
        // A text with escapes, a key that has another type or comes twice, and all other events.
        let kind = document.get("type").and_then(Value::as_str).unwrap_or(name);
        let delta = document.get("delta").and_then(Value::as_str);
        let event = Event {
            kind: None,
            delta: delta.map(Cow::Borrowed),
            output_index: json::count(document.get("output_index")),
            item_id: Some(Cow::Borrowed(json::str_at(&document, "/item_id"))),
        };
        if !self.delta(kind, &event, speaker, out)? {
            self.whole(kind, &document, speaker, out)?;
        }
        Ok(true)
    }

    fn document(
        &mut self,
        document: &Value,
        _: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let is_response = document.get("output").is_some_and(Value::is_array);
        if let Some(error) = speaker.event_error(document, !is_response) {
            return Err(error);
        }
        if !is_response {
            return Ok(false);
        }
        self.items(document, speaker, out)?;
        self.complete(document, false, speaker, out)?;
        Ok(true)
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.answer.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.answer.has_ended()
    }
}

/// Why a response failed, as far as it says.
fn failure(response: &Value, speaker: Speaker<'_>) -> ProviderError {
    speaker.event_error(response, false).unwrap_or_else(|| {
        let what = "gave up before the answer was complete, without saying why";
        speaker.own_error(ErrorCode::ProviderError, what)
    })
}

/// The counts, if any of the two that matter was given.
fn counted(usage: &Value) -> Option<Usage> {
    let (input, output) = (
        json::count(usage.get("input_tokens")),
        json::count(usage.get("output_tokens")),
    );
    if input.is_none() && output.is_none() {
        return None;
    }
    Some(Usage {
        input_tokens: input.unwrap_or_default(),
        output_tokens: output.unwrap_or_default(),
        reasoning_tokens: json::count(usage.pointer("/output_tokens_details/reasoning_tokens")),
        cached_tokens: json::count(usage.pointer("/input_tokens_details/cached_tokens")),
        estimated: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKER: Speaker<'_> = Speaker {
        host: "api.example",
        secrets: &[],
    };

    /// What comes of events, each of which is known.
    fn taken(events: &[&str]) -> (Items, Vec<Output>) {
        let (mut items, mut out) = (Items::new(1), Vec::new());
        for event in events {
            let known = items.event("", event.as_bytes(), SPEAKER, &mut out);
            assert_eq!(known, Ok(true), "{event}");
        }
        (items, out)
    }

    /// What events say: texts in their order, `~` before reasoning, `!` before refusals.
    fn said(events: &[&str]) -> String {
        let (items, out) = taken(events);
        assert!(items.has_ended(), "{events:?}");
        let texts = out.iter().filter_map(|it| match it {
            Output::Chunk(text) => Some(text.to_string()),
            Output::Reasoning(text) => Some(format!("~{text}")),
            Output::Refusal(text) => Some(format!("!{text}")),
            Output::ToolCall(call) => {
                Some(format!("{}({})", call.name.as_deref()?, call.arguments))
            }
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn what_stands_only_in_whole_items_is_told_once() {
        const THOUGHT: &str =
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"delta":"t"}"#;
        const TEXT: &str = r#"{"type":"response.output_text.delta","output_index":1,"delta":"a"}"#;
        const ADDED: &str = r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","content":[]}}"#;
        const DONE: &str = r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"a"}]}}"#;
        const REFUSED: &str = r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"refusal","refusal":"n"}]}}"#;
        const CALL: &str = r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#;
        const END: &str = r#"{"type":"response.completed","response":{"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}]},{"type":"message","content":[{"type":"output_text","text":"a"}]}]}}"#;
        const BARE: &str = r#"{"type":"response.completed","response":{}}"#;
        for (events, want) in [
            (&[END][..], "~ta"),
            (&[THOUGHT, END], "~ta"),
            (&[ADDED, DONE, BARE], "a"),
            (&[ADDED, DONE, END], "a~t"),
            (&[THOUGHT, DONE, END], "~ta"),
            (&[THOUGHT, ADDED, TEXT, DONE, END], "~ta"),
            (&[TEXT, END], "a~t"),
            (&[THOUGHT, REFUSED, BARE], "~t!n"),
            (&[CALL, END], "f({})~ta"),
        ] {
            assert_eq!(said(events), want, "{events:?}");
        }
    }

    /// The calls that events come to, of each its id, name and arguments.
    fn calls(events: &[&str]) -> Vec<String> {
        let mut calls: Vec<String> = Vec::new();
        for output in taken(events).1 {
            let Output::ToolCall(call) = output else {
                continue;
            };
            if let (Some(id), Some(name)) = (&call.id, &call.name) {
                assert_eq!(call.index as usize, calls.len());
                calls.push(format!("{id} {name} "));
            }
            calls[call.index as usize].push_str(&call.arguments);
        }
        calls
    }

    #[test]
    fn calls_without_numbers_are_told_apart_by_their_ids() {
        const ADDED: [&str; 2] = [
            r#"{"type":"response.output_item.added","item":{"type":"function_call","id":"i1","call_id":"c1","name":"f","arguments":""}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"function_call","id":"i2","call_id":"c2","name":"g","arguments":""}}"#,
        ];
        const PIECES: [&str; 3] = [
            r#"{"type":"response.function_call_arguments.delta","item_id":"i1","delta":"{1"}"#,
            r#"{"type":"response.function_call_arguments.delta","item_id":"c2","delta":"{2}"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"}","item_id":"i1"}"#,
        ];
        const NAMELESS: &str = r#"{"type":"response.function_call_arguments.delta","delta":"{3}"}"#;
        const WHOLE: &str =
            r#"{"type":"response.function_call_arguments.done","item_id":"i1","arguments":"{1}"}"#;
        const DONE: &str = r#"{"type":"response.output_item.done","item":{"type":"function_call","id":"i1","call_id":"c1","name":"f","arguments":"{1}"}}"#;
        const ONLY_DONE: &str = r#"{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{1}"}}"#;
        const NUMBERED: &str = r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"i1","call_id":"c1","name":"f","arguments":""}}"#;
        const DONE_NUMBERED: &str = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"i1","call_id":"c1","name":"f","arguments":"{1}"}}"#;
        const PIECE_NUMBERED: &str = r#"{"type":"response.function_call_arguments.delta","output_index":0,"item_id":"x","delta":"}"}"#;
        const SAME_ITEM: [&str; 3] = [
            r#"{"type":"response.output_item.added","item":{"type":"function_call","id":"r","call_id":"c1","name":"f","arguments":""}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"function_call","id":"r","call_id":"c2","name":"g","arguments":"{2}"}}"#,
            r#"{"type":"response.output_item.done","item":{"type":"function_call","id":"r","call_id":"c1","name":"f","arguments":"{1}"}}"#,
        ];
        let [first, second] = ADDED;
        let [one, two, three] = PIECES;
        for (events, want) in [
            (&[ONLY_DONE][..], &["c1 f {1}"][..]),
            (&[first, WHOLE, DONE], &["c1 f {1}"]),
            (&[first, DONE], &["c1 f {1}"]),
            (&[first, NAMELESS, DONE], &["c1 f {3}"]),
            (&[NUMBERED, one, three, DONE], &["c1 f {1}"]),
            (&[NUMBERED, DONE], &["c1 f {1}"]),
            (
                &[first, second, one, two, three, DONE],
                &["c1 f {1}", "c2 g {2}"],
            ),
            (
                &[first, one, three, second, NAMELESS],
                &["c1 f {1}", "c2 g {3}"],
            ),
            (&[first, second, WHOLE, two], &["c1 f {1}", "c2 g {2}"]),
            (&[first, DONE_NUMBERED], &["c1 f {1}"]),
            (&[first, one, three, DONE_NUMBERED], &["c1 f {1}"]),
            (&[first, one, DONE_NUMBERED, PIECE_NUMBERED], &["c1 f {1}"]),
            (&SAME_ITEM, &["c1 f {1}", "c2 g {2}"]),
        ] {
            assert_eq!(calls(events), want, "{events:?}");
        }
    }
}
