//! Answers of all kinds in the encodings of each dialect: what is said, and that it depends on the
//! channel's events alone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

use lmserver_llm_api::chat_completions::Chat;
use lmserver_llm_api::responses::Responses;
use lmserver_llm_api::{Dialect, Telling};
use lmserver_proto::http1::{Fields, Method, Request, Target, Version};
use lmserver_runtime::event::{
    End, Epoch, ErrorCode, Event, Failure, FinishReason, Json, ToolCall, Usage,
};
use lmserver_runtime::plugin::transport::{Encoder, Entry};
use serde_json::{Value, json};
use std::sync::Arc;

const CHANNEL: &str = "chat:00000000-0000-4000-8000-000000000000";

fn telling(dialect: &dyn Dialect, body: &Value) -> Arc<dyn Telling> {
    let target = Target::Origin {
        path: "/".into(),
        query: None,
    };
    let request = Request {
        method: Method::Post,
        target,
        version: Version::Http11,
        fields: Fields::new(),
    };
    let asked = dialect.read(&request, body.to_string().as_bytes());
    asked
        .unwrap_or_else(|mistake| panic!("{mistake:?}"))
        .telling
}

fn chat(more: &Value) -> Arc<dyn Telling> {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    telling(&Chat, &body)
}

fn responses() -> Arc<dyn Telling> {
    telling(&Responses, &json!({"input": "hi"}))
}

/// What an encoder writes for each event.
fn pieces(encoder: &mut dyn Encoder, channel: &str, events: &[Event]) -> Vec<Vec<u8>> {
    let epoch = Epoch::from_random([0; 6]);
    let events = (1..).zip(events);
    events
        .map(|(offset, event)| {
            let (mut json, mut out) = (Vec::new(), Vec::new());
            event.write_json(&mut json);
            let entry = Entry {
                channel,
                epoch,
                offset,
                kind: event.kind(),
                json: Json::new(&json),
                details: None,
                previous: None,
                is_kept: true,
                number: 1,
                created: 7,
                note: b"\"model\":\"m\"\n[]",
            };
            encoder.encode(&entry, &mut out);
            out
        })
        .collect()
}

fn plain(telling: &dyn Telling, channel: &str, events: &[Event]) -> String {
    let mut encoder = telling.encoding(Version::Http10).encoder().unwrap();
    let bytes = pieces(encoder.as_mut(), channel, events).concat();
    String::from_utf8(bytes).unwrap()
}

/// The data of the events of a text.
fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn start() -> Event {
    Event::Start {
        model: "m\"".into(),
    }
}

fn end(finish_reason: FinishReason) -> Event {
    Event::End(Box::new(End {
        finish_reason,
        usage: Some(Usage {
            input_tokens: 3,
            output_tokens: 4,
            reasoning_tokens: Some(2),
            ..Usage::default()
        }),
        model: Some("n".into()),
        provider: Some("p".into()),
        attempts: Vec::new(),
    }))
}

fn call(index: u32, id: Option<&str>, arguments: &str) -> Event {
    Event::ToolCall(Box::new(ToolCall {
        index,
        id: id.map(Into::into),
        name: id.map(|_| "f".into()),
        arguments: arguments.into(),
    }))
}

fn failure() -> Event {
    Event::Error(Box::new(Failure::new(
        ErrorCode::ProviderTimeout,
        "too \"late\"",
    )))
}

