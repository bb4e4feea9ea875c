//! Answers, and how the dialects tell them.

use std::sync::Arc;

use lmserver_llm_api::anthropic_messages::Messages;
use lmserver_llm_api::chat_completions::Chat;
use lmserver_llm_api::responses::Form;
use lmserver_llm_api::{Dialect, Telling, ui};
use lmserver_proto::http1::Version;
use lmserver_runtime::channel::{Snapshot, Status};
use lmserver_runtime::event::{
    End, Epoch, ErrorCode, Event, Failure, FinishReason, Json, Position,
};
use lmserver_runtime::plugin::transport::Entry;
use serde_json::Value;

use crate::client::CLIENTS;

pub(crate) const CHANNEL: &str = "chat:6c9f0f66-8f1c-4a57-b2b4-6b1f3c1a9d00";
pub(crate) const DONE: &str = "data: [DONE]\n\n";

const NOTE: &[u8] = b"\"model\":\"m\"\n[]";
const CREATED: u64 = 7;

/// A dialect, and what the head of its answers has that others have not.
#[derive(Clone)]
pub(crate) struct Speech {
    pub(crate) telling: Arc<dyn Telling>,
    pub(crate) field: &'static str,
    pub(crate) tells_elapsed: bool,
    /// What stands behind the last event.
    pub(crate) end: &'static str,
}

const X_REQUEST_ID: &str = "x-request-id: req_6c9f0f668f1c4a57b2b46b1f3c1a9d00";

fn read(dialect: &dyn Dialect, body: &[u8]) -> Arc<dyn Telling> {
    let (request, _) = CLIENTS[0].ask();
    match dialect.read(&request, body) {
        Ok(asked) => asked.telling,
        Err(mistake) => panic!("{mistake:?}"),
    }
}

pub(crate) fn chat() -> Speech {
    let body = br#"{"messages":[{"role":"user","content":"hi"}]}"#;
    Speech {
        telling: read(&Chat, body),
        field: X_REQUEST_ID,
        tells_elapsed: true,
        end: DONE,
    }
}

/// Responses that are asked for, or asked for again.
pub(crate) fn responses(is_again: bool) -> Speech {
    Speech {
        telling: Arc::new(Form { is_again }),
        field: X_REQUEST_ID,
        tells_elapsed: true,
        end: "",
    }
}

pub(crate) fn messages() -> Speech {
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    Speech {
        telling: read(&Messages, body),
        field: "request-id: req_6c9f0f668f1c4a57b2b46b1f3c1a9d00",
        tells_elapsed: false,
        end: "",
    }
}

pub(crate) fn ui_messages() -> Speech {
    Speech {
        telling: ui::telling(),
        field: "x-vercel-ai-ui-message-stream: v1",
        tells_elapsed: false,
        end: "",
    }
}

/// An answer that comes to its end.
pub(crate) fn hello() -> Vec<Event> {
    let end = End {
        finish_reason: FinishReason::Stop,
        usage: None,
        model: None,
        provider: None,
        attempts: Vec::new(),
    };
    vec![
        Event::Start { model: "m".into() },
        Event::Chunk("Hel".into()),
        Event::Chunk("lo".into()),
        Event::End(Box::new(end)),
    ]
}

fn rate_limited() -> Failure {
    Failure::new(ErrorCode::ProviderRateLimited, "too many questions")
}

/// An answer that fails at once.
pub(crate) fn failed() -> Vec<Event> {
    vec![
        Event::Start { model: "m".into() },
        Event::Error(Box::new(rate_limited())),
    ]
}

/// How an answer stands after these events.
pub(crate) fn snapshot(events: &[Event]) -> Snapshot {
    let mut snapshot = Snapshot {
        model: "m".into(),
        created: CREATED,
        note: NOTE.into(),
        ..Snapshot::default()
    };
    for event in events {
        match event {
            Event::Chunk(text) => snapshot.text.push_str(text),
            Event::End(end) => {
                snapshot.status = Status::Completed;
                snapshot.finish_reason = Some(end.finish_reason);
            }
            Event::Error(failure) => {
                snapshot.status = Status::Failed;
                snapshot.error = Some(failure.as_ref().clone());
            }
            _ => {}
        }
    }
    snapshot
}

pub(crate) fn position(offset: u64) -> Position {
    Position {
        epoch: Epoch::from_random([0; 6]),
        offset,
    }
}

/// An event as the entry of a channel.
pub(crate) fn with_entry<T>(
    channel: &str,
    offset: u64,
    event: &Event,
    then: impl FnOnce(&Entry<'_>) -> T,
) -> T {
    let mut json = Vec::new();
    event.write_json(&mut json);
    then(&Entry {
        channel,
        epoch: position(offset).epoch,
        offset,
        kind: event.kind(),
        json: Json::new(&json),
        details: None,
        previous: None,
        is_kept: true,
        number: 1,
        created: CREATED,
        note: NOTE,
    })
}

/// What an encoding says of the answer in a channel, and then the end of the stream.
pub(crate) fn told(speech: &Speech, channel: &str, events: &[Event]) -> String {
    let encoding = speech.telling.encoding(Version::Http10);
    let mut encoder = encoding.encoder().expect("an encoding with a memory");
    let mut out = Vec::new();
    for (offset, event) in (1..).zip(events) {
        with_entry(channel, offset, event, |entry| {
            encoder.encode(entry, &mut out);
        });
    }
    out.extend_from_slice(speech.end.as_bytes());
    String::from_utf8(out).expect("text")
}

/// Of the events of a stream those behind a sequence number.
pub(crate) fn behind(after: u64, text: &str) -> String {
    let events = text.split_inclusive("\n\n");
    events
        .filter(|event| {
            let (_, data) = event.split_once("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            data["sequence_number"].as_u64().expect("a number") > after
        })
        .collect()
}
