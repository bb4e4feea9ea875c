//! Reads a request of Messages into the question that all providers are asked.

use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::{ChatRequest, Content, Message};
use serde_json::{Map, Value, json};

use super::Told;
use crate::body::{Object, clip, type_of};
use crate::dialect::{Asked, Mistake};

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Asked, Mistake> {
    let mut body = Object::read(body)?;
    let model = body.word("model")?;
    let max_tokens = body.count("max_tokens", u64::MAX)?;
    if max_tokens.is_none() {
        return Err(body.wrong("max_tokens", "an integer of at least 1: it is missing"));
    }
    let mut request = ChatRequest {
        system: system(&mut body)?,
        messages: messages(&mut body)?,
        max_tokens,
        temperature: body.number("temperature", 2.0)?,
        top_p: body.number("top_p", 1.0)?,
        stop: stop(&mut body)?,
        tools: tools(&mut body)?,
        user: user(&mut body)?,
        ..ChatRequest::default()
    };
    if let Some(mut choice) = body.object("tool_choice")? {
        request.tool_choice = Some(tool_choice(&mut choice)?);
        if choice.bool("disable_parallel_tool_use")? == Some(true) {
            let options = &mut request.options;
            options.insert("parallel_tool_calls".into(), false.into());
        }
    }
    if let Some(mut thinking) = body.object("thinking")? {
        request.reasoning_effort = effort(&mut thinking)?.map(str::to_owned);
    }
    if let Some(mut output) = body.object("output_config")? {
        if let Some(effort) = output.word("effort")? {
            request.reasoning_effort = Some(effort);
        }
        if let Some(mut format) = output.object("format")? {
            request.response_format = Some(json_schema(&mut format)?);
        }
    }
    if let Some(top_k) = body.count("top_k", u64::MAX)? {
        request.options.insert("top_k".into(), top_k.into());
    }
    let is_stream = body.bool("stream")?.unwrap_or(false);
    // What is left says something to Anthropic alone: who answers may be somebody else.
    for key in ["container", "inference_geo", "service_tier"] {
        let _ = body.take(key);
    }
    request.extra = body.rest();
    Ok(Asked {
        model,
        request: Box::new(request),
        count: 1,
        is_stream,
        is_background: false,
        note: Box::default(),
        previous: None,
        referred: Vec::new(),
        telling: Told::shared(),
    })
}

/// A string, or blocks of text.
fn system(body: &mut Object) -> Result<Option<String>, Mistake> {
    match body.take("system") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(Value::Array(blocks)) => {
            let mut whole = Vec::new();
            for (index, block) in blocks.into_iter().enumerate() {
                let place = body.item("system", index);
                let mut block = Object::part(block, &place)?;
                whole.push(needed(block.string("text")?, &place, "text")?);
            }
            Ok(Some(whole.join("\n\n")).filter(|text| !text.is_empty()))
        }
        Some(_) => Err(body.wrong("system", "a string or an array of text blocks")),
    }
}

fn messages(body: &mut Object) -> Result<Vec<Message>, Mistake> {
    let Some(items) = body.array("messages")?.filter(|items| !items.is_empty()) else {
        return Err(body.wrong("messages", "an array of at least one message"));
    };
    let mut messages = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let place = body.item("messages", index);
        let mut item = Object::part(item, &place)?;
        let role = item.string("role")?.unwrap_or_default();
        let content = match item.take("content") {
            Some(Value::String(text)) => vec![object! {"type": "text", "text": text}],
            Some(Value::Array(blocks)) => blocks,
            _ => return Err(item.wrong("content", "a string or an array of blocks")),
        };
        match role.as_str() {
            "user" => user_turn(content, &place, &mut messages)?,
            "assistant" => messages.extend(assistant_turn(content, &place)?),
            "system" => messages.push(Message::new("system", parts(content, &place)?)),
            _ => return Err(item.wrong("role", "\"user\" or \"assistant\"")),
        }
    }
    if messages.is_empty() {
        return Err(body.wrong("messages", "an array with a message that says something"));
    }
    Ok(messages)
}

