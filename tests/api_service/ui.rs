//! `/api/ui/chat`: who may take an answer up, and end it.

use crate::harness::{Asked, Script, Setup, error};

const POST: &str = "POST /api/ui/chat";
const HELLO: &str =
    r#"{"id":"42","messages":[{"role":"user","parts":[{"type":"text","text":"hi"}]}]}"#;
const STREAM: &str = "/api/ui/chat/42/stream";

#[test]
fn the_id_of_a_conversation_opens_nothing_where_tokens_are_in_use() {
    for keys in [&[][..], &["key"]] {
        let mut server = Setup {
            keys,
            secret: Some("secret"),
            ..Setup::default()
        }
        .start();
        let key: &[(&str, &str)] = if keys.is_empty() {
            &[]
        } else {
            &[("Authorization", "Bearer key")]
        };
        server.told(POST, key, HELLO);
        server.asked.clear();
        if keys.is_empty() {
            for method in ["GET", "DELETE"] {
                let response = server.response(&format!("{method} {STREAM}"), &[], "");
                error(&response, 401, "unauthorized");
            }
            assert!(server.asked.is_empty());
        } else {
            server.script = Script::Unknown;
            assert_eq!(
                server.response(&format!("GET {STREAM}"), key, "").status,
                204
            );
        }
    }
}

#[test]
fn all_answers_of_a_conversation_are_ended() {
    let mut server = Setup::default().start();
    for _ in 0..6 {
        server.told(POST, &[], HELLO);
    }
    server.asked.clear();
    server.script = Script::Cancelled(true);
    let response = server.response(&format!("DELETE {STREAM}"), &[], "");
    assert_eq!(response.status, 204);
    let ended = server.asked.iter();
    assert_eq!(ended.filter(|it| matches!(it, Asked::Cancel(_))).count(), 4);
}