/// Answers of all kinds.
fn answers() -> Vec<Vec<Event>> {
    let text = |text: &str| Event::Chunk(text.into());
    let thought = |text: &str| Event::Reasoning(text.into());
    vec![
        vec![start(), end(FinishReason::Stop)],
        vec![start(), end(FinishReason::Cancelled)],
        vec![start(), failure()],
        vec![
            start(),
            text("Hel\n"),
            text("\u{1f600}\"lo"),
            end(FinishReason::Stop),
        ],
        vec![start(), text("Hel"), end(FinishReason::Length)],
        vec![start(), text("Hel"), failure()],
        vec![
            start(),
            thought("Let "),
            thought("me"),
            text("Hi"),
            end(FinishReason::Stop),
        ],
        vec![
            start(),
            thought("a"),
            text("b"),
            thought("c"),
            text("d"),
            end(FinishReason::Stop),
        ],
        vec![
            start(),
            Event::Refusal("I ".into()),
            Event::Refusal("won't".into()),
            end(FinishReason::ContentFilter),
        ],
        vec![
            start(),
            text("Hm"),
            Event::Refusal("no".into()),
            text("yes"),
            end(FinishReason::Stop),
        ],
        vec![
            start(),
            thought("use tools"),
            text("wait"),
            call(0, Some("c0"), ""),
            call(0, None, "{\"a\""),
            call(1, Some("c1"), "{"),
            call(0, None, ":1}"),
            call(1, None, "}"),
            end(FinishReason::ToolCalls),
        ],
        vec![start(), call(0, Some("c0"), "{\"cut"), failure()],
    ]
}

#[test]
fn a_view_that_is_made_late_or_for_another_version_says_the_same() {
    for telling in [
        chat(&json!({})),
        chat(&json!({"stream_options": {"include_usage": true}})),
        chat(&json!({"functions": [{"name": "f"}]})),
        responses(),
    ] {
        for events in answers() {
            let [first, second] = [(); 2].map(|()| plain(&*telling, CHANNEL, &events));
            assert_eq!(first, second);
            let mut chunked = telling.encoding(Version::Http11).encoder().unwrap();
            let pieces = pieces(chunked.as_mut(), CHANNEL, &events);
            assert!(pieces[0].is_empty(), "nothing is said of the start");
            let mut unframed = Vec::new();
            for piece in &pieces[1..] {
                assert!(!piece.is_empty());
                let end = piece.iter().position(|byte| *byte == b'\r').unwrap();
                let (line, data) = piece.split_at(end);
                let size = std::str::from_utf8(line).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                assert_eq!(data.len(), 2 + size + 2);
                unframed.extend_from_slice(&data[2..2 + size]);
            }
            assert_eq!(String::from_utf8(unframed).unwrap(), first);
        }
    }
}

#[test]
fn chunks_add_up_to_the_answer() {
    for events in answers() {
        let said = data(&plain(&*chat(&json!({})), CHANNEL, &events));
        let (mut content, mut reasoning, mut refusal) = <(String, String, String)>::default();
        let mut calls: Vec<(String, String)> = Vec::new();
        for chunk in &said {
            if chunk.get("error").is_some() {
                continue;
            }
            assert_eq!(
                (&chunk["object"], &chunk["created"], &chunk["model"]),
                (&json!("chat.completion.chunk"), &json!(7), &json!("m\""))
            );
            let delta = &chunk["choices"][0]["delta"];
            content += delta["content"].as_str().unwrap_or("");
            reasoning += delta["reasoning_content"].as_str().unwrap_or("");
            refusal += delta["refusal"].as_str().unwrap_or("");
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                calls.resize(calls.len().max(index + 1), Default::default());
                calls[index].0 += call["id"].as_str().unwrap_or("");
                calls[index].1 += call["function"]["arguments"].as_str().unwrap();
            }
        }
        let mut want = <(String, String, String)>::default();
        let mut wanted: Vec<(String, String)> = Vec::new();
        for event in &events {
            match event {
                Event::Chunk(text) => want.0 += text,
                Event::Reasoning(text) => want.1 += text,
                Event::Refusal(text) => want.2 += text,
                Event::ToolCall(call) => {
                    let index = call.index as usize;
                    wanted.resize(wanted.len().max(index + 1), Default::default());
                    wanted[index].0 += call.id.as_deref().unwrap_or("");
                    wanted[index].1 += &call.arguments;
                }
                _ => {}
            }
        }
        assert_eq!((content, reasoning, refusal), want);
        assert_eq!(calls, wanted);
        let last = said.last().unwrap();
        match events.last().unwrap() {
            Event::End(end) => {
                let want = match end.finish_reason {
                    FinishReason::Cancelled => "stop",
                    reason => reason.as_str(),
                };
                assert_eq!(last["choices"][0]["finish_reason"], want);
                assert_eq!(said[0]["choices"][0]["delta"]["role"], "assistant");
            }
            _ => {
                let want = json!({"error": {
                    "message": "too \"late\"", "type": "server_error", "param": null,
                    "code": "provider_timeout",
                }});
                assert_eq!(*last, want);
            }
        }
    }
}

