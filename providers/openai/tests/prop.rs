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
    let provider = lmserver_openai::open(settings, &mut Bare).unwrap();
    provider
        .start(&ChatRequest::default(), "m", StartCx::default())
        .unwrap()
        .generation
}

/// Everything that came out, `Alive` apart, and then the one end.
fn outcome(response: &[u8], size: usize) -> Vec<String> {
    let mut generation = generation();
    let mut seen = Vec::new();
    let mut out = Vec::new();
    let mut has_ended = false;
    let mut show = |out: &mut Vec<Output>, has_ended: &mut bool| {
        for output in out.drain(..).filter(|output| *output != Output::Alive) {
            assert!(!*has_ended, "{output:?} after the end");
            *has_ended = matches!(output, Output::End { .. });
            seen.push(format!("{output:?}"));
        }
    };
    for piece in response.chunks(size) {
        let result = generation.receive(piece, &mut out);
        show(&mut out, &mut has_ended);
        if let Err(error) = result {
            assert!(!has_ended, "{error} after the end");
            seen.push(format!("{error:?}"));
            return seen;
        }
    }
    if !has_ended {
        let result = generation.closed(&mut out);
        show(&mut out, &mut has_ended);
        assert_ne!(result.is_err(), has_ended, "one end: {result:?}");
        seen.extend(result.err().map(|error| format!("{error:?}")));
    }
    seen
}

/// Pieces of which streams, documents and nonsense are made.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just(r#"data: {"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}"#),
        Just(r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#),
        Just(
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":3,"function":{"name":"f"}}]}}]}"#
        ),
        Just(
            r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"x","function":{"arguments":"{"}}]}}]}"#
        ),
        Just(r#"data: {"choices":[{"delta":{"content":[{"type":"thinking","thinking":"t"}]}}]}"#),
        Just(r#"data: {"choices":[],"usage":{"prompt_tokens":1}}"#),
        Just(r#"data: {"error":{"message":"m","code":429}}"#),
        Just("error: {\"error\":\"m\"}"),
        Just("data: [DONE]"),
        Just("event: error"),
        Just(": hello"),
        Just("\n"),
        Just("\n\n"),
        Just("\r\n\r\n"),
        Just("{"),
        Just("[]"),
        Just(r#"{"error":{"message":"m"}}"#),
        Just("\u{FEFF}"),
    ];
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #[test]
    fn any_body_has_one_outcome(
        status in prop_oneof![4 => Just(200_u16), 1 => Just(204), 1 => Just(302), 1 => 400_u16..600],
        encoding in prop_oneof![9 => Just(""), 1 => Just("Content-Encoding: gzip\r\n")],
        body in proptest::collection::vec(piece(), 0..12),
    ) {
        let mut response = format!("HTTP/1.1 {status} X\r\n{encoding}\r\n").into_bytes();
        response.extend(body.concat());
        let whole = outcome(&response, response.len());
        prop_assert!(!whole.is_empty());
        for size in [1, 2, 7] {
            prop_assert_eq!(&outcome(&response, size), &whole);
        }
    }

    #[test]
    fn any_bytes_have_one_outcome(response in proptest::collection::vec(any::<u8>(), 1..60)) {
        prop_assert_eq!(outcome(&response, 1), outcome(&response, response.len()));
    }
}
