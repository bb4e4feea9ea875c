use lmserver_runtime::event::ErrorCode;
use lmserver_runtime::plugin::provider::ChatRequest;

use super::*;
use questions::{asking, calls, hi, parts, result, text};

#[path = "../../../../tests/common/questions.rs"]
mod questions;

fn translated(request: &ChatRequest, model: &str) -> Result<Value, ProviderError> {
    body(&Question::new(request, "bedrock"), model)
}

fn said(text: &str) -> Value {
    json!([{"text": text}])
}

#[test]
fn the_plainest_request_has_nothing_but_its_messages() {
    let want = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
    assert_eq!(translated(&hi(), "m"), Ok(want));
}

#[test]
fn conversations_are_translated() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}});
    let used = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {"x": 1}}});
    let got =
        |id: &str, content: Value| json!({"toolResult": {"toolUseId": id, "content": content}});
    for (name, messages, system, want) in [
        (
            "turns alternate",
            vec![text("user", "a"), text("assistant", "b"), text("user", "c")],
            json!(null),
            json!([
                {"role": "user", "content": said("a")},
                {"role": "assistant", "content": said("b")},
                {"role": "user", "content": said("c")},
            ]),
        ),
        (
            "system prompts wherever they stand",
            vec![
                text("system", "s"),
                text("user", "a"),
                text("developer", "d"),
            ],
            json!([{"text": "s"}, {"text": "d"}]),
            json!([{"role": "user", "content": said("a")}]),
        ),
        (
            "neighbours of one role",
            vec![text("user", "a"), text("user", "b")],
            json!(null),
            json!([{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]),
        ),
        (
            "what is blank is left out, and its neighbours meet",
            vec![text("user", "a"), text("assistant", " "), text("user", "b")],
            json!(null),
            json!([{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]),
        ),
        (
            "calls, and their results in one message with what follows",
            vec![
                text("user", "a"),
                calls(json!([call("c1"), call("c2")])),
                result("c1", "one"),
                result("c2", ""),
                text("user", "b"),
            ],
            json!(null),
            json!([
                {"role": "user", "content": said("a")},
                {"role": "assistant", "content": [used("c1"), used("c2")]},
                {"role": "user", "content": [
                    got("c1", said("one")), got("c2", json!([])), {"text": "b"},
                ]},
            ]),
        ),
        (
            "images, files and audio",
            vec![parts(
                "user",
                json!([
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA=="}},
                    {"type": "image_url", "image_url": {"url": "s3://bucket/i.PNG"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==",
                                              "filename": "n_1.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                ]),
            )],
            json!(null),
            json!([{"role": "user", "content": [
                {"text": "look"},
                {"image": {"format": "jpeg", "source": {"bytes": "AA=="}}},
                {"image": {"format": "png",
                           "source": {"s3Location": {"uri": "s3://bucket/i.PNG"}}}},
                {"document": {"format": "pdf", "name": "n 1 pdf", "source": {"bytes": "AA=="}}},
                {"audio": {"format": "wav", "source": {"bytes": "AA"}}},
            ]}]),
        ),
    ] {
        let body = translated(&asking(messages), "m").unwrap();
        assert_eq!(body["messages"], want, "{name}");
        assert_eq!(body["system"], system, "{name}");
    }
    let request = ChatRequest {
        system: Some("s".into()),
        ..hi()
    };
    assert_eq!(translated(&request, "m").unwrap()["system"], said("s"));
}

#[test]
fn options_are_translated() {
    type Wants = Vec<(&'static str, Value)>;
    let function = |more: Value| json!({"type": "function", "function": more});
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let one_tool = || Some(json!([function(json!({"name": "f"}))]));
    let mut cases: Vec<(&str, ChatRequest, Wants)> = Vec::new();
    let mut add = |name, request, wants| cases.push((name, request, wants));
    add(
        "inference",
        ChatRequest {
            temperature: Some(0.5),
            top_p: Some(0.25),
            max_tokens: Some(7),
            stop: vec!["END".into()],
            ..hi()
        },
        vec![(
            "/inferenceConfig",
            json!({"temperature": 0.5, "topP": 0.25, "maxTokens": 7, "stopSequences": ["END"]}),
        )],
    );
    add(
        "tools",
        ChatRequest {
            tools: Some(json!([
                function(
                    json!({"name": "f", "description": "d", "parameters": schema,
                                "strict": true})
                ),
                function(json!({"name": "g", "description": ""})),
            ])),
            ..hi()
        },
        vec![(
            "/toolConfig",
            json!({"tools": [
                {"toolSpec": {"name": "f", "description": "d", "strict": true,
                              "inputSchema": {"json": schema}}},
                {"toolSpec": {"name": "g",
                              "inputSchema": {"json": {"type": "object", "properties": {}}}}},
            ]}),
        )],
    );
    for (choice, want) in [
        (json!("auto"), json!({"auto": {}})),
        (json!("required"), json!({"any": {}})),
        (
            function(json!({"name": "f"})),
            json!({"tool": {"name": "f"}}),
        ),
    ] {
        let request = ChatRequest {
            tools: one_tool(),
            tool_choice: Some(choice),
            ..hi()
        };
        add(
            "tool choice",
            request,
            vec![("/toolConfig/toolChoice", want)],
        );
    }
    add(
        "no tool is to be called, so there is none",
        ChatRequest {
            tools: one_tool(),
            tool_choice: Some(json!("none")),
            ..hi()
        },
        vec![("/toolConfig", json!(null))],
    );
    add(
        "a schema",
        ChatRequest {
            response_format: Some(json!({"type": "json_schema", "json_schema":
                {"name": "n", "schema": {"type": "object"}}})),
            reasoning_effort: Some("low".into()),
            ..hi()
        },
        vec![(
            "/outputConfig",
            json!({
                "textFormat": {"type": "json_schema", "structure": {"jsonSchema":
                    {"name": "n", "schema": "{\"type\":\"object\"}"}}},
                "effort": "low",
            }),
        )],
    );
    add(
        "hints that the API knows, and those it does not",
        ChatRequest {
            user: Some("u".into()),
            seed: Some(7.into()),
            metadata: Some(json!({"team": "a-b", "count": 7, "bad": "{}", "": "x"})),
            ..hi()
        },
        vec![
            ("/requestMetadata", json!({"team": "a-b"})),
            ("/seed", json!(null)),
            ("/user", json!(null)),
        ],
    );
    add(
        "extra comes last",
        ChatRequest {
            max_tokens: Some(7),
            extra: json!({
                "guardrailConfig": {"guardrailIdentifier": "g"},
                "inferenceConfig": {"maxTokens": 9},
                "additionalModelRequestFields": {"top_k": 5},
                "modelId": "another",
            })
            .as_object()
            .unwrap()
            .clone(),
            ..hi()
        },
        vec![
            ("/guardrailConfig/guardrailIdentifier", json!("g")),
            ("/inferenceConfig", json!({"maxTokens": 9})),
            ("/additionalModelRequestFields", json!({"top_k": 5})),
            ("/modelId", Value::Null),
        ],
    );
    for (name, request, wants) in cases {
        let body = translated(&request, "m").unwrap();
        for (pointer, want) in wants {
            let got = body.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(*got, want, "{name}: {pointer}");
        }
    }
}

#[test]
fn further_options_are_expressed_or_refused() {
    const CLAUDE: &str = "anthropic.claude-sonnet-4-6-v1";
    let asked = |options: Value, has_tools: bool, model| {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let request = ChatRequest {
            options: options.as_object().unwrap().clone(),
            tools: has_tools.then_some(tools),
            ..hi()
        };
        translated(&request, model)
    };
    for (options, pointer, want) in [
        (
            json!({"top_k": 5}),
            "/additionalModelRequestFields",
            json!({"top_k": 5}),
        ),
        (
            json!({"service_tier": "flex"}),
            "/serviceTier",
            json!({"type": "flex"}),
        ),
        (json!({"service_tier": "auto"}), "/serviceTier", json!(null)),
        (
            json!({"parallel_tool_calls": true}),
            "/parallel_tool_calls",
            json!(null),
        ),
        (json!({"verbosity": "low"}), "/verbosity", json!(null)),
    ] {
        let body = asked(options, true, CLAUDE).unwrap();
        assert_eq!(
            *body.pointer(pointer).unwrap_or(&Value::Null),
            want,
            "{pointer}"
        );
    }
    let forbidden = json!({"parallel_tool_calls": false});
    assert!(asked(forbidden.clone(), false, "m").is_ok());
    for (options, model, name) in [
        (forbidden, CLAUDE, "parallel_tool_calls"),
        (json!({"top_k": 5}), "amazon.nova-pro-v1:0", "top_k"),
        (json!({"logit_bias": {"1": 9}}), CLAUDE, "logit_bias"),
    ] {
        let error = asked(options, true, model).unwrap_err();
        let want = format!("bedrock cannot express `{name}`: leave it out or use `extra`");
        assert_eq!(*error.message, *want);
    }
}

#[test]
fn effort_becomes_what_the_model_takes() {
    const OLD: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
    const NEW: &str = "deepseek.v3-v1:0";
    for (model, effort, limit, budget, word, max_tokens) in [
        (OLD, "none", None, json!(null), json!(null), json!(null)),
        (OLD, "minimal", None, json!(1024), json!(null), json!(9216)),
        (OLD, "high", None, json!(16_384), json!(null), json!(24_576)),
        (
            OLD,
            "high",
            Some(10_000),
            json!(5000),
            json!(null),
            json!(10_000),
        ),
        (
            OLD,
            "high",
            Some(1025),
            json!(1024),
            json!(null),
            json!(1025),
        ),
        (NEW, "none", None, json!(null), json!(null), json!(null)),
        (NEW, "minimal", None, json!(null), json!("low"), json!(null)),
        (
            NEW,
            "medium",
            Some(50),
            json!(null),
            json!("medium"),
            json!(50),
        ),
        (NEW, "max", None, json!(null), json!("max"), json!(null)),
    ] {
        let request = ChatRequest {
            reasoning_effort: Some(effort.into()),
            max_tokens: limit,
            ..hi()
        };
        let body = translated(&request, model).unwrap();
        let name = format!("{model} {effort} {limit:?}");
        let thinking = &body["additionalModelRequestFields"]["thinking"];
        assert_eq!(thinking["budget_tokens"], budget, "{name}");
        assert_eq!(body["outputConfig"]["effort"], word, "{name}");
        assert_eq!(body["inferenceConfig"]["maxTokens"], max_tokens, "{name}");
    }
}

#[test]
fn a_family_is_told_to_think_in_its_own_words() {
    let adaptive = json!({"thinking": {"type": "adaptive"}});
    let nova = |level| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}});
    let oss = |level| json!({"reasoning_effort": level});
    for (model, effort, level, fields) in [
        (
            "us.anthropic.claude-opus-4-6-v1",
            "max",
            json!("max"),
            adaptive,
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            "minimal",
            json!(null),
            nova("low"),
        ),
        (
            "amazon.nova-2-lite-v1:0",
            "medium",
            json!(null),
            nova("medium"),
        ),
        ("amazon.nova-2-pro-v1:0", "xhigh", json!(null), nova("high")),
        ("openai.gpt-oss-120b-1:0", "max", json!(null), oss("high")),
        ("amazon.nova-pro-v1:0", "low", json!("low"), json!(null)),
        (
            "us.anthropic.claude-opus-4-6-v1",
            "none",
            json!(null),
            json!(null),
        ),
    ] {
        let request = ChatRequest {
            reasoning_effort: Some(effort.into()),
            ..hi()
        };
        let body = translated(&request, model).unwrap();
        assert_eq!(body["outputConfig"]["effort"], level, "{model} {effort}");
        assert_eq!(
            body["additionalModelRequestFields"], fields,
            "{model} {effort}"
        );
    }
}

#[test]
fn what_a_family_does_not_take_beside_its_effort_is_refused() {
    const NOVA: &str = "amazon.nova-2-lite-v1:0";
    const CLAUDE: &str = "us.anthropic.claude-opus-4-6-v1";
    let effort = |effort: &str| ChatRequest {
        reasoning_effort: Some(effort.into()),
        max_tokens: Some(50),
        ..hi()
    };
    let cool = ChatRequest {
        temperature: Some(0.5),
        ..effort("low")
    };
    for (model, request, is_refused) in [
        (NOVA, effort("max"), true),
        (NOVA, effort("medium"), false),
        (NOVA, cool.clone(), false),
        (CLAUDE, effort("max"), false),
        (CLAUDE, cool, true),
    ] {
        let refused = translated(&request, model).is_err();
        assert_eq!(refused, is_refused, "{model} {request:?}");
    }
}

#[test]
fn a_model_with_a_budget_does_not_think_amid_calls() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}});
    for (rest, thinks) in [(vec![], false), (vec![text("assistant", "b")], true)] {
        let mut messages = vec![text("user", "a"), calls(json!([call])), result("c", "x")];
        messages.extend(rest);
        messages.push(text("user", "c"));
        let request = ChatRequest {
            reasoning_effort: Some("low".into()),
            ..asking(messages)
        };
        let body = translated(&request, "anthropic.claude-opus-4-1-20250805-v1:0").unwrap();
        assert_eq!(body.get("additionalModelRequestFields").is_some(), thinks);
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_its_name() {
    let with = |part: Value| asking(vec![parts("user", json!([part]))]);
    let image = |url: &str| with(json!({"type": "image_url", "image_url": {"url": url}}));
    let effort = |effort: &str| ChatRequest {
        reasoning_effort: Some(effort.into()),
        ..hi()
    };
    for (request, want) in [
        (
            image("https://h/i.png"),
            "bedrock cannot express an image by this address in `messages[0]`: leave it out or \
             use `extra`",
        ),
        (
            image("data:image/bmp;base64,AA"),
            "bedrock cannot express an image other than PNG, JPEG, GIF or WebP in base64 or at \
             s3://… in `messages[0]`: leave it out or use `extra`",
        ),
        (
            with(json!({"type": "file", "file": {"file_id": "f"}})),
            "bedrock cannot express a file other than PDF, text, table or Office document in \
             base64 or at s3://… in `messages[0]`: leave it out or use `extra`",
        ),
        (
            with(json!({"type": "video"})),
            "bedrock cannot express a part of type `video` in `messages[0]`: leave it out or use \
             `extra`",
        ),
        (
            asking(vec![parts(
                "system",
                json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]),
            )]),
            "bedrock cannot express a system prompt of other than text in `messages[0]`: leave it \
             out or use `extra`",
        ),
        (
            asking(vec![text("tool", "x")]),
            "`messages[0].tool_call_id` must be the id of a tool call",
        ),
        (
            asking(vec![text("system", "s"), text("user", "")]),
            "`messages` must be a conversation with a message that is not empty",
        ),
        (
            ChatRequest {
                tool_choice: Some(json!("none")),
                ..asking(vec![text("user", "a"), result("c", "x")])
            },
            "bedrock cannot express `tool_choice` \"none\" in a conversation with tool calls: \
             leave it out or use `extra`",
        ),
        (
            ChatRequest {
                temperature: Some(1.5),
                ..hi()
            },
            "`temperature` must be between 0 and 1 for bedrock",
        ),
        (
            effort("extreme"),
            "`reasoning_effort` must be none, minimal, low, medium, high, xhigh or max",
        ),
        (
            ChatRequest {
                response_format: Some(json!({"type": "json_object"})),
                ..hi()
            },
            "bedrock cannot express `response_format` of type `json_object` (it takes one of \
             type `json_schema`): leave it out or use `extra`",
        ),
    ] {
        let error = translated(&request, "m").unwrap_err();
        assert_eq!(&*error.message, want);
        assert_eq!(error.code, ErrorCode::ProviderBadRequest);
        assert!(!error.retryable);
    }
    let old = "anthropic.claude-sonnet-4-20250514-v1:0";
    let request = ChatRequest {
        max_tokens: Some(1024),
        ..effort("low")
    };
    let error = translated(&request, old).unwrap_err();
    let want = "`max_tokens` must be more than 1024 where `reasoning_effort` is set";
    assert_eq!(&*error.message, want);
}