#[test]
fn another_choice_has_its_index_and_the_same_id() {
    let events = &answers()[3];
    let first = data(&plain(&*chat(&json!({})), CHANNEL, events));
    let second = data(&plain(&*chat(&json!({})), &format!("{CHANNEL}.2"), events));
    assert_eq!(first[0]["id"], "chatcmpl-00000000000040008000000000000000");
    assert!(second.iter().all(|it| it["id"] == first[0]["id"]));
    assert!(second.iter().all(|it| it["choices"][0]["index"] == 2));
}

#[test]
fn a_call_of_old_is_told_as_one() {
    let events = [
        start(),
        call(0, Some("c"), "{"),
        call(0, None, "}"),
        end(FinishReason::ToolCalls),
    ];
    let said = data(&plain(
        &*chat(&json!({"functions": [{"name": "f"}]})),
        CHANNEL,
        &events,
    ));
    let delta = |index: usize| &said[index]["choices"][0]["delta"];
    assert_eq!(
        *delta(1),
        json!({"function_call": {"name": "f", "arguments": "{"}})
    );
    assert_eq!(*delta(2), json!({"function_call": {"arguments": "}"}}));
    assert_eq!(said[3]["choices"][0]["finish_reason"], "function_call");
}

/// What a client of responses puts together.
#[derive(Default)]
struct Reader {
    output: Vec<Value>,
    last: String,
}

impl Reader {
    fn take(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap();
        kind.clone_into(&mut self.last);
        let index = event["output_index"].as_u64().unwrap_or(0);
        let index = usize::try_from(index).unwrap();
        let part = |key: &str| usize::try_from(event[key].as_u64().unwrap()).unwrap();
        let grow = |value: &mut Value, by: &Value| {
            *value = json!(value.as_str().unwrap().to_owned() + by.as_str().unwrap());
        };
        match kind {
            "response.output_item.added" => {
                assert_eq!(self.output.len(), index);
                self.output.push(event["item"].clone());
            }
            "response.content_part.added" => {
                let parts = self.output[index]["content"].as_array_mut().unwrap();
                assert_eq!(parts.len(), part("content_index"));
                parts.push(event["part"].clone());
            }
            "response.reasoning_summary_part.added" => {
                let parts = self.output[index]["summary"].as_array_mut().unwrap();
                parts.push(event["part"].clone());
            }
            "response.output_text.delta" => {
                let at = part("content_index");
                grow(
                    &mut self.output[index]["content"][at]["text"],
                    &event["delta"],
                );
            }
            "response.refusal.delta" => {
                let at = part("content_index");
                grow(
                    &mut self.output[index]["content"][at]["refusal"],
                    &event["delta"],
                );
            }
            "response.reasoning_summary_text.delta" => {
                grow(
                    &mut self.output[index]["summary"][0]["text"],
                    &event["delta"],
                );
            }
            "response.function_call_arguments.delta" => {
                grow(&mut self.output[index]["arguments"], &event["delta"]);
            }
            "response.output_text.done" => {
                let at = part("content_index");
                assert_eq!(self.output[index]["content"][at]["text"], event["text"]);
            }
            "response.content_part.done" => {
                let at = part("content_index");
                assert_eq!(self.output[index]["content"][at], event["part"]);
            }
            "response.function_call_arguments.done" => {
                assert_eq!(self.output[index]["arguments"], event["arguments"]);
            }
            "response.output_item.done" => {
                self.output[index]["status"] = event["item"]["status"].clone();
                assert_eq!(self.output[index], event["item"]);
            }
            _ => {}
        }
    }
}

