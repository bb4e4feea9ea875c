//! `/v1/…`: OpenAI's API, its bodies, its errors, its models.

use lmserver_llm_api::names;
use lmserver_runtime::channel::{Snapshot, Status, ToolCallSoFar};
use lmserver_runtime::event::{After, ErrorCode, Failure, FinishReason};
use lmserver_runtime::plugin::provider::Content;
use lmserver_runtime::plugin::service::Submission;
use lmserver_runtime::plugin::stage::Wish;
use serde_json::{Value, json};

use crate::harness::{Asked, Script, Server, Setup, error, field, json};

const CHAT: &str = "POST /v1/chat/completions";
const RESPONSES: &str = "POST /v1/responses";
const HELLO: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
const FIRST: &str = "chat:00000000-0000-4000-8000-000000000000";
const RESPONSE: &str = "/v1/responses/resp_00000000000040008000000000000000";

/// What the engine was handed, oldest first.
fn submissions(server: &mut Server) -> Vec<Submission> {
    let asked = server.asked.drain(..);
    asked
        .filter_map(|asked| match asked {
            Asked::Submit(submission) => Some(*submission),
            _ => None,
        })
        .collect()
}

fn submission(line: &str, body: &str) -> Submission {
    let mut server = Setup::default().start();
    server.told(line, &[], body);
    submissions(&mut server).pop().expect("a submission")
}

/// The `param` of the refusal of a body.
fn refused(line: &str, body: &str) -> (String, Value) {
    let mut server = Setup::default().start();
    let response = server.response(line, &[], body);
    let message = error(&response, 400, "invalid_request");
    let body = json(&response);
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert!(server.asked.is_empty());
    (message, body["error"]["param"].clone())
}

#[test]
fn every_parameter_of_chat_completions_arrives() {
    let body = r#"{"model":"default","messages":[
        {"role":"developer","content":"be brief"},
        {"role":"user","content":[{"type":"text","text":"what?"},
            {"type":"image_url","image_url":{"url":"data:x","detail":"low"}},
            {"type":"input_audio","input_audio":{"data":"x","format":"wav"}},
            {"type":"file","file":{"file_data":"x"}}],"name":"ann"},
        {"role":"assistant","content":null,"refusal":null,"audio":null,"annotations":[],
            "function_call":null,"reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"42"}]},
        {"role":"assistant","refusal":"no","reasoning":"so"}],
        "temperature":0.5,"top_p":0.9,"max_tokens":5,"max_completion_tokens":6,"stop":"END","seed":-7,
        "tools":[{"type":"function","function":{"name":"f","strict":true}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{}}},
        "reasoning_effort":"low","user":"u","metadata":{"k":"v"},"parallel_tool_calls":false,
        "frequency_penalty":0.5,"presence_penalty":0,"logit_bias":{"50256":-100},"logprobs":false,
        "service_tier":"flex","store":true,"prediction":{"type":"content","content":"x"},
        "modalities":["text"],"verbosity":"low","web_search_options":{},"prompt_cache_key":"k",
        "stream":false,"stream_options":null,"n":1,"top_k":40,"chat_template_kwargs":{"a":1},"functions":null}"#;
    let request = submission(CHAT, body).request;
    let roles: Vec<_> = request.messages.iter().map(|it| &*it.role).collect();
    assert_eq!(
        roles,
        ["developer", "user", "assistant", "tool", "assistant"]
    );
    assert!(matches!(&request.messages[1].content, Content::Parts(parts) if parts.len() == 4));
    assert_eq!(request.messages[1].name.as_deref(), Some("ann"));
    assert_eq!(request.messages[2].content, Content::Absent);
    let calls = request.messages[2].tool_calls.as_ref();
    assert_eq!(calls.unwrap()[0]["id"], "c1");
    assert_eq!(request.messages[3].tool_call_id.as_deref(), Some("c1"));
    assert_eq!(request.messages[4].content, Content::Text("no".into()));
    let thoughts: Vec<_> = request
        .messages
        .iter()
        .map(|it| it.reasoning.as_deref())
        .collect();
    assert_eq!(thoughts, [None, None, Some("hm"), None, Some("so")]);
    assert_eq!(request.system, None);
    assert_eq!((request.temperature, request.top_p), (Some(0.5), Some(0.9)));
    assert_eq!(request.max_tokens, Some(6), "the newer name wins");
    assert_eq!(request.stop, ["END"]);
    assert_eq!(request.seed.unwrap().as_i64(), Some(-7));
    assert_eq!(request.tools.unwrap()[0]["function"]["strict"], true);
    assert_eq!(request.tool_choice.unwrap()["function"]["name"], "f");
    assert_eq!(request.response_format.unwrap()["type"], "json_schema");
    assert_eq!(request.reasoning_effort.as_deref(), Some("low"));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.metadata, Some(json!({"k": "v"})));
    // What says nothing is left out; what is not known is handed on.
    let options = json!({
        "parallel_tool_calls": false, "frequency_penalty": 0.5, "logit_bias": {"50256": -100},
        "service_tier": "flex", "store": true, "prediction": {"type": "content", "content": "x"},
        "verbosity": "low", "web_search_options": {}, "prompt_cache_key": "k",
    });
    assert_eq!(Value::Object(request.options), options);
    let extra = json!({"top_k": 40, "chat_template_kwargs": {"a": 1}});
    assert_eq!(Value::Object(request.extra), extra);
}

