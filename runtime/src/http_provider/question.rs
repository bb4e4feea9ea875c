//! A typed view of a request, for providers whose wire format is not OpenAI's.
//!
//! [`ChatRequest`] holds what is structured (parts, tools, calls, formats) in OpenAI's form. This
//! reads it into a few plain types that borrow from the request, and says clearly what it cannot
//! read. What a provider cannot express is its own matter; the words for it are here:
//!
//! | what | if it cannot be expressed |
//! | --- | --- |
//! | images, tools, tool choice, response format, stop texts | refused: the answer would mean something else |
//! | further options that shape the answer (penalties, log probabilities, …) | refused |
//! | seed, user, metadata, speakers' names, other options | left out, as the plugin's table of keys says: they are hints |
//!
//! All errors are `provider_bad_request`, and nothing has been sent then.

mod effort;
mod turns;

use serde_json::Value;

pub use effort::Effort;
pub use turns::{Call, Part, Role, Source, Turn, called_name};

use crate::plugin::provider::{ChatRequest, ProviderError};

/// A request, read for one kind of provider.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What was asked; whatever needs no reading is taken from here.
    pub request: &'a ChatRequest,
    /// The kind of the provider, for messages.
    kind: &'a str,
}

/// A function that the model may call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub description: Option<&'a str>,
    /// The JSON Schema of its arguments; none if it takes none.
    pub parameters: Option<&'a Value>,
    /// Must the arguments keep to the schema?
    pub strict: Option<bool>,
}

/// Which function may or must be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// Any or none, as the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// The one of this name.
    Function(&'a str),
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResponseFormat<'a> {
    /// Plain text.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The schema's name.
        name: &'a str,
        /// The JSON Schema.
        schema: &'a Value,
        /// Must the answer keep to the schema?
        strict: Option<bool>,
    },
}

/// Options without which an answer is as good.
const HINTS: [&str; 8] = [
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
];

impl<'a> Question<'a> {
    /// Reads `request` for a provider of kind `kind`.
    #[must_use]
    pub fn new(request: &'a ChatRequest, kind: &'a str) -> Self {
        Self { request, kind }
    }