#[test]
fn the_events_of_a_response_are_numbered_and_add_up() {
    for events in answers() {
        let text = plain(&*responses(), CHANNEL, &events);
        let said = data(&text);
        let mut reader = Reader::default();
        for (number, event) in said.iter().enumerate() {
            assert_eq!(event["sequence_number"], json!(number), "{text}");
            reader.take(event);
        }
        for (line, event) in text
            .lines()
            .filter(|it| it.starts_with("event: "))
            .zip(&said)
        {
            assert_eq!(line, format!("event: {}", event["type"].as_str().unwrap()));
        }
        assert_eq!(said[0]["type"], "response.created");
        assert_eq!(said[1]["type"], "response.in_progress");
        let last = &said.last().unwrap()["response"];
        assert_eq!(last["output"], json!(reader.output), "{text}");
        let (kind, status) = match events.last().unwrap() {
            Event::End(end) => match end.finish_reason {
                FinishReason::Stop | FinishReason::ToolCalls => ("response.completed", "completed"),
                FinishReason::Cancelled => ("response.incomplete", "cancelled"),
                _ => ("response.incomplete", "incomplete"),
            },
            _ => ("response.failed", "failed"),
        };
        assert_eq!((&*reader.last, &last["status"]), (kind, &json!(status)));
        assert_eq!(last["model"], "m");
        let added = said
            .iter()
            .filter(|it| it["type"] == "response.output_item.added");
        let done = said
            .iter()
            .filter(|it| it["type"] == "response.output_item.done");
        assert_eq!(added.count(), done.count());
    }
}

#[test]
fn a_response_is_taken_up_behind_any_number() {
    for events in answers() {
        let telling = responses();
        let whole = plain(&*telling, CHANNEL, &events);
        let said = data(&whole);
        for after in 0..said.len() as u64 + 2 {
            let mut rest = telling.resumed(Version::Http10, after).unwrap();
            let rest = pieces(rest.as_mut(), CHANNEL, &events).concat();
            let rest = String::from_utf8(rest).unwrap();
            assert!(whole.ends_with(&rest));
            let numbers: Vec<_> = data(&rest)
                .iter()
                .map(|event| event["sequence_number"].as_u64().unwrap())
                .collect();
            let want: Vec<_> = (after + 1..said.len() as u64).collect();
            assert_eq!(numbers, want);
        }
    }
}

/// Each event asks how much is held, as the engine does. Were the items gone through for that, or
/// for the place of a new one, this would take minutes.
#[test]
fn an_answer_of_very_many_items_takes_no_longer_for_each() {
    const PAIRS: usize = 40_000;
    let telling = responses();
    let mut encoder = telling.encoding(Version::Http10).encoder().unwrap();
    pieces(encoder.as_mut(), CHANNEL, &[start()]);
    let mut before = encoder.bytes();
    let mut last = Vec::new();
    for _ in 0..PAIRS {
        for event in [Event::Reasoning("t".into()), Event::Chunk("a".into())] {
            last = pieces(encoder.as_mut(), CHANNEL, &[event]).concat();
            assert!(encoder.bytes() > before, "what it holds is counted");
            before = encoder.bytes();
        }
    }
    let id = format!("msg_00000000000040008000000000000000_{}", PAIRS - 1);
    assert_eq!(
        data(&String::from_utf8(last).unwrap()).last().unwrap()["item_id"],
        *id
    );
}