/// A user's turn: the results of tools are messages of their own, in front of the rest.
fn user_turn(blocks: Vec<Value>, place: &str, out: &mut Vec<Message>) -> Result<(), Mistake> {
    let mut rest = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        if type_of(&block) != "tool_result" {
            rest.push(block);
            continue;
        }
        let place = format!("{place}.content[{index}]");
        let mut block = Object::part(block, &place)?;
        let id = needed(block.word("tool_use_id")?, &place, "tool_use_id")?;
        let failed = block.bool("is_error")?.unwrap_or(false);
        let content = match block.take("content") {
            None => Content::Text(String::new()),
            Some(Value::String(text)) => Content::Text(text),
            Some(Value::Array(blocks)) => parts(blocks, &place)?,
            Some(_) => return Err(block.wrong("content", "a string or an array of blocks")),
        };
        let content = match content {
            Content::Text(text) if failed => Content::Text(format!("Error: {text}")),
            Content::Parts(mut parts) if failed => {
                parts.insert(0, object! {"type": "text", "text": "Error:"});
                Content::Parts(parts)
            }
            content => content,
        };
        let mut message = Message::new("tool", content);
        message.tool_call_id = Some(id);
        out.push(message);
    }
    if !rest.is_empty() {
        out.push(Message::new("user", parts(rest, place)?));
    }
    Ok(())
}

/// An assistant's turn: text, calls, and what it thought; a turn of thoughts alone is none.
fn assistant_turn(blocks: Vec<Value>, place: &str) -> Result<Option<Message>, Mistake> {
    let (mut text, mut calls, mut thought) = (String::new(), Vec::new(), String::new());
    for (index, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        let kind = type_of(&block).to_owned();
        let mut block = Object::part(block, &place)?;
        match kind.as_str() {
            "text" => text.push_str(&needed(block.string("text")?, &place, "text")?),
            "thinking" => thought.push_str(&block.string("thinking")?.unwrap_or_default()),
            "redacted_thinking" => {}
            "tool_use" => {
                let id = needed(block.word("id")?, &place, "id")?;
                let name = needed(block.word("name")?, &place, "name")?;
                let input = block.take("input").unwrap_or_else(|| object! {});
                let function = object! {"name": name, "arguments": input.to_string()};
                calls.push(object! {"id": id, "type": "function", "function": function});
            }
            _ => return Err(unknown_block(&place, &kind)),
        }
    }
    let content = match (text.is_empty(), calls.is_empty()) {
        (true, true) => return Ok(None),
        (true, false) => Content::Absent,
        (false, _) => Content::Text(text),
    };
    let mut message = Message::new("assistant", content);
    message.tool_calls = (!calls.is_empty()).then_some(Value::Array(calls));
    message.reasoning = (!thought.is_empty()).then_some(thought);
    Ok(Some(message))
}

/// Blocks as content parts of OpenAI's form; text alone, and nothing at all, as text.
fn parts(blocks: Vec<Value>, place: &str) -> Result<Content, Mistake> {
    let mut parts = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        let kind = type_of(&block).to_owned();
        let mut block = Object::part(block, &place)?;
        parts.push(match kind.as_str() {
            "text" => {
                object! {"type": "text", "text": needed(block.string("text")?, &place, "text")?}
            }
            "image" => {
                let image = object! {"url": source(&mut block)?};
                object! {"type": "image_url", "image_url": image}
            }
            "document" => {
                let name = block.string("title")?;
                if let Some(text) = plain_text(&block) {
                    object! {"type": "text", "text": text}
                } else {
                    let file = object! {"file_data": source(&mut block)?, "filename": name};
                    object! {"type": "file", "file": file}
                }
            }
            _ => return Err(unknown_block(&place, &kind)),
        });
    }
    Ok(match parts.as_slice() {
        [] => Content::Text(String::new()),
        [only] if type_of(only) == "text" => {
            Content::Text(only["text"].as_str().unwrap_or_default().to_owned())
        }
        _ => Content::Parts(parts),
    })
}

