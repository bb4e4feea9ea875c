//! `/v1/messages`: Anthropic's API and the words of its errors.

use crate::harness::{Script, Setup, json};

const HELLO: &str =
    r#"{"model":"default","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;

#[test]
fn what_is_refused_has_the_type_that_clients_of_anthropic_look_for() {
    let unknown = HELLO.replace("default", "nope");
    let json_type = ("Content-Type", "application/json");
    let key = ("Idempotency-Key", "k");
    for (line, field, body, status, kind) in [
        (
            "POST /v1/messages",
            json_type,
            "{}",
            400,
            "invalid_request_error",
        ),
        (
            "POST /v1/messages",
            json_type,
            &*unknown,
            404,
            "not_found_error",
        ),
        (
            "GET /v1/messages",
            json_type,
            "",
            405,
            "invalid_request_error",
        ),
        (
            "POST /v1/messages/batches",
            json_type,
            HELLO,
            404,
            "not_found_error",
        ),
        (
            "POST /v1/messages",
            ("Content-Type", "text/plain"),
            HELLO,
            415,
            "invalid_request_error",
        ),
        (
            "POST /v1/messages",
            key,
            HELLO,
            422,
            "invalid_request_error",
        ),
    ] {
        let mut server = Setup::default().start();
        if status == 422 {
            server.script = Script::Conflict;
        }
        let response = server.response(line, &[field], body);
        let body = json(&response);
        assert_eq!(
            (
                response.status,
                body["type"].as_str(),
                body["error"]["type"].as_str()
            ),
            (status, Some("error"), Some(kind)),
            "{line} {body}"
        );
    }
}
