//! Whatever a server sends, and however it is cut: the same outcome, and exactly one end.

use proptest::prelude::*;

#[path = "../../../tests/common/outcome.rs"]
mod outcome;

fn outcome(response: &[u8], size: usize) -> Vec<String> {
    outcome::outcome(lmserver_openai_responses::open, response, size)
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
