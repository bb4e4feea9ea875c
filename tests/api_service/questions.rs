//! The body of `POST /api/chat`: what is taken, and what is said about the rest.

use lmserver_runtime::plugin::provider::Content;
use serde_json::json;

use crate::harness::{Got, Setup, error};

#[test]
fn every_key_arrives() {
    let submission = Setup::default().start().submission(
        r#"{"messages":[
            {"role":"system","content":"be brief"},
            {"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"data:x"}}],"name":"ann"},
            {"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"42"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c2","type":"function","function":{"name":"f","arguments":""}}]},
            {"role":"tool","tool_call_id":"c2","content":""}],
        "system":"","temperature":0,"top_p":1,"max_tokens":5,"stop":["a","b"],"seed":-7,
        "tools":[{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}],
        "tool_choice":"auto","response_format":{"type":"json_object"},"reasoning_effort":"low",
        "user":"u","metadata":{"k":"v"},"extra":{"x":[1,null]}}"#,
    );
    let request = submission.request;
    let roles: Vec<_> = request
        .messages
        .iter()
        .map(|message| &*message.role)
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool", "assistant", "tool"]
    );
    assert_eq!(
        request.messages[0].content,
        Content::Text("be brief".into())
    );
    assert!(matches!(&request.messages[1].content, Content::Parts(parts) if parts.len() == 2));
    assert_eq!(request.messages[1].name.as_deref(), Some("ann"));
    assert_eq!(request.messages[2].content, Content::Absent);
    assert_eq!(
        request.messages[2].tool_calls.as_ref().unwrap()[0]["id"],
        "c1"
    );
    assert_eq!(request.messages[3].tool_call_id.as_deref(), Some("c1"));
    assert_eq!(request.messages[4].content, Content::Absent);
    assert_eq!(request.messages[5].content, Content::Text(String::new()));
    assert_eq!(request.system.as_deref(), Some(""));
    assert_eq!((request.temperature, request.top_p), (Some(0.0), Some(1.0)));
    assert_eq!(request.max_tokens, Some(5));
    assert_eq!(request.stop, ["a", "b"]);
    assert_eq!(request.seed.unwrap().as_i64(), Some(-7));
    assert_eq!(request.tools.unwrap()[0]["function"]["name"], "f");
    assert_eq!(request.tool_choice, Some(json!("auto")));
    assert_eq!(
        request.response_format,
        Some(json!({"type": "json_object"}))
    );
    assert_eq!(request.reasoning_effort.as_deref(), Some("low"));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.metadata, Some(json!({"k": "v"})));
    assert_eq!(request.extra["x"], json!([1, null]));
}

