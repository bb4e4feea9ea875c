//! Responses that go on from each other: what is kept with one is read in front of the next.

use lmserver_llm_api::responses::{self, Responses};
use lmserver_llm_api::{Asked, Dialect};
use lmserver_runtime::channel::{Snapshot, Status, ToolCallSoFar};
use lmserver_runtime::event::FinishReason;
use serde_json::Value;

use super::{RESPONSES, SERVER};

const CHANNEL: &str = "chat:00000000-0000-0000-0000-000000000000";

/// The answer to a question, as it stands in its channel.
pub(super) fn answered(asked: &Asked) -> Snapshot {
    Snapshot {
        status: Status::Completed,
        text: "Hello".into(),
        reasoning: "Hm".into(),
        tool_calls: vec![ToolCallSoFar {
            id: "call_1".into(),
            name: "f".into(),
            arguments: "{}".into(),
        }],
        finish_reason: Some(FinishReason::ToolCalls),
        model: "m".into(),
        note: asked.note.clone(),
        ..Snapshot::default()
    }
}

/// Checks what is kept of a question: the response tells of it, and another goes on from it.
pub(super) fn check(asked: &Asked) {
    let previous = answered(asked);
    let response = responses::write(CHANNEL, &previous);
    let response: Result<Value, _> = serde_json::from_slice(&response);
    assert!(response.is_ok(), "{response:?}");
    let mut lines = asked.note.splitn(2, |byte| *byte == b'\n').skip(1);
    let Some(kept) = lines.next() else {
        // `"store": false`
        return;
    };
    let again: Value = serde_json::from_slice(kept).unwrap_or_default();
    let is_rounded = again.to_string().as_bytes() != kept;
    if is_rounded || !asked.referred.is_empty() {
        return;
    }
    let mut next = following();
    let outcome = Responses.go_on(&mut next, &previous);
    assert_eq!(outcome, Ok(()), "{}", kept.escape_ascii());
    let (before, new) = next.request.messages.split_at(asked.request.messages.len());
    assert_eq!(before, asked.request.messages, "{}", kept.escape_ascii());
    assert_eq!(new.len(), 2, "the answer and the question");

    let said = next.request.messages.len();
    let mut third = following();
    let outcome = Responses.go_on(&mut third, &answered(&next));
    assert_eq!(outcome, Ok(()));
    assert_eq!(third.request.messages[..said], next.request.messages);
}

/// A question that goes on.
fn following() -> Asked {
    let body = br#"{"input":"And then?"}"#;
    let read = SERVER.with(|server| Responses.read(server.head(RESPONSES), body));
    match read {
        Ok(asked) => asked,
        Err(mistake) => panic!("{mistake:?}"),
    }
}