#[test]
fn functions_of_old_are_tools() {
    let body = r#"{"messages":[{"role":"user","content":"hi"},
        {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
        {"role":"function","name":"f","content":"42"}],
        "functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"}}"#;
    let request = submission(CHAT, body).request;
    let call = request.messages[1].tool_calls.as_ref().unwrap()[0].clone();
    let want =
        json!({"id": "call_f", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    assert_eq!(call, want);
    let answer = &request.messages[2];
    assert_eq!(
        (&*answer.role, answer.tool_call_id.as_deref()),
        ("tool", Some("call_f"))
    );
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    assert_eq!(request.tools, Some(tool));
    let choice = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(request.tool_choice, Some(choice));
}

#[test]
fn what_is_wrong_in_a_chat_completion_is_named() {
    for (body, param) in [
        ("", Value::Null),
        ("[]", Value::Null),
        ("{", Value::Null),
        ("{}", json!("messages")),
        (r#"{"messages":[]}"#, json!("messages")),
        (r#"{"messages":"hi"}"#, json!("messages")),
        (r#"{"messages":[1]}"#, json!("messages[0]")),
        (
            r#"{"messages":[{"role":"bot","content":"x"}]}"#,
            json!("messages[0].role"),
        ),
        (
            r#"{"messages":[{"role":"user"}]}"#,
            json!("messages[0].content"),
        ),
        (
            r#"{"messages":[{"role":"user","content":1}]}"#,
            json!("messages[0].content"),
        ),
        (
            r#"{"messages":[{"role":"user","content":[]}]}"#,
            json!("messages[0].content"),
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            json!("messages[0].content[0]"),
        ),
        (
            r#"{"messages":[{"role":"tool","content":"x"}]}"#,
            json!("messages[0].tool_call_id"),
        ),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[{}]}]}"#,
            json!("messages[0].tool_calls"),
        ),
    ] {
        let (message, named) = refused(CHAT, body);
        assert_eq!(named, param, "{body}: {message}");
    }
    for (member, param) in [
        (r#""model":1"#, "model"),
        (r#""stream":"yes""#, "stream"),
        (r#""stream_options":1"#, "stream_options"),
        (
            r#""stream_options":{"include_usage":1}"#,
            "stream_options.include_usage",
        ),
        (r#""n":0"#, "n"),
        (r#""n":9"#, "n"),
        (r#""temperature":"hot""#, "temperature"),
        (r#""temperature":-1"#, "temperature"),
        (r#""top_p":1.1"#, "top_p"),
        (r#""max_tokens":0"#, "max_tokens"),
        (r#""max_completion_tokens":1.5"#, "max_completion_tokens"),
        (r#""stop":[1]"#, "stop"),
        (r#""seed":0.5"#, "seed"),
        (r#""tools":{}"#, "tools"),
        (r#""tools":[{}]"#, "tools[0]"),
        (
            r#""tools":[{"type":"function","function":{}}]"#,
            "tools[0].function.name",
        ),
        (r#""functions":[{}]"#, "functions[0].name"),
        (r#""tool_choice":"must""#, "tool_choice"),
        (r#""function_call":{}"#, "function_call"),
        (r#""response_format":"json""#, "response_format"),
        (r#""user":1"#, "user"),
        (r#""metadata":[]"#, "metadata"),
        (r#""logit_bias":[]"#, "logit_bias"),
        (r#""logprobs":1"#, "logprobs"),
        (r#""top_logprobs":"1""#, "top_logprobs"),
        (r#""frequency_penalty":"1""#, "frequency_penalty"),
        (r#""parallel_tool_calls":1"#, "parallel_tool_calls"),
        (r#""service_tier":1"#, "service_tier"),
        (r#""store":1"#, "store"),
        (r#""modalities":["text","audio"]"#, "modalities"),
    ] {
        let body = format!("{}{member}}}", HELLO.replace("]}", "],"));
        let (message, named) = refused(CHAT, &body);
        assert_eq!(named, param, "{member}: {message}");
        assert!(
            message.contains(param.split('.').next().unwrap()),
            "{message}"
        );
    }
}

#[test]
fn each_of_several_choices_has_a_channel_of_its_own() {
    let mut server = Setup::default().start();
    let body = HELLO.replace("]}", r#"],"n":3,"stream":true}"#);
    let wishes = server.told(CHAT, &[("Idempotency-Key", "k")], &body);
    let submissions = submissions(&mut server);
    let names: Vec<_> = submissions
        .iter()
        .map(|it| it.channel.to_string())
        .collect();
    let want = [FIRST.to_owned(), format!("{FIRST}.1"), format!("{FIRST}.2")];
    assert_eq!(names, want);
    assert_eq!(names.iter().map(|it| names::index(it)).max(), Some(2));
    let keys: Vec<_> = submissions
        .iter()
        .map(|it| it.idempotency.unwrap().key)
        .collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
    assert!(
        submissions
            .iter()
            .all(|it| it.abandon_after == Some(std::time::Duration::ZERO))
    );
    let wanted = |channel: &String| Wish::Subscribe {
        channel: channel.as_str().into(),
        after: After::Beginning,
        encoding: "chat/chunked",
        create: None,
        gated: true,
    };
    assert_eq!(wishes, want.iter().map(wanted).collect::<Vec<_>>());
}

#[test]
fn a_whole_answer_waits_in_silence() {
    let mut server = Setup::default().start();
    let wishes = server.told(CHAT, &[], HELLO);
    assert!(
        matches!(
            &wishes[..],
            [Wish::Subscribe {
                encoding: "llm/silent",
                gated: false,
                ..
            }]
        ),
        "{wishes:?}"
    );
}

#[test]
fn refusals_have_the_shape_of_openai() {
    let setup = || Setup {
        keys: &["secret"],
        ..Setup::default()
    };
    for line in [CHAT, RESPONSES, "GET /v1/models", "GET /v1/models/default"] {
        let response = setup().start().response(line, &[], HELLO);
        error(&response, 401, "unauthorized");
        assert_eq!(json(&response)["error"]["type"], "invalid_request_error");
    }
    let key = [("Authorization", "Bearer secret")];
    setup().start().told(CHAT, &key, HELLO);
    let body = HELLO.replace("{\"messages", "{\"model\":\"none\",\"messages");
    let response = Setup::default().start().response(CHAT, &[], &body);
    error(&response, 404, "model_not_found");
    assert_eq!(json(&response)["error"]["param"], "model");
    for (script, status, code) in [
        (Script::Conflict, 422, "idempotency_conflict"),
        (Script::Overloaded, 503, "overloaded"),
        (Script::Draining, 503, "draining"),
    ] {
        let mut server = Setup::default().start();
        server.script = script;
        let response = server.response(CHAT, &[], HELLO);
        error(&response, status, code);
        let kind = if status < 500 {
            "invalid_request_error"
        } else {
            "server_error"
        };
        assert_eq!(json(&response)["error"]["type"], kind);
    }
    for (fields, status) in [
        (&[("Content-Type", "text/plain")][..], 415),
        (&[("Idempotency-Key", "")], 400),
    ] {
        let response = Setup::default().start().response(CHAT, fields, HELLO);
        assert_eq!(response.status, status);
        assert!(json(&response)["error"]["type"].is_string());
    }
}

#[test]
fn models_are_the_names_and_the_targets_behind_them() {
    let mut server = Setup::default().start();
    let list = json(&server.response("GET /v1/models", &[], ""));
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"default"), "{ids:?}");
    assert!(ids.iter().any(|id| id.contains('/')), "{ids:?}");
    for id in ids {
        for id in [id.to_owned(), id.replace('/', "%2F")] {
            let model = json(&server.response(&format!("GET /v1/models/{id}"), &[], ""));
            assert_eq!(model["object"], "model");
        }
    }
    let response = server.response("GET /v1/models/none", &[], "");
    error(&response, 404, "model_not_found");
}

#[test]
fn every_parameter_of_responses_arrives() {
    let body = r#"{"model":"default","instructions":"be brief","input":[
        {"role":"user","content":[{"type":"input_text","text":"what?"},
            {"type":"input_image","image_url":"data:x","detail":"low"},
            {"type":"input_file","file_data":"x","filename":"f"}]},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"let me see","annotations":[]}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"x"},
        {"type":"function_call","call_id":"c1","name":"f","arguments":"{}","id":"fc_1","status":"completed"},
        {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"42"},
        {"role":"developer","content":"go on"}],
        "max_output_tokens":20,"temperature":1,"top_p":0.5,"store":false,"background":false,
        "tools":[{"type":"function","name":"f","parameters":{},"strict":true},{"type":"web_search"}],
        "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
        "text":{"format":{"type":"json_schema","name":"s","schema":{}},"verbosity":"low"},
        "reasoning":{"effort":"high","summary":"auto"},"metadata":{"k":"v"},"user":"u",
        "include":["reasoning.encrypted_content"],"truncation":"auto","top_k":4}"#;
    let submission = submission(RESPONSES, body);
    let request = submission.request;
    assert_eq!(request.system.as_deref(), Some("be brief"));
    let roles: Vec<_> = request.messages.iter().map(|it| &*it.role).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "developer"]);
    let Content::Parts(parts) = &request.messages[0].content else {
        panic!("parts")
    };
    let want = json!([
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
        {"type": "file", "file": {"file_data": "x", "filename": "f"}},
    ]);
    assert_eq!(Value::Array(parts.clone()), want);
    assert_eq!(
        request.messages[1].content,
        Content::Text("let me see".into())
    );
    assert_eq!(request.messages[1].reasoning.as_deref(), Some("hm"));
    let calls = request.messages[1].tool_calls.as_ref().unwrap();
    assert_eq!(
        (&calls[0]["id"], &calls[1]["function"]["name"]),
        (&json!("c1"), &json!("g"))
    );
    assert_eq!(request.messages[2].tool_call_id.as_deref(), Some("c1"));
    assert_eq!(request.max_tokens, Some(20));
    let tools = json!([
        {"type": "function", "function": {"name": "f", "parameters": {}, "strict": true}},
        {"type": "web_search"},
    ]);
    assert_eq!(request.tools, Some(tools));
    let choice = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(request.tool_choice, Some(choice));
    let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {}}});
    assert_eq!(request.response_format, Some(format));
    assert_eq!(request.reasoning_effort.as_deref(), Some("high"));
    assert_eq!(request.metadata, Some(json!({"k": "v"})));
    let options = json!({"parallel_tool_calls": false, "verbosity": "low"});
    assert_eq!(Value::Object(request.options), options);
    let extra = json!({"top_k": 4});
    assert_eq!(Value::Object(request.extra), extra);
    let note = String::from_utf8(submission.note.into()).unwrap();
    assert!(
        note.contains(r#""metadata":{"k":"v"}"#) && !note.contains('\n'),
        "{note}"
    );
}

#[test]
fn an_empty_array_is_not_called_something_else() {
    for (line, body, want) in [
        (
            RESPONSES,
            r#"{"input":[]}"#,
            "\"input\" must be an array with a message",
        ),
        (
            CHAT,
            r#"{"messages":[{"role":"user","content":[]}]}"#,
            "\"messages[0].content\" must be a string or an array of at least one content part",
        ),
    ] {
        assert_eq!(refused(line, body).0, want);
    }
}

#[test]
fn what_is_wrong_in_a_question_for_a_response_is_named() {
    for (body, param) in [
        ("{}", "input"),
        (r#"{"input":1}"#, "input"),
        (r#"{"input":[]}"#, "input"),
        (r#"{"input":[1]}"#, "input[0]"),
        (
            r#"{"input":[{"role":"bot","content":"x"}]}"#,
            "input[0].role",
        ),
        (r#"{"input":[{"role":"user"}]}"#, "input[0].content"),
        (
            r#"{"input":[{"role":"user","content":[{"type":"x"}]}]}"#,
            "input[0].content[0].type",
        ),
        (
            r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#,
            "input[0].id",
        ),
        (
            r#"{"input":[{"type":"function_call","name":"f"}]}"#,
            "input[0].call_id",
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_image","file_id":"x"}]}]}"#,
            "input[0].content[0].image_url",
        ),
        (r#"{"input":"x","conversation":"conv_1"}"#, "conversation"),
        (r#"{"input":"x","prompt":{"id":"p"}}"#, "prompt"),
        (
            r#"{"input":"x","previous_response_id":"resp_1"}"#,
            "previous_response_id",
        ),
        (r#"{"input":"x","tools":[{"type":"function"}]}"#, "tools[0]"),
        (r#"{"input":"x","text":{"format":{}}}"#, "text.format"),
        (
            r#"{"input":"x","text":{"format":{"type":"json_schema"}}}"#,
            "text.format",
        ),
        (r#"{"input":"x","reasoning":"high"}"#, "reasoning"),
        (r#"{"input":"x","background":1}"#, "background"),
        (
            r#"{"input":"x","max_output_tokens":0}"#,
            "max_output_tokens",
        ),
    ] {
        let (message, named) = refused(RESPONSES, body);
        assert_eq!(named, param, "{body}: {message}");
    }
}

#[test]
fn a_response_is_read_cancelled_and_deleted_by_its_id() {
    let mut server = Setup::default().start();
    let answer = Snapshot {
        status: Status::Failed,
        text: "so far".into(),
        created: 7,
        error: Some(Failure::new(ErrorCode::ProviderContextLength, "too long")),
        ..Snapshot::default()
    };
    server.script = Script::Snapshot(Box::new(answer), "k3f9ab-3");
    let body = json(&server.response(&format!("GET {RESPONSE}"), &[], ""));
    assert_eq!(body["id"], RESPONSE.rsplit_once('/').unwrap().1);
    assert_eq!(
        (&body["status"], &body["created_at"]),
        (&json!("failed"), &json!(7))
    );
    assert_eq!(body["error"]["code"], "context_length_exceeded");
    assert_eq!(body["output"][0]["content"][0]["text"], "so far");
    assert!(matches!(server.asked.pop(), Some(Asked::Snapshot(name)) if *name == *FIRST));
    let stream = format!("GET {RESPONSE}?stream=true&starting_after=4");
    let wishes = server.told(&stream, &[], "");
    assert!(matches!(
        &wishes[..],
        [Wish::Subscribe {
            encoding: "responses/chunked",
            ..
        }]
    ));
    let line = format!("GET {RESPONSE}?stream=true&starting_after=x");
    error(&server.response(&line, &[], ""), 400, "invalid_request");
    server.script = Script::Cancelled(true);
    let body = json(&server.response(&format!("DELETE {RESPONSE}"), &[], ""));
    assert_eq!(body["deleted"], true);
    assert!(matches!(server.asked.pop(), Some(Asked::Forget(name)) if *name == *FIRST));
    for script in [Script::Unknown, Script::Expired] {
        server.script = script;
        for line in ["GET", "DELETE"] {
            let response = server.response(&format!("{line} {RESPONSE}"), &[], "");
            error(&response, 404, "not_found");
        }
        let response = server.response(&format!("POST {RESPONSE}/cancel"), &[], "");
        error(&response, 404, "not_found");
    }
    error(
        &server.response("GET /v1/responses/resp_1", &[], ""),
        404,
        "not_found",
    );
}

#[test]
fn the_paths_of_openai_take_their_methods() {
    for (target, allow) in [
        ("/v1/chat/completions", "POST, OPTIONS"),
        ("/v1/responses", "POST, OPTIONS"),
        (RESPONSE, "GET, HEAD, DELETE, OPTIONS"),
        ("/v1/responses/resp_1/cancel", "POST, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/models/a/b", "GET, HEAD, OPTIONS"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let mut server = Setup::default().start();
            let response = server.response(&format!("{method} {target}"), &[], "{}");
            error(&response, 405, "method_not_allowed");
            assert_eq!(field(&response, "Allow"), Some(allow));
            assert!(
                field(&response, "x-request-id")
                    .unwrap()
                    .starts_with("req_")
            );
        }
        let options = Setup::default()
            .start()
            .response(&format!("OPTIONS {target}"), &[], "");
        assert_eq!(
            (options.status, field(&options, "Allow")),
            (204, Some(allow))
        );
    }
    for target in [
        "/v1/responses/",
        "/v1/responses/a/b",
        "/v1/responses/compact",
        "/v1/responses/input_tokens",
        "/v1/embeddings",
    ] {
        let response = Setup::default()
            .start()
            .response(&format!("POST {target}"), &[], "{}");
        error(&response, 404, "not_found");
    }
}

#[test]
fn a_response_goes_on_from_what_is_kept() {
    let mut server = Setup::default().start();
    let body = r#"{"input":"and?","previous_response_id":"resp_00000000000040008000000000000000"}"#;
    server.script = Script::Unknown;
    let response = server.response(RESPONSES, &[], body);
    error(&response, 404, "not_found");
    assert_eq!(json(&response)["error"]["param"], "previous_response_id");
    for (status, reason, note) in [
        (Status::Streaming, None, &b"\n[]"[..]),
        (Status::Failed, None, b"\n[]"),
        (Status::Completed, Some(FinishReason::Stop), b""),
    ] {
        let snapshot = Snapshot {
            status,
            finish_reason: reason,
            note: note.into(),
            ..Snapshot::default()
        };
        server.script = Script::Snapshot(Box::new(snapshot), "k3f9ab-3");
        let response = server.response(RESPONSES, &[], body);
        error(&response, 400, "invalid_request");
        assert_eq!(json(&response)["error"]["param"], "previous_response_id");
    }
    assert_eq!(
        field(&server.response("GET /v1/models", &[], ""), "Cache-Control"),
        Some("no-store")
    );
}

#[test]
fn what_a_response_goes_on_from_counts_as_its_request() {
    let id = "00000000000040008000000000000000";
    let snapshot = Snapshot {
        status: Status::Completed,
        finish_reason: Some(FinishReason::Stop),
        text: "a".repeat(3000),
        note: br#"
[{"role":"user","content":"hi"}]"#[..]
            .into(),
        ..Snapshot::default()
    };
    for body in [
        format!(r#"{{"input":"and?","previous_response_id":"resp_{id}"}}"#),
        format!(r#"{{"input":[{{"type":"item_reference","id":"msg_{id}"}}]}}"#),
    ] {
        let mut server = Setup::default().start();
        server.script = Script::Snapshot(Box::new(snapshot.clone()), "k3f9ab-3");
        server.send(RESPONSES, &[], body.as_bytes());
        let Some(Asked::Submit(submission)) = server.asked.pop() else {
            panic!("{body}: nothing was submitted")
        };
        let counted = submission.request_bytes;
        assert!((3000 + body.len()..4000).contains(&counted), "{counted}");
    }
}

#[test]
fn a_response_goes_on_from_what_was_thought_before_calls() {
    let body = r#"{"input":[{"type":"function_call_output","call_id":"c1","output":"42"}],
        "previous_response_id":"resp_00000000000040008000000000000000"}"#;
    let call = ToolCallSoFar {
        id: "c1".into(),
        name: "f".into(),
        arguments: "{}".into(),
    };
    let mut note = br#"
[{"role":"user","content":"hi"}]"#
        .to_vec();
    // The second response goes on from the first by what was kept with it.
    for (tool_calls, want) in [(vec![call], vec!["hm"]), (Vec::new(), vec!["hm"])] {
        let mut server = Setup::default().start();
        let snapshot = Snapshot {
            status: Status::Completed,
            finish_reason: Some(FinishReason::Stop),
            text: "so".into(),
            reasoning: "hm".into(),
            tool_calls,
            note: note.into(),
            ..Snapshot::default()
        };
        server.script = Script::Snapshot(Box::new(snapshot), "k3f9ab-3");
        server.send(RESPONSES, &[], body.as_bytes());
        let Some(Asked::Submit(submission)) = server.asked.pop() else {
            panic!("nothing was submitted")
        };
        let messages = submission.request.messages.iter();
        let thoughts: Vec<_> = messages.filter_map(|it| it.reasoning.as_deref()).collect();
        assert_eq!(thoughts, want);
        note = submission.note.into();
    }
}

#[test]
fn an_item_is_named_once_and_those_of_many_responses_are_sent_whole() {
    let id = |n: u32| format!("000000000000400080000000{n:08x}");
    let named = |ids: Vec<String>| {
        let items: Vec<_> = ids
            .iter()
            .map(|id| json!({"type": "item_reference", "id": id}))
            .collect();
        json!({"input": items}).to_string()
    };
    let first = id(0);
    for (twice, code) in [
        (vec![format!("msg_{first}"), format!("msg_{first}")], 400),
        (vec![format!("msg_{first}"), format!("msg_{first}_0")], 400),
        (vec![format!("fc_{first}_1"), format!("fc_{first}_01")], 400),
        (vec![format!("msg_{first}"), format!("fc_{first}")], 404),
        ((0..129).map(|n| format!("msg_{}", id(n))).collect(), 400),
        ((0..128).map(|n| format!("msg_{}", id(n))).collect(), 404),
    ] {
        let mut server = Setup::default().start();
        server.script = Script::Unknown;
        let response = server.response(RESPONSES, &[], &named(twice.clone()));
        assert_eq!(response.status, code, "{twice:?}");
    }
}

#[test]
fn a_question_of_nothing_but_calls_that_an_answer_does_not_have_is_refused() {
    let id = "fc_00000000000040008000000000000000_1";
    let body = json!({"input": [{"type": "item_reference", "id": id}]}).to_string();
    let snapshot = Snapshot {
        status: Status::Completed,
        finish_reason: Some(FinishReason::Stop),
        text: "so".into(),
        ..Snapshot::default()
    };
    let mut server = Setup::default().start();
    server.script = Script::Snapshot(Box::new(snapshot), "k3f9ab-3");
    let response = server.response(RESPONSES, &[], &body);
    assert_eq!(response.status, 404, "{}", response.body.escape_ascii());
}
