//! Whatever a server sends, and however it is cut: the same outcome, and exactly one end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use lmserver_runtime::plugin::provider::{
    BaseUrl, ChatRequest, Generation, Output, PluginSection, ProviderSettings, StartCx,
};
use proptest::prelude::*;

struct Bare;

impl PluginSection for Bare {
    fn take_string(&mut self, _: &str) -> Option<String> {
        None
    }
    fn take_bool(&mut self, _: &str) -> Option<bool> {
        None
    }
    fn take_integer(&mut self, _: &str) -> Option<i64> {
        None
    }
    fn take_duration(&mut self, _: &str) -> Option<Duration> {
        None
    }
    fn reject(&mut self, key: &str, mistake: &str) {
        panic!("{key}: {mistake}");
    }
}

fn generation() -> Box<dyn Generation> {
    let settings = ProviderSettings {
        name: "test".into(),
        base_url: Some(BaseUrl::parse("http://api.example").unwrap()),
        api_key: None,
        headers: BTreeMap::new(),
    };
    let provider = lmserver_openai_responses::open(settings, &mut Bare).unwrap();
    let start = provider.start(&ChatRequest::default(), "m", StartCx::default());
    start.unwrap().generation
}

/// Everything that came out, `Alive` apart, and then the one end.
fn outcome(body: &[u8], size: usize) -> Vec<String> {
    let response = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], body].concat();
    let mut generation = generation();
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    let mut pieces = response.chunks(size);
    let error = loop {
        let result = match pieces.next() {
            Some(piece) => generation.receive(piece, &mut out),
            None => generation.closed(&mut out),
        };
        for output in out.drain(..).filter(|output| *output != Output::Alive) {
            seen.push(format!("{output:?}"));
        }
        let has_ended = seen.iter().any(|line| line.starts_with("End"));
        match result {
            Ok(()) if has_ended => break None,
            Ok(()) => {}
            Err(error) => break Some(error),
        }
    };
    let ends = seen.iter().filter(|line| line.starts_with("End")).count();
    assert_eq!(ends + usize::from(error.is_some()), 1, "one end: {seen:?}");
    assert!(error.is_some() || seen.last().unwrap().starts_with("End"));
    seen.extend(error.map(|error| format!("{error:?}")));
    seen
}

/// Pieces of which streams, documents and nonsense are made.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just(r#"data: {"type":"response.output_text.delta","delta":"a\ud83d"}"#),
        Just(r#"data: {"type":"response.output_text.delta","delta":"b","delta":"c"}"#),
        Just(r#"data: {"type":"response.reasoning_text.delta","delta":"d","output_index":"0"}"#),
        Just(
            r#"data: {"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"x","name":"f","arguments":""}}"#
        ),
        Just(
            r#"data: {"type":"response.function_call_arguments.delta","output_index":1,"delta":"{}"}"#
        ),
        Just(
            r#"data: {"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"y","name":"f","arguments":"{}"}}"#
        ),
        Just(r#"data: {"type":"response.completed","response":{"usage":{"input_tokens":1}}}"#),
        Just(r#"data: {"type":"response.incomplete"}"#),
        Just(r#"data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}"#),
        Just(r#"data: {"type":"error","message":"m","code":"rate_limit_exceeded"}"#),
        Just("event: response.output_text.delta"),
        Just("data: {\"delta\":\"e\"}"),
        Just("data: [DONE]"),
        Just("event: error"),
        Just("\n"),
        Just("\n\n"),
        Just("\r\n\r\n"),
        Just("{\"output\":[]"),
        Just("}"),
        Just("\u{FEFF}"),
    ];
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #[test]
    fn any_body_has_one_outcome(body in proptest::collection::vec(piece(), 0..14)) {
        let body = body.concat();
        let whole = outcome(&body, body.len() + 64);
        for size in [1, 2, 7] {
            prop_assert_eq!(&outcome(&body, size), &whole);
        }
    }
}
