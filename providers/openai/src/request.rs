//! A chat request in the form of `POST /chat/completions`.

use lmserver_runtime::event::write_json_string;
use lmserver_runtime::http_provider::Question;
use lmserver_runtime::http_provider::json::merge;
use lmserver_runtime::plugin::provider::{ChatRequest, Content, Message};
use serde_json::{Map, Value, json};

use crate::dialect::Dialect;

/// The body of the request.
///
/// What every request has is written as it is; only what a few have is made a tree first, since
/// `extra` is laid over it.
pub(crate) fn body(dialect: &Dialect, request: &ChatRequest, model: &str) -> Vec<u8> {
    let texts = request
        .messages
        .iter()
        .map(|message| match &message.content {
            Content::Text(text) => text.len() + 40,
            Content::Absent | Content::Parts(_) => 40,
        });
    let mut out = Vec::with_capacity(texts.sum::<usize>() + 128);
    // What is read is a stream of the model that was routed to, whatever was asked for.
    out.extend_from_slice(b"{\"model\":");
    write_json_string(model, &mut out);
    out.extend_from_slice(b",\"stream\":true");
    if !request.extra.contains_key("messages") {
        write_messages(dialect, request, &mut out);
    }
    if dialect.include_usage && !request.extra.contains_key("stream_options") {
        out.extend_from_slice(b",\"stream_options\":{\"include_usage\":true}");
    }
    if has_options(request) {
        write_options(dialect, request, &mut out);
    }
    out.push(b'}');
    out
}

/// Is there anything but the conversation? Metadata goes nowhere without an option.
fn has_options(request: &ChatRequest) -> bool {
    let ChatRequest {
        messages: _,
        system: _,
        temperature: None,
        top_p: None,
        max_tokens: None,
        stop,
        seed: None,
        tools: None,
        tool_choice: None,
        response_format: None,
        reasoning_effort: None,
        user: None,
        metadata: _,
        options,
        extra,
    } = request
    else {
        return true;
    };
    !stop.is_empty() || !options.is_empty() || !extra.is_empty()
}

/// Out of line: many questions have none, and the first token waits for each line of code.
#[inline(never)]
fn write_options(dialect: &Dialect, request: &ChatRequest, out: &mut Vec<u8>) {
    for (name, value) in options(dialect, request) {
        if name != "model" && name != "stream" {
            write_entry(&name, &value, out);
        }
    }
}