/// What a document says whose source is text, or blocks of it.
fn plain_text(block: &Object) -> Option<String> {
    let source = block.peek("source")?;
    match (source["type"].as_str(), &source["data"], &source["content"]) {
        (Some("text"), Value::String(text), _) => Some(text.clone()),
        (Some("content"), _, Value::String(text)) => Some(text.clone()),
        (Some("content"), _, Value::Array(blocks))
            if blocks.iter().all(|it| it["text"].is_string()) =>
        {
            let texts = blocks.iter().filter_map(|it| it["text"].as_str());
            Some(texts.collect::<Vec<_>>().join("\n"))
        }
        _ => None,
    }
}

/// Where an image or a document comes from, as a URL.
fn source(block: &mut Object) -> Result<String, Mistake> {
    let Some(mut source) = block.object("source")? else {
        return Err(block.wrong("source", "an object"));
    };
    let kind = source.string("type")?.unwrap_or_default();
    let (media_type, data) = (source.string("media_type")?, source.string("data")?);
    match (kind.as_str(), source.string("url")?) {
        ("url", Some(url)) => Ok(url),
        ("base64", _) => match (media_type, data) {
            (Some(media_type), Some(data)) => Ok(format!("data:{media_type};base64,{data}")),
            _ => Err(source.wrong("data", "a string, beside \"media_type\"")),
        },
        _ => Err(source.wrong("type", "\"base64\" or \"url\"")),
    }
}

fn tools(body: &mut Object) -> Result<Option<Value>, Mistake> {
    let Some(items) = body.array("tools")? else {
        return Ok(None);
    };
    let mut tools = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let place = body.item("tools", index);
        let mut item = Object::part(item, &place)?;
        if let Some(kind) = item.string("type")?.filter(|kind| kind != "custom") {
            let message = format!(
                "\"{place}\" is a tool of Anthropic's own ({}), which other models do not know: offer one with a \"name\" and an \"input_schema\"",
                clip(&kind)
            );
            return Err(Mistake::at(place, message));
        }
        let mut function = Map::new();
        function.insert(
            "name".into(),
            needed(item.word("name")?, &place, "name")?.into(),
        );
        function.extend(
            item.string("description")?
                .map(|text| ("description".into(), text.into())),
        );
        function.extend(
            item.take("input_schema")
                .map(|schema| ("parameters".into(), schema)),
        );
        function.extend(
            item.bool("strict")?
                .map(|strict| ("strict".into(), strict.into())),
        );
        tools.push(object! {"type": "function", "function": function});
    }
    Ok(Some(Value::Array(tools)).filter(|tools| tools != &json!([])))
}

fn tool_choice(choice: &mut Object) -> Result<Value, Mistake> {
    match choice.string("type")?.as_deref() {
        Some("auto") => Ok("auto".into()),
        Some("any") => Ok("required".into()),
        Some("none") => Ok("none".into()),
        Some("tool") => match choice.word("name")? {
            Some(name) => Ok(object! {"type": "function", "function": object! {"name": name}}),
            None => Err(choice.wrong("name", "the name of a tool")),
        },
        _ => Err(choice.wrong("type", "\"auto\", \"any\", \"tool\" or \"none\"")),
    }
}

/// How hard to think, of how many tokens may be spent on it.
fn effort(thinking: &mut Object) -> Result<Option<&'static str>, Mistake> {
    let budget = thinking.count("budget_tokens", u64::MAX)?;
    match thinking.string("type")?.as_deref() {
        // What is not asked for is no wish that a provider could refuse.
        Some("disabled" | "adaptive") => Ok(None),
        Some("enabled") => Ok(Some(match budget {
            Some(0..=4096) => "low",
            Some(16_385..) => "high",
            Some(_) | None => "medium",
        })),
        _ => Err(thinking.wrong("type", "\"enabled\", \"disabled\" or \"adaptive\"")),
    }
}

fn json_schema(format: &mut Object) -> Result<Value, Mistake> {
    match (format.string("type")?.as_deref(), format.take("schema")) {
        (Some("json_schema"), Some(schema)) => Ok(object! {
            "type": "json_schema",
            "json_schema": object! {"name": "answer", "strict": true, "schema": schema},
        }),
        _ => Err(format.wrong("type", "\"json_schema\", beside a \"schema\"")),
    }
}

