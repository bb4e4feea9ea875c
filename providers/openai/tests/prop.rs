//! Whatever a server sends, and however it is cut: the same outcome, and exactly one end.

use proptest::prelude::*;

#[path = "../../../tests/common/outcome.rs"]
mod outcome;

fn outcome(response: &[u8], size: usize) -> Vec<String> {
    outcome::outcome(lmserver_openai::open, response, size)
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
