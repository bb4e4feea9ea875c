//! Providers whose format is their own: what they are asked, and their answers on the way to a
//! client, a piece at a time.

use std::time::{SystemTime, UNIX_EPOCH};

use lmserver::proto::aws_event_stream::{Value as Header, write_message};
use lmserver::proto::http1::basic_date_time;
use serde_json::{Value, json};

use crate::client::{end_of, text_of};
use crate::program::Server;
use crate::provider::{Provider, in_chunk};

/// A provider's way to speak.
struct Format<P = String> {
    kind: &'static str,
    model: &'static str,
    /// The first line and a field of its request.
    asked: (&'static str, (&'static str, &'static str)),
    /// The body of its request.
    body: Value,
    content_type: &'static str,
    /// What it says, and what of that the client reads: reasoning, text, a tool call.
    pieces: [(P, &'static str, Value); 4],
    /// What ends the answer.
    ending: P,
}

fn events(data: &Value) -> String {
    format!("data: {data}\r\n\r\n")
}

fn gemini() -> Format {
    let part = |part: Value| {
        let content = json!({"role": "model", "parts": [part]});
        events(&json!({"candidates": [{"index": 0, "content": content}]}))
    };
    let call = json!({"functionCall": {"name": "f", "args": {"x": 1}}});
    let usage = json!({"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 1});
    Format {
        kind: "gemini",
        model: "gemini-2.5-flash",
        asked: (
            "POST /v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse HTTP/1.1",
            ("x-goog-api-key", "secret-key-1"),
        ),
        body: json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        content_type: "text/event-stream",
        pieces: [
            (
                part(json!({"text": "Hm", "thought": true})),
                "reasoning",
                json!("Hm"),
            ),
            (part(json!({"text": "Grüße, "})), "chunk", json!("Grüße, ")),
            (part(json!({"text": "Welt"})), "chunk", json!("Welt")),
            (part(call), "tool_call", json!("{\"x\":1}")),
        ],
        ending: events(&json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": usage})),
    }
}

fn ollama() -> Format {
    let line = |message: Value| {
        let line = json!({"model": "m", "message": message, "done": false});
        format!("{line}\n")
    };
    let call = json!([{"function": {"name": "f", "arguments": {"x": 1}}}]);
    let last =
        json!({"done": true, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 4});
    Format {
        kind: "ollama",
        model: "llama3.2",
        asked: (
            "POST /v1/api/chat HTTP/1.1",
            ("accept", "application/x-ndjson"),
        ),
        body: json!({"model": "llama3.2", "stream": true,
            "messages": [{"role": "user", "content": "hi"}]}),
        content_type: "application/x-ndjson",
        pieces: [
            (line(json!({"thinking": "Hm"})), "reasoning", json!("Hm")),
            (
                line(json!({"content": "Grüße, "})),
                "chunk",
                json!("Grüße, "),
            ),
            (line(json!({"content": "Welt"})), "chunk", json!("Welt")),
            (
                line(json!({"tool_calls": call})),
                "tool_call",
                json!("{\"x\":1}"),
            ),
        ],
        ending: format!("{last}\n"),
    }
}

fn cohere() -> Format {
    let event = |kind: &str, delta: Value| {
        let data = json!({"type": kind, "index": 0, "delta": delta});
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let content = |key: &str, text: &str| {
        let delta = json!({"message": {"content": {key: text}}});
        event("content-delta", delta)
    };
    let call = json!({"id": "a", "function": {"name": "f", "arguments": "{\"x\":1}"}});
    let tokens = json!({"input_tokens": 5, "output_tokens": 4});
    let end = json!({"finish_reason": "TOOL_CALL", "usage": {"tokens": tokens}});
    Format {
        kind: "cohere",
        model: "command-a-03-2025",
        asked: (
            "POST /v1/v2/chat HTTP/1.1",
            ("authorization", "Bearer secret-key-1"),
        ),
        body: json!({"model": "command-a-03-2025", "stream": true,
            "messages": [{"role": "user", "content": "hi"}]}),
        content_type: "text/event-stream",
        pieces: [
            (content("thinking", "Hm"), "reasoning", json!("Hm")),
            (content("text", "Grüße, "), "chunk", json!("Grüße, ")),
            (content("text", "Welt"), "chunk", json!("Welt")),
            (
                event("tool-call-start", json!({"message": {"tool_calls": call}})),
                "tool_call",
                json!("{\"x\":1}"),
            ),
        ],
        ending: event("message-end", end) + "data: [DONE]\n\n",
    }
}

fn anthropic() -> Format {
    let event = |kind: &str, mut data: Value| {
        data["type"] = kind.into();
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let delta = |index: u64, key: &str, text: &str| {
        let data = json!({"index": index, "delta": {"type": format!("{key}_delta"), key: text}});
        event("content_block_delta", data)
    };
    let begins = |index: u64, block: Value| {
        let data = json!({"index": index, "content_block": block});
        event("content_block_start", data)
    };
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    let arguments = json!({"type": "input_json_delta", "partial_json": "{\"x\":1}"});
    let arguments = json!({"index": 1, "delta": arguments});
    let started = json!({"message": {"usage": {"input_tokens": 5, "output_tokens": 1}}});
    let finish = json!({"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}});
    Format {
        kind: "anthropic",
        model: "claude-sonnet-4-5",
        asked: ("POST /v1/messages HTTP/1.1", ("x-api-key", "secret-key-1")),
        body: json!({"model": "claude-sonnet-4-5", "stream": true, "max_tokens": 8192,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
        content_type: "text/event-stream",
        pieces: [
            (
                event("message_start", started) + &delta(0, "thinking", "Hm"),
                "reasoning",
                json!("Hm"),
            ),
            (
                event("ping", json!({})) + &delta(0, "text", "Grüße, "),
                "chunk",
                json!("Grüße, "),
            ),
            (delta(0, "text", "Welt"), "chunk", json!("Welt")),
            (
                begins(1, call) + &event("content_block_delta", arguments),
                "tool_call",
                json!("{\"x\":1}"),
            ),
        ],
        ending: event("message_delta", finish) + &event("message_stop", json!({})),
    }
}

fn bedrock() -> Format<Vec<u8>> {
    let event = |kind: &str, data: Value| {
        let headers = [
            (":message-type", Header::String("event")),
            (":event-type", Header::String(kind)),
        ];
        let mut out = Vec::new();
        write_message(&mut out, &headers, data.to_string().as_bytes()).unwrap();
        out
    };
    let delta = |delta: Value| {
        let data = json!({"contentBlockIndex": 0, "delta": delta});
        event("contentBlockDelta", data)
    };
    let call = json!({"contentBlockIndex": 0, "start":
        {"toolUse": {"toolUseId": "a", "name": "f"}}});
    let usage = json!({"usage": {"inputTokens": 5, "outputTokens": 4, "totalTokens": 9}});
    Format {
        kind: "bedrock",
        model: "us.vendor.model-v1:0",
        asked: (
            "POST /v1/model/us.vendor.model-v1%3A0/converse-stream HTTP/1.1",
            ("authorization", "Bearer secret-key-1"),
        ),
        body: json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
        content_type: "application/vnd.amazon.eventstream",
        pieces: [
            (
                delta(json!({"reasoningContent": {"text": "Hm"}})),
                "reasoning",
                json!("Hm"),
            ),
            (delta(json!({"text": "Grüße, "})), "chunk", json!("Grüße, ")),
            (delta(json!({"text": "Welt"})), "chunk", json!("Welt")),
            (
                [
                    event("contentBlockStart", call),
                    delta(json!({"toolUse": {"input": "{\"x\":1}"}})),
                ]
                .concat(),
                "tool_call",
                json!("{\"x\":1}"),
            ),
        ],
        ending: [
            event("messageStop", json!({"stopReason": "tool_use"})),
            event("metadata", usage),
        ]
        .concat(),
    }
}

fn responses() -> Format {
    let event = |mut data: Value| {
        let kind = data["type"].as_str().unwrap().to_owned();
        data["output_index"] = json!(1);
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let delta = |kind: &str, text: &str| event(json!({"type": kind, "delta": text}));
    let call = json!({"type": "function_call", "call_id": "a", "name": "f",
        "arguments": "{\"x\":1}"});
    let usage = json!({"input_tokens": 5, "output_tokens": 4});
    let ending = json!({"type": "response.completed", "response": {"usage": usage}});
    Format {
        kind: "openai-responses",
        model: "gpt-5",
        asked: (
            "POST /v1/responses HTTP/1.1",
            ("authorization", "Bearer secret-key-1"),
        ),
        body: json!({"model": "gpt-5", "stream": true, "store": false,
            "input": [{"role": "user", "content": "hi"}]}),
        content_type: "text/event-stream",
        pieces: [
            (
                delta("response.reasoning_summary_text.delta", "Hm"),
                "reasoning",
                json!("Hm"),
            ),
            (
                delta("response.output_text.delta", "Grüße, "),
                "chunk",
                json!("Grüße, "),
            ),
            (
                delta("response.output_text.delta", "Welt"),
                "chunk",
                json!("Welt"),
            ),
            (
                event(json!({"type": "response.output_item.added", "item": call})),
                "tool_call",
                json!("{\"x\":1}"),
            ),
        ],
        ending: event(ending),
    }
}

/// Asks a provider of this format twice: the second time over the same connection.
fn streams_from_end_to_end<P: AsRef<[u8]>>(format: &Format<P>) {
    let provider = Provider::new();
    let Format { kind, model, .. } = format;
    let address = provider.address;
    let server = Server::start(&format!(
        "[provider.p]\nkind = \"{kind}\"\nbase_url = \"http://{address}/v1\"\n\
         api_key = \"secret-key-1\"\n[model.default]\ntargets = [\"p/{model}\"]\n"
    ));
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    for round in 0..2 {
        let head = connection.head();
        let (line, (name, value)) = format.asked;
        assert_eq!(head.line, line);
        assert_eq!(head.field(name), Some(value), "{kind}");
        let body = connection.body(&head);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, format.body, "{kind}");
        let content_type = format.content_type;
        connection.say(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        let mut seen = vec![asked.next().expect("a start")];
        for (piece, event_type, text) in &format.pieces {
            // Cut in the middle: what is complete comes, what is not waits.
            let piece = piece.as_ref();
            let (before, after) = piece.split_at(piece.len() / 2);
            connection.say(in_chunk(before));
            connection.say(in_chunk(after));
            let mut event = asked.next().expect("an event");
            let key = if *event_type == "tool_call" {
                "arguments"
            } else {
                "message"
            };
            // The beginning of a call, before its arguments.
            if event.data[key] == "" {
                seen.push(event);
                event = asked.next().expect("an event");
            }
            assert_eq!(event.data["type"], *event_type, "{kind}: {event:?}");
            assert_eq!(event.data[key], *text, "{kind}: {event:?}");
            seen.push(event);
        }
        connection.say([in_chunk(&format.ending), b"0\r\n\r\n".to_vec()].concat());
        seen.extend(asked.rest());
        assert_eq!(text_of(&seen), "Grüße, Welt");
        let end = end_of(&seen);
        assert_eq!(end["finish_reason"], "tool_calls", "{kind}: {end}");
        assert_eq!(end["usage"]["input_tokens"], 5, "{kind}: {end}");
        assert_eq!(end["usage"]["output_tokens"], 4, "{kind}: {end}");
        assert_eq!(
            (&end["model"], &end["provider"]),
            (&json!(model), &json!("p"))
        );
        if round == 0 {
            asked = asked.into_wire().ask("hi");
        }
    }
    assert!(provider.has_nobody());
}

#[test]
fn an_answer_of_gemini_streams_to_a_subscriber() {
    streams_from_end_to_end(&gemini());
}

#[test]
fn an_answer_of_ollama_streams_to_a_subscriber() {
    streams_from_end_to_end(&ollama());
}

#[test]
fn an_answer_of_cohere_streams_to_a_subscriber() {
    streams_from_end_to_end(&cohere());
}

#[test]
fn an_answer_of_anthropic_streams_to_a_subscriber() {
    streams_from_end_to_end(&anthropic());
}

#[test]
fn an_answer_of_bedrock_streams_to_a_subscriber() {
    streams_from_end_to_end(&bedrock());
}

#[test]
fn a_request_to_bedrock_is_signed_with_the_time_of_day() {
    let provider = Provider::new();
    let server = Server::start(&format!(
        "[provider.p]\nkind = \"bedrock\"\nbase_url = \"http://{}\"\nregion = \"eu-west-1\"\n\
         access_key_id = \"AKIDEXAMPLE\"\nsecret_access_key = \"secret-key-1\"\n\
         [model.default]\ntargets = [\"p/m\"]\n",
        provider.address
    ));
    let before = SystemTime::now();
    let _asked = server.ask("hi");
    let head = provider.accept().head();
    let after = SystemTime::now();
    let date = head.field("x-amz-date").unwrap();
    let stamp = |time: SystemTime| {
        let time = time.duration_since(UNIX_EPOCH).unwrap();
        basic_date_time(time.as_secs())
    };
    assert!(*stamp(before) <= *date && *date <= *stamp(after), "{date}");
    let want = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}/eu-west-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature=",
        &date[..8]
    );
    let authorization = head.field("authorization").unwrap();
    assert!(authorization.starts_with(&want), "{authorization}");
}

#[test]
fn an_answer_of_the_responses_api_streams_to_a_subscriber() {
    streams_from_end_to_end(&responses());
}