fn stop(body: &mut Object) -> Result<Vec<String>, Mistake> {
    let Some(items) = body.array("stop_sequences")? else {
        return Ok(Vec::new());
    };
    // An empty text stops nothing.
    let items = items.into_iter().filter(|item| item != "");
    let texts = items.map(|item| match item {
        Value::String(text) => Ok(text),
        _ => Err(body.wrong("stop_sequences", "an array of strings")),
    });
    texts.collect()
}

fn user(body: &mut Object) -> Result<Option<String>, Mistake> {
    match body.object("metadata")? {
        Some(mut metadata) => metadata.string("user_id"),
        None => Ok(None),
    }
}

fn needed<T>(value: Option<T>, place: &str, key: &str) -> Result<T, Mistake> {
    let missing = || {
        Mistake::at(
            format!("{place}.{key}"),
            format!("\"{place}.{key}\" is missing"),
        )
    };
    value.ok_or_else(missing)
}

fn unknown_block(place: &str, kind: &str) -> Mistake {
    let message = format!(
        "\"{place}\" is a block of type {:?}, which not every provider can be given; text, image, document, tool_use and tool_result can be",
        clip(kind)
    );
    Mistake::at(place, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: Value) -> Result<Asked, Mistake> {
        let mut body =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        let (Value::Object(entries), Value::Object(more)) = (&mut body, more) else {
            panic!("objects")
        };
        entries.extend(more);
        read(body.to_string().as_bytes())
    }

    fn asked(more: Value) -> Box<ChatRequest> {
        request(more)
            .unwrap_or_else(|mistake| panic!("{}", mistake.message))
            .request
    }

    fn said(messages: Value) -> Vec<Message> {
        asked(json!({"messages": messages})).messages
    }

    #[test]
    fn options_become_those_of_the_question() {
        let request = asked(json!({
            "system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief"}],
            "temperature": 0.5, "top_p": 0.9, "top_k": 4, "stop_sequences": ["END"],
            "metadata": {"user_id": "u"}, "thinking": {"type": "enabled", "budget_tokens": 20_000},
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
            "output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}},
        }));
        assert_eq!(request.system.as_deref(), Some("Be\n\nbrief"));
        assert_eq!((request.temperature, request.top_p), (Some(0.5), Some(0.9)));
        assert_eq!(
            (request.max_tokens, request.stop),
            (Some(9), vec!["END".to_owned()])
        );
        assert_eq!(request.user.as_deref(), Some("u"));
        assert_eq!(request.reasoning_effort.as_deref(), Some("high"));
        let function = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
        assert_eq!(
            request.tools,
            Some(json!([{"type": "function", "function": function}]))
        );
        assert_eq!(
            request.tool_choice,
            Some(json!({"type": "function", "function": {"name": "f"}}))
        );
        assert_eq!(
            request.response_format.unwrap()["json_schema"]["schema"],
            json!({"a": 1})
        );
        assert_eq!(
            Value::Object(request.options),
            json!({"top_k": 4, "parallel_tool_calls": false})
        );
    }

    #[test]
    fn turns_become_messages() {
        let messages = said(json!([
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}},
                {"type": "image", "source": {"type": "url", "url": "https://h/a"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "i", "name": "f", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "x"}], "is_error": true},
                {"type": "text", "text": "And?"},
            ]},
        ]));
        let roles: Vec<_> = messages.iter().map(|message| &*message.role).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "user"]);
        let Content::Parts(parts) = &messages[0].content else {
            panic!("parts")
        };
        assert_eq!(parts[1]["image_url"]["url"], "data:image/png;base64,aa");
        assert_eq!(parts[2]["image_url"]["url"], "https://h/a");
        assert_eq!(messages[1].content, Content::Text("Let me see.".into()));
        assert_eq!(messages[1].reasoning.as_deref(), Some("Hm"));
        let call = json!([{"id": "i", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]);
        assert_eq!(messages[1].tool_calls, Some(call));
        assert_eq!(messages[2].tool_call_id.as_deref(), Some("i"));
        assert_eq!(messages[2].content, Content::Text("Error: x".into()));
        assert_eq!(messages[3].content, Content::Text("And?".into()));
    }

    #[test]
    fn documents_of_text_are_text_and_what_failed_says_so() {
        let image = json!({"type": "image", "source": {"type": "url", "url": "https://h/a"}});
        let document = |source: Value| json!({"type": "document", "source": source});
        let messages = said(json!([
            {"role": "user", "content": [
                document(json!({"type": "text", "media_type": "text/plain", "data": "one"})),
                document(json!({"type": "content", "content": "two"})),
                document(json!({"type": "content", "content": [{"type": "text", "text": "three"}]})),
                document(json!({"type": "url", "url": "https://h/b"})),
            ]},
            // A turn of which nothing is left is none.
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]},
            {"role": "assistant", "content": []},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "x"}, image], "is_error": true},
            ]},
        ]));
        let roles: Vec<_> = messages.iter().map(|message| &*message.role).collect();
        assert_eq!(roles, ["user", "tool"]);
        let (Content::Parts(parts), Content::Parts(failed)) =
            (&messages[0].content, &messages[1].content)
        else {
            panic!("parts")
        };
        let texts: Vec<_> = parts.iter().filter_map(|it| it["text"].as_str()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(parts[3]["file"]["file_data"], "https://h/b");
        assert_eq!(failed[0], json!({"type": "text", "text": "Error:"}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (more, param) in [
            (json!({"max_tokens": null}), "max_tokens"),
            (json!({"max_tokens": "many"}), "max_tokens"),
            (json!({"messages": []}), "messages"),
            (
                json!({"messages": [{"role": "tool", "content": "x"}]}),
                "messages[0].role",
            ),
            (
                json!({"messages": [{"role": "user"}]}),
                "messages[0].content",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}),
                "messages[0].content[0]",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}),
                "messages[0].content[0].tool_use_id",
            ),
            (
                json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "i"}]}]}),
                "messages[0].content[0].name",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]}),
                "messages[0].content[0].source.type",
            ),
            (
                json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
                "tools[0]",
            ),
            (json!({"tools": [{}]}), "tools[0].name"),
            (json!({"tool_choice": {"type": "some"}}), "tool_choice.type"),
            (json!({"thinking": {"type": "deep"}}), "thinking.type"),
            (json!({"system": 7}), "system"),
            (json!({"stop_sequences": [7]}), "stop_sequences"),
            (json!({"stream": "yes"}), "stream"),
            (
                json!({"messages": [{"role": "assistant", "content": []}, {"role": "user", "content": []}]}),
                "messages",
            ),
        ] {
            let mistake = request(more.clone())
                .err()
                .unwrap_or_else(|| panic!("{more} passed"));
            assert_eq!(
                mistake.param.as_deref(),
                Some(param),
                "{more}: {}",
                mistake.message
            );
        }
    }

    #[test]
    fn a_long_type_is_repeated_in_part() {
        let long = "x".repeat(5000);
        let block = |role: &str| json!({"messages": [{"role": role, "content": [{"type": long}]}]});
        let tool = json!({"tools": [{"type": long, "name": "f"}]});
        for more in [block("user"), block("assistant"), tool] {
            let mistake = request(more).err().expect("a mistake");
            assert!(mistake.message.contains("xxxx"), "{}", mistake.message);
            assert!(mistake.message.len() < 400, "{}", mistake.message);
        }
    }

    #[test]
    fn nothing_at_all_is_an_empty_text_and_stops_nothing() {
        let result = json!({"type": "tool_result", "tool_use_id": "i", "content": []});
        let messages =
            json!([{"role": "system", "content": []}, {"role": "user", "content": [result]}]);
        for message in said(messages) {
            assert_eq!(message.content, Content::Text(String::new()), "{message:?}");
        }
        let asked = asked(json!({"stop_sequences": ["", "END", ""]}));
        assert_eq!(asked.stop, ["END"]);
    }

    #[test]
    fn budgets_are_efforts() {
        for (thinking, want) in [
            (json!({"type": "disabled"}), None),
            (json!({"type": "adaptive"}), None),
            (
                json!({"type": "enabled", "budget_tokens": 1024}),
                Some("low"),
            ),
            (
                json!({"type": "enabled", "budget_tokens": 9000}),
                Some("medium"),
            ),
            (json!({"type": "enabled"}), Some("medium")),
        ] {
            let effort = asked(json!({"thinking": thinking})).reasoning_effort;
            assert_eq!(effort.as_deref(), want);
        }
    }
}
