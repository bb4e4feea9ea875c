//! What holds of all that is read, and what providers rely on.

use lmserver_llm_api::Asked;
use lmserver_runtime::plugin::provider::{ChatRequest, Content, Message};
use serde_json::Value;

/// Checks what was read of a body.
pub(super) fn asked(asked: &Asked, body: &[u8]) {
    if let Some(model) = &asked.model {
        assert!((1..=256).contains(&model.len()), "{} bytes", model.len());
    }
    assert!((1..=8).contains(&asked.count), "{} answers", asked.count);
    assert!(asked.referred.len() <= 128);
    // Numbers grow when they are written again: 9e15.
    assert!(asked.note.len() <= 8 * body.len() + 4096);
    for channel in asked.referred.iter().chain(&asked.previous) {
        assert!(channel.starts_with("chat:") && channel.len() == 41);
    }
    question(&asked.request, !asked.referred.is_empty());
}

/// Checks a question. `names_items`: some of it is only named.
pub(super) fn question(request: &ChatRequest, names_items: bool) {
    assert!(!request.messages.is_empty(), "at least one message");
    for said in &request.messages {
        if !(names_items && said.role == "item_reference") {
            message(said);
        }
    }
    let temperature = request.temperature.unwrap_or_default();
    assert!(temperature >= 0.0 && temperature.is_finite());
    assert!((0.0..=1.0).contains(&request.top_p.unwrap_or_default()));
    assert_ne!(request.max_tokens, Some(0));
    assert!(
        request.stop.iter().all(|text| !text.is_empty()),
        "{:?}",
        request.stop
    );
    assert_ne!(request.reasoning_effort.as_deref(), Some(""));
    for typed in [&request.response_format].into_iter().flatten() {
        assert!(is_typed(typed), "{typed}");
    }
    if let Some(tools) = &request.tools {
        let tools = tools.as_array();
        assert!(tools.is_some_and(|it| it.iter().all(is_typed)), "{tools:?}");
    }
    if let Some(choice) = &request.tool_choice {
        assert!(choice.is_string() || choice.is_object(), "{choice}");
    }
    let metadata = request.metadata.as_ref();
    assert!(metadata.is_none_or(Value::is_object));
}

fn message(message: &Message) {
    let role = &*message.role;
    let roles = ["system", "developer", "user", "assistant", "tool"];
    assert!(roles.contains(&role), "{message:?}");
    assert_eq!(
        role == "tool",
        message.tool_call_id.is_some(),
        "{message:?}"
    );
    assert_ne!(message.name.as_deref(), Some(""));
    assert_ne!(message.reasoning.as_deref(), Some(""));
    match &message.content {
        Content::Absent => assert!(message.tool_calls.is_some(), "{message:?}"),
        Content::Text(_) => {}
        Content::Parts(parts) => {
            assert!(
                !parts.is_empty() && parts.iter().all(is_typed),
                "{message:?}"
            );
        }
    }
    if let Some(calls) = &message.tool_calls {
        assert_eq!(role, "assistant", "{message:?}");
        let is_call = |call: &Value| {
            ["/id", "/function/name", "/function/arguments"]
                .iter()
                .all(|at| call.pointer(at).is_some_and(Value::is_string))
        };
        let calls = calls.as_array().filter(|calls| !calls.is_empty());
        assert!(
            calls.is_some_and(|it| it.iter().all(is_call)),
            "{message:?}"
        );
    }
}

fn is_typed(value: &Value) -> bool {
    value.get("type").is_some_and(Value::is_string)
}