/// All but the conversation, and what every request has.
fn options(dialect: &Dialect, request: &ChatRequest) -> Map<String, Value> {
    let mut body = Map::new();
    if dialect.include_usage && request.extra.contains_key("stream_options") {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    let stop = (!request.stop.is_empty()).then(|| request.stop.clone().into());
    let effort = request.reasoning_effort.as_deref();
    let (effort_field, effort) = if dialect.has_reasoning {
        ("reasoning", effort.map(|effort| json!({"effort": effort})))
    } else {
        ("reasoning_effort", effort.map(Value::from))
    };
    let user = request.user.clone().filter(|_| dialect.has_hints);
    for (name, value) in [
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        (
            dialect.max_tokens_field,
            request.max_tokens.map(Value::from),
        ),
        ("stop", stop),
        (dialect.seed_field, request.seed.clone().map(Value::Number)),
        ("tools", request.tools.clone()),
        ("tool_choice", request.tool_choice.clone()),
        ("response_format", request.response_format.clone()),
        (effort_field, effort),
        ("user", user.map(Value::String)),
    ] {
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
    // OpenAI refuses metadata on an answer that it is not to store.
    let further = [&request.options, &request.extra];
    if further
        .iter()
        .any(|it| it.get("store") == Some(&Value::Bool(true)))
    {
        let notes = request.metadata.clone();
        body.extend(notes.map(|notes| ("metadata".to_owned(), notes)));
    }
    let options = request.options.iter();
    let options = options.filter(|(name, _)| dialect.has_hints || !Question::is_hint(name));
    body.extend(options.map(|(name, value)| (name.clone(), value.clone())));
    merge(&mut body, &request.extra);
    body
}

fn write_messages(dialect: &Dialect, request: &ChatRequest, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"messages\":[");
    if let Some(system) = &request.system {
        out.extend_from_slice(b"{\"role\":\"system\",\"content\":");
        write_json_string(system, out);
        out.push(b'}');
    }
    let messages = &request.messages;
    let thinks = dialect.wants_thoughts && messages.iter().any(|it| it.reasoning.is_some());
    let mut is_first = request.system.is_none();
    for turn in messages.chunk_by(|_, next| next.role != "user") {
        let has_thoughts = thinks && turn.iter().any(|it| it.tool_calls.is_some());
        for message in turn {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            write_message(dialect, message, has_thoughts, out);
        }
    }
    out.push(b']');
}

/// `has_thoughts`: what the model thought is added to what it said, as in all of a turn with calls
/// (between two messages of the user). Where it thought at all, each must say what, be it nothing.
fn write_message(dialect: &Dialect, message: &Message, has_thoughts: bool, out: &mut Vec<u8>) {
    let role = match message.role.as_str() {
        "developer" if !dialect.has_developer => "system",
        role => role,
    };
    out.extend_from_slice(b"{\"role\":");
    write_json_string(role, out);
    out.extend_from_slice(b",\"content\":");
    match &message.content {
        Content::Absent => out.extend_from_slice(b"null"),
        Content::Text(text) => write_json_string(text, out),
        Content::Parts(parts) => {
            for (index, part) in parts.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                write_value(part, out);
            }
            out.extend_from_slice(if parts.is_empty() { b"[]" } else { b"]" });
        }
    }
    if let Some(name) = message.name.as_ref().filter(|_| dialect.has_names) {
        write_text("name", name, out);
    }
    if let Some(calls) = &message.tool_calls {
        if dialect.has_short_ids {
            write_entry("tool_calls", &with_short_ids(calls.clone()), out);
        } else {
            write_entry("tool_calls", calls, out);
        }
    }
    if let Some(id) = &message.tool_call_id {
        if dialect.has_short_ids {
            write_text("tool_call_id", &short_id(id), out);
        } else {
            write_text("tool_call_id", id, out);
        }
    }
    if has_thoughts && message.role == "assistant" {
        let thought = message.reasoning.as_deref().unwrap_or_default();
        write_text("reasoning_content", thought, out);
    }
    out.push(b'}');
}

fn write_text(name: &str, text: &str, out: &mut Vec<u8>) {
    write_name(name, out);
    write_json_string(text, out);
}

fn write_entry(name: &str, value: &Value, out: &mut Vec<u8>) {
    write_name(name, out);
    write_value(value, out);
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_json_string(name, out);
    out.push(b':');
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    // Writing a value into a Vec cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn with_short_ids(mut calls: Value) -> Value {
    for call in calls.as_array_mut().into_iter().flatten() {
        if let Some(Value::String(id)) = call.get_mut("id") {
            *id = short_id(id);
        }
    }
    calls
}