    /// The conversation, the system prompt of the request first.
    ///
    /// # Errors
    ///
    /// A part or a call that is not of OpenAI's form.
    pub fn turns(&self) -> Result<Vec<Turn<'a>>, ProviderError> {
        turns::read(self.request)
    }

    /// The [options](ChatRequest::options) that were given, in the provider's words: `words` pairs
    /// OpenAI's names with them. Mere hints without such a word are left out.
    ///
    /// # Errors
    ///
    /// An option that shapes the answer, for which there is no word and whose value is not the one
    /// that it has where nothing is said.
    pub fn options<'w>(
        &self,
        words: &[(&str, &'w str)],
    ) -> Result<Vec<(&'w str, &'a Value)>, ProviderError> {
        let mut options = Vec::new();
        for (name, value) in &self.request.options {
            match words.iter().find(|(theirs, _)| theirs == name) {
                Some((_, ours)) => options.push((*ours, value)),
                None if Self::is_hint(name) || asks_nothing(name, value) => {}
                None => return Err(self.cannot(&format!("`{name}`"))),
            }
        }
        Ok(options)
    }

    /// Is an option one without which an answer is as good?
    #[must_use]
    pub fn is_hint(name: &str) -> bool {
        HINTS.contains(&name)
    }

    /// The functions that may be called.
    ///
    /// # Errors
    ///
    /// A tool that is no function, or a function without a name.
    pub fn tools(&self) -> Result<Vec<Tool<'a>>, ProviderError> {
        let tools = match &self.request.tools {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(tools)) => tools,
            Some(_) => return Err(self.wrong("tools", "an array of tools")),
        };
        let tools = tools.iter().enumerate();
        tools.map(|(index, tool)| self.tool(index, tool)).collect()
    }

    fn tool(&self, index: usize, tool: &'a Value) -> Result<Tool<'a>, ProviderError> {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind != "function" {
            return Err(self.cannot(&format!("`tools[{index}]` of type `{kind}`")));
        }
        let function = tool.get("function").unwrap_or(&Value::Null);
        let Some(name) = function.get("name").and_then(Value::as_str) else {
            return Err(self.wrong(&format!("tools[{index}].function.name"), "a string"));
        };
        let parameters = function.get("parameters").filter(|value| !value.is_null());
        if parameters.is_some_and(|schema| !schema.is_object()) {
            let key = format!("tools[{index}].function.parameters");
            return Err(self.wrong(&key, "an object, the JSON Schema of the arguments"));
        }
        Ok(Tool {
            name,
            description: function.get("description").and_then(Value::as_str),
            parameters,
            strict: function.get("strict").and_then(Value::as_bool),
        })
    }

    /// Which function may or must be called, if that was said.
    ///
    /// # Errors
    ///
    /// A choice that is none of the four.
    pub fn tool_choice(&self) -> Result<Option<ToolChoice<'a>>, ProviderError> {
        let choice = match &self.request.tool_choice {
            None | Some(Value::Null) => return Ok(None),
            Some(choice) => choice,
        };
        let name = choice.pointer("/function/name").and_then(Value::as_str);
        match (choice.as_str(), name) {
            (Some("auto"), _) => Ok(Some(ToolChoice::Auto)),
            (Some("none"), _) => Ok(Some(ToolChoice::None)),
            (Some("required"), _) => Ok(Some(ToolChoice::Required)),
            (None, Some(name)) => Ok(Some(ToolChoice::Function(name))),
            _ => Err(self.wrong(
                "tool_choice",
                "\"auto\", \"none\", \"required\" or {\"type\": \"function\", \"function\": \
                 {\"name\": …}}",
            )),
        }
    }

    /// The form of the answer, plain text where nothing was said.
    ///
    /// # Errors
    ///
    /// A form that is none of the three, or a schema that is no object.
    pub fn response_format(&self) -> Result<ResponseFormat<'a>, ProviderError> {
        let format = match &self.request.response_format {
            None | Some(Value::Null) => return Ok(ResponseFormat::Text),
            Some(format) => format,
        };
        match format.get("type").and_then(Value::as_str) {
            Some("text") => Ok(ResponseFormat::Text),
            Some("json_object") => Ok(ResponseFormat::JsonObject),
            Some("json_schema") => {
                let at = |key| format.get("json_schema")?.get(key);
                let schema = at("schema").filter(|schema| schema.is_object());
                let Some(schema) = schema else {
                    let want = "an object, the JSON Schema of the answer";
                    return Err(self.wrong("response_format.json_schema.schema", want));
                };
                Ok(ResponseFormat::JsonSchema {
                    name: at("name").and_then(Value::as_str).unwrap_or("response"),
                    schema,
                    strict: at("strict").and_then(Value::as_bool),
                })
            }
            _ => Err(self.wrong(
                "response_format.type",
                "\"text\", \"json_object\" or \"json_schema\"",
            )),
        }
    }

    /// Refuses a key that was given although this provider cannot express it.
    ///
    /// # Errors
    ///
    /// If it was given.
    pub fn refuse(&self, is_given: bool, key: &str) -> Result<(), ProviderError> {
        if is_given {
            Err(self.cannot(&format!("`{key}`")))
        } else {
            Ok(())
        }
    }

    /// This provider has no words for `what`.
    #[must_use]
    pub fn cannot(&self, what: &str) -> ProviderError {
        let kind = self.kind;
        turns::refusal(format!(
            "{kind} cannot express {what}: leave it out or use `extra`"
        ))
    }

    /// The value of `key` is not what it must be.
    #[must_use]
    pub fn wrong(&self, key: &str, want: &str) -> ProviderError {
        turns::wrong(key, want)
    }
}