#[test]
fn a_message_is_one_question_of_a_user() {
    for (body, want) in [
        (r#"{"message":"hi"}"#, "hi"),
        (" \n{\"message\":\"hi\"}\n ", "hi"),
        ("\u{feff}{\"message\":\"hi\"}", "hi"),
        (r#"{"message":"\ud83d\ude00 \u0000\\"}"#, "\u{1f600} \0\\"),
        (r#"{"message":"   "}"#, "   "),
        (
            r#"{"message":"hi","temperature":null,"stop":null,"extra":null,"model":null}"#,
            "hi",
        ),
        (r#"{"message":"hi","stop":"x"}"#, "hi"),
    ] {
        let request = Setup::default().start().submission(body).request;
        assert_eq!(request.messages.len(), 1);
        assert_eq!(request.messages[0].role, "user");
        assert_eq!(
            request.messages[0].content,
            Content::Text(want.into()),
            "{body}"
        );
        assert_eq!(request.temperature, None);
        assert!(request.extra.is_empty());
    }
}

#[test]
fn a_wrong_body_is_400_and_says_what_is_wrong() {
    let nested = format!(
        r#"{{"message":"hi","extra":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let many: Vec<_> = (0..100).map(|i| format!(r#""k{i}":1"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    for (body, wants) in [
        ("", &["empty", "message"][..]),
        ("hi", &["JSON", "line 1"]),
        ("null", &["JSON"]),
        ("[]", &["object"]),
        ("\"message\"", &["object"]),
        (r#"{"message":"hi""#, &["JSON"]),
        (r#"{"message":"hi"} x"#, &["JSON"]),
        (r#"{"message":"hi",}"#, &["JSON"]),
        (r#"{"message":'hi'}"#, &["JSON"]),
        (r#"{"message":"\ud83d"}"#, &["JSON"]),
        ("{\"message\":\"a\nb\"}", &["JSON"]),
        (r#"{"message":"a","message":"b"}"#, &["twice", "message"]),
        (&nested, &["JSON", "recursion"]),
        (&many, &["64 keys"]),
        ("{}", &["message", "messages"]),
        (r#"{"model":"default"}"#, &["message", "messages"]),
        (r#"{"message":"hi","messages":[]}"#, &["both"]),
        (r#"{"message":null}"#, &["message", "string"]),
        (r#"{"message":""}"#, &["message", "not empty"]),
        (
            r#"{"message":5}"#,
            &["message", "a string, not the number 5"],
        ),
        (r#"{"message":["hi"]}"#, &["message", "an array"]),
        (
            r#"{"mesage":"hi"}"#,
            &["unknown key", "mesage", "did you mean \"message\"?"],
        ),
        (
            r#"{"message":"hi","max_token":1}"#,
            &["did you mean \"max_tokens\"?"],
        ),
        (
            r#"{"message":"hi","zzzzzz":1}"#,
            &["zzzzzz", "known are message, messages"],
        ),
        (
            r#"{"message":"hi","stream":true}"#,
            &["unknown key \"stream\""],
        ),
        (
            r#"{"message":"hi","temperature":"hot"}"#,
            &["temperature", "a number", "a string"],
        ),
        (
            r#"{"message":"hi","temperature":-1}"#,
            &["temperature", "at least 0", "-1"],
        ),
        (
            r#"{"message":"hi","top_p":1.5}"#,
            &["top_p", "0 to 1", "1.5"],
        ),
        (
            r#"{"message":"hi","max_tokens":0}"#,
            &["max_tokens", "at least 1"],
        ),
        (
            r#"{"message":"hi","max_tokens":1.5}"#,
            &["max_tokens", "integer"],
        ),
        (
            r#"{"message":"hi","max_tokens":"9"}"#,
            &["max_tokens", "integer"],
        ),
        (r#"{"message":"hi","seed":1.5}"#, &["seed", "integer"]),
        (r#"{"message":"hi","seed":1e400}"#, &["JSON"]),
        (
            r#"{"message":"hi","stop":5}"#,
            &["stop", "array of strings"],
        ),
        (r#"{"message":"hi","stop":["a",5]}"#, &["stop"]),
        (r#"{"message":"hi","stop":[""]}"#, &["stop", "empty"]),
        (
            r#"{"message":"hi","system":["x"]}"#,
            &["system", "a string"],
        ),
        (r#"{"message":"hi","model":7}"#, &["model", "a string"]),
        (r#"{"message":"hi","tools":{}}"#, &["tools", "array"]),
        (r#"{"message":"hi","tools":["f"]}"#, &["tools[0]", "type"]),
        (
            r#"{"message":"hi","tools":[{"type":"function"}]}"#,
            &["tools[0].function", "name"],
        ),
        (
            r#"{"message":"hi","tool_choice":5}"#,
            &["tool_choice", "a string or an object"],
        ),
        (
            r#"{"message":"hi","response_format":"json"}"#,
            &["response_format", "type"],
        ),
        (
            r#"{"message":"hi","reasoning_effort":3}"#,
            &["reasoning_effort"],
        ),
        (r#"{"message":"hi","user":{}}"#, &["user", "a string"]),
        (
            r#"{"message":"hi","metadata":"x"}"#,
            &["metadata", "an object"],
        ),
        (
            r#"{"message":"hi","extra":[1]}"#,
            &["extra", "an object", "an array"],
        ),
        (r#"{"messages":"hi"}"#, &["messages", "array"]),
        (r#"{"messages":null}"#, &["messages", "at least one"]),
        (r#"{"messages":[]}"#, &["messages", "at least one"]),
        (r#"{"messages":["hi"]}"#, &["messages[0]", "an object"]),
        (r#"{"messages":[{}]}"#, &["messages[0].role", "user"]),
        (
            r#"{"messages":[{"role":"bot","content":"x"}]}"#,
            &["messages[0].role", "assistant"],
        ),
        (
            r#"{"messages":[{"role":5,"content":"x"}]}"#,
            &["messages[0].role", "string"],
        ),
        (
            r#"{"messages":[{"role":"user"}]}"#,
            &["messages[0].content"],
        ),
        (
            r#"{"messages":[{"role":"user","content":null}]}"#,
            &["messages[0].content"],
        ),
        (
            r#"{"messages":[{"role":"user","content":5}]}"#,
            &["messages[0].content", "5"],
        ),
        (
            r#"{"messages":[{"role":"user","content":[]}]}"#,
            &["at least one part"],
        ),
        (
            r#"{"messages":[{"role":"user","content":["x"]}]}"#,
            &["messages[0].content[0]"],
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            &["content[0]", "text"],
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"u"}]}]}"#,
            &["content[0]", "image_url", "url"],
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"},{"role":"user","contents":"b"}]}"#,
            &["messages[1].contents", "content"],
        ),
        (
            r#"{"messages":[{"role":"tool","content":"x"}]}"#,
            &["messages[0].tool_call_id"],
        ),
        (
            r#"{"messages":[{"role":"user","content":"x","tool_call_id":"c"}]}"#,
            &["messages[0].tool_call_id", "absent"],
        ),
        (
            r#"{"messages":[{"role":"user","content":"x","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}]}"#,
            &["messages[0].tool_calls", "assistant"],
        ),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[]}]}"#,
            &["messages[0].tool_calls", "an array of"],
        ),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]}]}"#,
            &["messages[0].tool_calls", "arguments"],
        ),
    ] {
        let mut server = Setup::default().start();
        let message = error(
            &server.response("POST /api/chat", &[], body),
            400,
            "invalid_request",
        );
        for want in wants {
            assert!(
                message.contains(want),
                "{body}: {want:?} is not in {message:?}"
            );
        }
        assert!(server.asked.is_empty(), "{body}");
    }
}

#[test]
fn a_body_cut_short_is_400_and_an_endless_one_is_not_repeated() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"é"}]}],"seed":1}"#;
    for end in 0..body.len() {
        let got = Setup::default()
            .start()
            .send("POST /api/chat", &[], &body.as_bytes()[..end]);
        let Got::Response(response) = got else {
            panic!("a session")
        };
        error(&response, 400, "invalid_request");
    }
    let long = "x".repeat(10_000);
    for body in [
        format!("\"{long}\""),
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"message":"hi","model":"{long}"}}"#),
        format!(r#"{{"message":"hi","{long}":1,"{long}":1}}"#),
    ] {
        let response = Setup::default()
            .start()
            .response("POST /api/chat", &[], &body);
        let message = error(&response, 400, "invalid_request");
        assert!(message.len() < 500, "{} bytes", message.len());
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_400() {
    for body in [
        &b"{\"message\":\"\xff\"}"[..],
        b"\xff\xfe{\0}\0",
        b"{\"message\":\"\xed\xa0\x80\"}",
    ] {
        let got = Setup::default().start().send("POST /api/chat", &[], body);
        let Got::Response(response) = got else {
            panic!("a session")
        };
        let message = error(&response, 400, "invalid_request");
        assert!(message.contains("UTF-8"), "{message}");
    }
}

#[test]
fn a_body_of_another_type_is_415() {
    let body = r#"{"message":"hi"}"#;
    let post = |fields: &[_]| {
        Setup::default()
            .start()
            .response("POST /api/chat", fields, body)
    };
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
    ] {
        let response = post(&[("Content-Type", kind)]);
        let message = error(&response, 415, "unsupported_media_type");
        assert!(
            message.contains(kind) && message.contains("application/json"),
            "{message}"
        );
    }
    error(
        &post(&[("Content-Encoding", "gzip")]),
        415,
        "unsupported_media_type",
    );
    assert_eq!(
        post(&[("Content-Type", "application/json; charset=utf-8")]).status,
        200
    );
}