/// An id of nine letters and digits; any other becomes one, always the same. Two may meet in one
/// conversation, with a chance of one in 2⁴⁵ for each pair.
fn short_id(id: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    // FNV-1a, whose high bits are the mixed ones.
    let hash = id.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (0..9)
        .filter_map(|place| ALPHABET.get(usize::try_from(hash >> (19 + 5 * place) & 31).ok()?))
        .map(|byte| char::from(*byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    fn request() -> ChatRequest {
        let content = Content::Text("Hi".into());
        let message = Message {
            role: "user".into(),
            content,
            name: None,
            tool_calls: None,
            tool_call_id: None,
            reasoning: None,
        };
        ChatRequest {
            messages: vec![message],
            ..ChatRequest::default()
        }
    }

    fn body_for(url: &str, request: &ChatRequest) -> Value {
        let url = lmserver_runtime::plugin::provider::BaseUrl::parse(url).unwrap();
        let dialect = presets::of_host(&url.endpoint.host);
        let usual = if url.endpoint.tls && !url.endpoint.host.ends_with("example") {
            Dialect::OPENAI
        } else {
            Dialect::COMPATIBLE
        };
        let body = body(&dialect.unwrap_or(usual), request, "m");
        serde_json::from_slice(&body).unwrap()
    }

    const OPENAI: &str = "https://api.openai.com/v1";
    const LOCAL: &str = "http://127.0.0.1:11434/v1";

    #[test]
    fn a_plain_question_is_a_short_body() {
        let want = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "Hi"}],
        });
        assert_eq!(body_for(OPENAI, &request()), want);
    }

    #[test]
    fn every_option_has_its_place() {
        let mut request = request();
        let tool_calls = json!([{"id": "a", "type": "function", "function": {"name": "f"}}]);
        request.messages.push(Message {
            role: "assistant".into(),
            content: Content::Absent,
            name: Some("n".into()),
            tool_calls: Some(tool_calls.clone()),
            tool_call_id: None,
            reasoning: None,
        });
        request.messages.push(Message {
            role: "tool".into(),
            content: Content::Parts(vec![json!({"type": "text", "text": "x"})]),
            name: None,
            tool_calls: None,
            tool_call_id: Some("a".into()),
            reasoning: None,
        });
        let request = ChatRequest {
            system: Some("Be brief".into()),
            temperature: Some(0.5),
            top_p: Some(0.9),
            max_tokens: Some(9),
            stop: vec!["END".into()],
            seed: Some(7.into()),
            tools: Some(json!([{"type": "function"}])),
            tool_choice: Some("auto".into()),
            response_format: Some(json!({"type": "json_object"})),
            reasoning_effort: Some("low".into()),
            user: Some("u".into()),
            metadata: Some(json!({"a": "b"})),
            ..request
        };
        let want = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Be brief"},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": null, "name": "n", "tool_calls": tool_calls},
                {"role": "tool", "content": [{"type": "text", "text": "x"}], "tool_call_id": "a"},
            ],
            "temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": ["END"], "seed": 7,
            "tools": [{"type": "function"}], "tool_choice": "auto",
            "response_format": {"type": "json_object"}, "reasoning_effort": "low", "user": "u",
        });
        assert_eq!(body_for(LOCAL, &request), want);
    }

    #[test]
    fn servers_get_the_names_they_know() {
        let request = ChatRequest {
            max_tokens: Some(9),
            seed: Some(7.into()),
            ..request()
        };
        for (url, limit, seed, has_options) in [
            (OPENAI, "max_completion_tokens", "seed", true),
            (
                "https://x.openai.azure.com/openai/v1",
                "max_completion_tokens",
                "seed",
                true,
            ),
            (LOCAL, "max_tokens", "seed", true),
            (
                "https://api.mistral.ai/v1",
                "max_tokens",
                "random_seed",
                false,
            ),
        ] {
            let body = body_for(url, &request);
            assert_eq!((&body[limit], &body[seed]), (&json!(9), &json!(7)), "{url}");
            assert_eq!(body.get("stream_options").is_some(), has_options, "{url}");
        }
    }

    #[test]
    fn extra_comes_last_but_the_answer_stays_a_stream_of_the_same_model() {
        let extra = json!({
            "stream": false, "stream_options": {"include_obfuscation": false}, "top_p": null,
            "temperature": 2, "top_k": 40, "store": true, "model": "another",
        });
        let Value::Object(extra) = extra else {
            panic!("an object")
        };
        let metadata = Some(json!({"a": "b"}));
        let request = ChatRequest {
            temperature: Some(0.5),
            top_p: Some(0.5),
            metadata,
            extra,
            ..request()
        };
        let body = body_for(OPENAI, &request);
        let want = json!({
            "model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}],
            "stream_options": {"include_usage": true, "include_obfuscation": false},
            "temperature": 2, "top_k": 40, "store": true, "metadata": {"a": "b"},
        });
        assert_eq!(body, want);
    }

    #[test]
    fn extra_may_say_another_conversation_or_none() {
        let theirs = json!([{"role": "user", "content": "Ho"}]);
        for messages in [theirs, Value::Null] {
            let extra = json!({"messages": messages, "stream_options": null});
            let Value::Object(extra) = extra else {
                panic!("an object")
            };
            let request = ChatRequest { extra, ..request() };
            let body = body_for(OPENAI, &request);
            let said = Some(&messages).filter(|it| !it.is_null());
            assert_eq!(body.get("messages"), said);
            assert_eq!(body.get("stream_options"), None);
        }
    }

    #[test]
    fn further_options_are_handed_on() {
        let options = json!({"parallel_tool_calls": false, "store": true});
        let Value::Object(options) = options else {
            panic!("an object")
        };
        let request = ChatRequest {
            metadata: Some(json!({"a": "b"})),
            options,
            ..request()
        };
        let body = body_for(OPENAI, &request);
        assert_eq!(body["parallel_tool_calls"], json!(false));
        assert_eq!(body["metadata"], json!({"a": "b"}), "it is stored");
    }

    #[test]
    fn thoughts_go_back_to_who_wants_them_where_tools_were_called() {
        let said = |role: &str, reasoning: Option<&str>, calls: Option<Value>| Message {
            reasoning: reasoning.map(str::to_owned),
            tool_calls: calls,
            ..Message::new(role, Content::Text("x".into()))
        };
        let calls = || Some(json!([{"id": "a"}]));
        let mut request = ChatRequest {
            system: Some("s".into()),
            messages: vec![
                said("user", None, None),
                said("assistant", Some("no calls"), None),
                said("user", None, None),
                said("assistant", Some("1"), calls()),
                said("tool", None, None),
                said("assistant", None, calls()),
                said("tool", None, None),
                said("assistant", Some("3"), None),
                said("user", None, None),
                said("assistant", Some("4"), calls()),
                said("tool", None, None),
            ],
            ..ChatRequest::default()
        };
        let thoughts = |request: &ChatRequest, url: &str| -> Vec<(usize, Value)> {
            let body = body_for(url, request);
            let messages = body["messages"].as_array().unwrap().iter().enumerate();
            messages
                .filter_map(|(at, it)| Some((at, it.get("reasoning_content")?.clone())))
                .collect()
        };
        let deepseek = "https://api.deepseek.com";
        let want = [(4, "1"), (6, ""), (8, "3"), (10, "4")];
        assert_eq!(
            thoughts(&request, deepseek),
            want.map(|(at, text)| (at, json!(text)))
        );
        for other in [OPENAI, LOCAL, "https://openrouter.ai/api/v1"] {
            assert_eq!(thoughts(&request, other), [], "{other}");
        }
        for message in &mut request.messages {
            message.reasoning = None;
        }
        assert_eq!(thoughts(&request, deepseek), [], "it did not think");
    }

    #[test]
    fn what_a_server_refuses_is_left_out_or_said_its_way() {
        let mut request = request();
        request.messages.push(Message {
            role: "assistant".into(),
            content: Content::Absent,
            name: None,
            tool_calls: Some(json!([{"id": "call_1"}, {"id": "abcDEF123"}])),
            tool_call_id: None,
            reasoning: None,
        });
        request.messages.push(Message {
            role: "tool".into(),
            content: Content::Text("x".into()),
            name: None,
            tool_calls: None,
            tool_call_id: Some("call_1".into()),
            reasoning: None,
        });
        request.messages[0].role = "developer".into();
        request.messages[0].name = Some("n".into());
        request.user = Some("u".into());
        request.reasoning_effort = Some("low".into());
        for (name, value) in [("service_tier", json!("flex")), ("top_k", json!(4))] {
            request.options.insert(name.into(), value);
        }

        let body = body_for("https://api.mistral.ai/v1", &request);
        assert_eq!(
            body["messages"][0],
            json!({"role": "system", "content": "Hi"})
        );
        assert_eq!((body.get("user"), body.get("service_tier")), (None, None));
        assert_eq!(body["top_k"], 4);
        let calls = &body["messages"][1]["tool_calls"];
        let id = calls[0]["id"].as_str().unwrap();
        assert!(
            id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{id}"
        );
        assert_ne!(id, short_id("call_2"));
        assert_eq!(calls[1]["id"], "abcDEF123");
        assert_eq!(body["messages"][2]["tool_call_id"], id);

        let body = body_for("https://openrouter.ai/api/v1", &request);
        assert_eq!(body["reasoning"], json!({"effort": "low"}));
        assert_eq!(body["messages"][0]["role"], "developer");
        assert_eq!(
            (&body["user"], &body["service_tier"]),
            (&json!("u"), &json!("flex"))
        );

        let body = body_for("https://api.groq.com/openai/v1", &request);
        assert_eq!(
            body["messages"][0],
            json!({"role": "system", "content": "Hi"})
        );
        assert_eq!(body["reasoning_effort"], "low");
        assert_eq!(body["messages"][1]["tool_calls"][0]["id"], "call_1");
    }
}