/// True for a value that says no more than leaving the option out does; clients send such.
fn asks_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_on) => *is_on == (name == "parallel_tool_calls"),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(list) => list.iter().all(|item| item == "text"),
        Value::Object(object) => object.is_empty(),
        Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::ErrorCode;

    fn with(key: &str, value: Value) -> ChatRequest {
        let mut request = ChatRequest::default();
        let place = match key {
            "tools" => &mut request.tools,
            "tool_choice" => &mut request.tool_choice,
            _ => &mut request.response_format,
        };
        *place = Some(value);
        request
    }

    #[test]
    fn tools_are_functions() {
        let schema = json!({"type": "object"});
        let request = with(
            "tools",
            json!([
                {"type": "function", "function": {"name": "f", "description": "d",
                 "parameters": schema, "strict": true}},
                {"type": "function", "function": {"name": "g"}},
            ]),
        );
        let want = [
            Tool {
                name: "f",
                description: Some("d"),
                parameters: Some(&schema),
                strict: Some(true),
            },
            Tool {
                name: "g",
                description: None,
                parameters: None,
                strict: None,
            },
        ];
        assert_eq!(Question::new(&request, "k").tools().unwrap(), want);
        let none = ChatRequest::default();
        assert!(Question::new(&none, "k").tools().unwrap().is_empty());
    }

    #[test]
    fn choices_and_formats_are_read() {
        let none = ChatRequest::default();
        assert_eq!(Question::new(&none, "k").tool_choice(), Ok(None));
        for (value, want) in [
            (json!("auto"), ToolChoice::Auto),
            (json!("none"), ToolChoice::None),
            (json!("required"), ToolChoice::Required),
            (
                json!({"type": "function", "function": {"name": "f"}}),
                ToolChoice::Function("f"),
            ),
        ] {
            let request = with("tool_choice", value);
            assert_eq!(Question::new(&request, "k").tool_choice(), Ok(Some(want)));
        }
        let schema = json!({"type": "object"});
        for (value, want) in [
            (Value::Null, ResponseFormat::Text),
            (json!({"type": "text"}), ResponseFormat::Text),
            (json!({"type": "json_object"}), ResponseFormat::JsonObject),
            (
                json!({"type": "json_schema", "json_schema": {"schema": schema, "strict": true}}),
                ResponseFormat::JsonSchema {
                    name: "response",
                    schema: &schema,
                    strict: Some(true),
                },
            ),
        ] {
            let request = with("response_format", value);
            assert_eq!(Question::new(&request, "k").response_format(), Ok(want));
        }
    }

    #[test]
    fn options_are_said_in_other_words_left_out_or_refused() {
        let options = |value: Value| ChatRequest {
            options: value.as_object().cloned().unwrap(),
            ..ChatRequest::default()
        };
        let words = [("top_k", "k"), ("presence_penalty", "presence")];
        let request = options(json!({"top_k": 4, "store": true, "presence_penalty": 0.5}));
        let said = Question::new(&request, "kind").options(&words).unwrap();
        assert_eq!(said, [("presence", &json!(0.5)), ("k", &json!(4))]);
        let nothing = json!({"logit_bias": {}, "logprobs": false, "parallel_tool_calls": true,
            "frequency_penalty": 0.0, "modalities": ["text"], "audio": null});
        let request = options(nothing);
        assert_eq!(Question::new(&request, "kind").options(&words), Ok(vec![]));
        let request = options(json!({"logit_bias": {"50": 1}}));
        let refusal = Question::new(&request, "kind").options(&words).unwrap_err();
        let want = "kind cannot express `logit_bias`";
        assert!(refusal.message.starts_with(want), "{}", refusal.message);
        for asked in [
            json!({"parallel_tool_calls": false}),
            json!({"logprobs": true}),
            json!({"frequency_penalty": 0.5}),
            json!({"modalities": ["text", "audio"]}),
        ] {
            let request = options(asked.clone());
            assert!(
                Question::new(&request, "kind").options(&words).is_err(),
                "{asked}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        type Read = fn(Question<'_>) -> Option<ProviderError>;
        let tools: Read = |question| question.tools().err();
        let choice: Read = |question| question.tool_choice().err();
        let format: Read = |question| question.response_format().err();
        for (key, value, read, want) in [
            (
                "tools",
                json!({}),
                tools,
                "`tools` must be an array of tools",
            ),
            (
                "tools",
                json!([{"type": "web_search"}]),
                tools,
                "k cannot express `tools[0]` of type `web_search`: leave it out or use `extra`",
            ),
            (
                "tools",
                json!([{"type": "function"}]),
                tools,
                "`tools[0].function.name` must be a string",
            ),
            (
                "tools",
                json!([{"type": "function", "function": {"name": "f", "parameters": 7}}]),
                tools,
                "`tools[0].function.parameters` must be an object, the JSON Schema of the \
                 arguments",
            ),
            (
                "tool_choice",
                json!("maybe"),
                choice,
                "`tool_choice` must be \"auto\", \"none\", \"required\" or {\"type\": \
                 \"function\", \"function\": {\"name\": …}}",
            ),
            (
                "response_format",
                json!({"type": "xml"}),
                format,
                "`response_format.type` must be \"text\", \"json_object\" or \"json_schema\"",
            ),
            (
                "response_format",
                json!({"type": "json_schema"}),
                format,
                "`response_format.json_schema.schema` must be an object, the JSON Schema of the \
                 answer",
            ),
        ] {
            let request = with(key, value);
            let error = read(Question::new(&request, "k")).unwrap();
            assert_eq!(&*error.message, want);
            assert_eq!(error.code, ErrorCode::ProviderBadRequest);
        }
        let request = ChatRequest::default();
        let question = Question::new(&request, "k");
        assert_eq!(question.refuse(false, "seed"), Ok(()));
        let error = question.refuse(true, "seed").unwrap_err();
        assert_eq!(
            &*error.message,
            "k cannot express `seed`: leave it out or use `extra`"
        );
    }
}
