//! Whatever a server sends, and however it is cut: the same outcome, and exactly one end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lmserver_runtime::plugin::provider::{ChatRequest, Output, StartCx};
use proptest::prelude::*;

use drive::drive;
use section::{Keys, settings};

#[path = "../../../tests/common/drive.rs"]
mod drive;
#[path = "../../../tests/common/section.rs"]
mod section;

/// Everything that came out, `Alive` apart, and then the one end.
fn outcome(response: &[u8], size: usize) -> Vec<String> {
    let settings = settings(Some("http://api.example"), None);
    let provider = lmserver_openai_responses::open(settings, &mut Keys::default()).unwrap();
    let start = provider.start(&ChatRequest::default(), "m", StartCx::default());
    let mut seen = Vec::new();
    let error = drive(
        response.chunks(size),
        start.unwrap().generation,
        &mut |output| {
            if output != Output::Alive {
                seen.push(format!("{output:?}"));
            }
        },
    );
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
        let response = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &body.concat()].concat();
        let whole = outcome(&response, response.len());
        for size in [1, 2, 7] {
            prop_assert_eq!(&outcome(&response, size), &whole);
        }
    }
}
