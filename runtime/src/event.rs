//! What a channel holds: events, their positions, and the closed lists that the README gives.

use lmserver_proto::json::scan::is_plain;
use serde_json::Value;
mod json;
mod position;
mod publication;
mod terminal;

pub use json::Json;
pub(crate) use json::join;
pub use position::{After, Epoch, Position, UnreadablePosition};
pub use publication::{ClientInfo, Details, one_line, payload};
pub use terminal::{Attempt, End, ErrorCode, Failure, FinishReason, Usage};

/// What kind of event an entry is, without reading its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first event of a chat channel.
    Start,
    /// A piece of the answer.
    Chunk,
    /// A piece of the model's reasoning.
    Reasoning,
    /// A piece of a refusal.
    Refusal,
    /// A fragment of a tool call.
    ToolCall,
    /// The end of an answer.
    End,
    /// The failure of an answer.
    Error,
    /// A publication of somebody else, as it stands.
    Data,
}

impl Kind {
    /// True for the event after which nothing follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::End | Self::Error)
    }
}

/// A piece of text. As short as tokens mostly are, at most 23 bytes, it takes no memory of its own.
pub type Text = smol_str::SmolStr;

/// An event of a channel, before it is placed in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Opens every stream; names the model as it was asked for.
    Start {
        /// The name that the client used.
        model: Box<str>,
    },
    /// Text of the answer.
    Chunk(Text),
    /// Text of the model's reasoning.
    Reasoning(Text),
    /// Text of a refusal.
    Refusal(Text),
    /// A fragment of a tool call.
    ToolCall(Box<ToolCall>),
    /// The answer is complete (or cancelled).
    End(Box<End>),
    /// The answer failed.
    Error(Box<Failure>),
    /// Somebody's publication: one JSON document without raw line breaks, and what belongs to it.
    Data(Box<[u8]>, Option<Box<Details>>),
}

impl Event {
    /// The kind of this event.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Start { .. } => Kind::Start,
            Self::Chunk(_) => Kind::Chunk,
            Self::Reasoning(_) => Kind::Reasoning,
            Self::Refusal(_) => Kind::Refusal,
            Self::ToolCall(_) => Kind::ToolCall,
            Self::End(_) => Kind::End,
            Self::Error(_) => Kind::Error,
            Self::Data(..) => Kind::Data,
        }
    }

    /// Appends the event's JSON, the form that every encoding carries.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start { model } => {
                // With room for the first text behind it: a log makes as much as half of what it
                // holds, and this is all.
                out.reserve(3 * (model.len() + START_BYTES));
                out.extend_from_slice(br#"{"type":"start","message":"","model":"#);
                write_json_string(model, out);
            }
            Self::Chunk(text) | Self::Reasoning(text) | Self::Refusal(text) => {
                out.extend_from_slice(json::before_text(self.kind()).unwrap_or_default());
                write_json_string(text, out);
            }
            Self::ToolCall(call) => call.write_json(out),
            Self::End(end) => end.write_json(out),
            Self::Error(failure) => failure.write_json(out),
            Self::Data(json, _) => return out.extend_from_slice(json),
        }
        out.push(b'}');
    }

    /// Appends what a log holds of it: its JSON, or of that a text alone. [`Json`] reads it.
    pub(crate) fn write_held(&self, out: &mut Vec<u8>) {
        match self {
            Self::Chunk(text) | Self::Reasoning(text) | Self::Refusal(text) => {
                write_json_string(text, out);
            }
            _ => self.write_json(out),
        }
    }
}

/// Bytes of the first event around the model's name.
const START_BYTES: usize = 44;

/// A fragment of a tool call. `id` and `name` stand on the first fragment of an `index` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Which call of the answer, counted from 0 in order of first appearance.
    pub index: u32,
    /// The provider's id of the call.
    pub id: Option<Box<str>>,
    /// The function's name.
    pub name: Option<Box<str>>,
    /// A fragment of the arguments' JSON text.
    pub arguments: Box<str>,
}

impl ToolCall {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"type":"tool_call","message":"","index":"#);
        out.extend_from_slice(self.index.to_string().as_bytes());
        for (key, value) in [(&br#","id":"#[..], &self.id), (br#","name":"#, &self.name)] {
            if let Some(value) = value {
                out.extend_from_slice(key);
                write_json_string(value, out);
            }
        }
        out.extend_from_slice(br#","arguments":"#);
        write_json_string(&self.arguments, out);
    }
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    // Writing a str into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_target(
    model: Option<&str>,
    provider: Option<&str>,
    attempts: &[Attempt],
    out: &mut Vec<u8>,
) {
    for (key, value) in [
        (&br#","model":"#[..], model),
        (br#","provider":"#, provider),
    ] {
        if let Some(value) = value {
            out.extend_from_slice(key);
            write_json_string(value, out);
        }
    }
    if attempts.is_empty() {
        return;
    }
    let attempts: Vec<Value> = attempts
        .iter()
        .map(|attempt| {
            serde_json::json!({
                "provider": attempt.provider, "model": attempt.model, "code": attempt.code.as_str(),
            })
        })
        .collect();
    out.extend_from_slice(br#","attempts":"#);
    // Writing a Value into a Vec cannot fail.
    let _ = serde_json::to_writer(out, &attempts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(event: &Event) -> String {
        let mut out = Vec::new();
        event.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_have_the_json_of_the_contract() {
        let attempt = Attempt {
            provider: "a".into(),
            model: "m".into(),
            code: ErrorCode::ProviderTimeout,
        };
        let usage = Usage {
            input_tokens: 12,
            output_tokens: 34,
            ..Usage::default()
        };
        let end = End {
            finish_reason: FinishReason::Stop,
            usage: Some(usage),
            model: Some("gpt".into()),
            provider: Some("openai".into()),
            attempts: Vec::new(),
        };
        let full = Usage {
            reasoning_tokens: Some(1),
            cached_tokens: Some(2),
            estimated: true,
            ..usage
        };
        let call = ToolCall {
            index: 1,
            id: Some("call_1".into()),
            name: Some("f".into()),
            arguments: "{\"ci".into(),
        };
        let rest = ToolCall {
            id: None,
            name: None,
            ..call.clone()
        };
        let failure = Failure::new(ErrorCode::Shutdown, "stopped");
        for (event, want) in [
            (
                Event::Start {
                    model: "d\"".into(),
                },
                r#"{"type":"start","message":"","model":"d\""}"#,
            ),
            (
                Event::Chunk("H\n\u{2028}\u{1f600}".into()),
                "{\"type\":\"chunk\",\"message\":\"H\\n\u{2028}\u{1f600}\"}",
            ),
            (
                Event::Reasoning("r".into()),
                r#"{"type":"reasoning","message":"r"}"#,
            ),
            (
                Event::Refusal("n".into()),
                r#"{"type":"refusal","message":"n"}"#,
            ),
            (
                Event::ToolCall(Box::new(call)),
                r#"{"type":"tool_call","message":"","index":1,"id":"call_1","name":"f","arguments":"{\"ci"}"#,
            ),
            (
                Event::ToolCall(Box::new(rest)),
                r#"{"type":"tool_call","message":"","index":1,"arguments":"{\"ci"}"#,
            ),
            (
                Event::End(Box::new(end.clone())),
                r#"{"type":"end","message":"","finish_reason":"stop","usage":{"input_tokens":12,"output_tokens":34},"model":"gpt","provider":"openai"}"#,
            ),
            (
                Event::End(Box::new(End {
                    usage: Some(full),
                    attempts: vec![attempt],
                    ..end.clone()
                })),
                r#"{"type":"end","message":"","finish_reason":"stop","usage":{"input_tokens":12,"output_tokens":34,"reasoning_tokens":1,"cached_tokens":2,"estimated":true},"model":"gpt","provider":"openai","attempts":[{"code":"provider_timeout","model":"m","provider":"a"}]}"#,
            ),
            (
                Event::End(Box::new(End { usage: None, ..end })),
                r#"{"type":"end","message":"","finish_reason":"stop","usage":null,"model":"gpt","provider":"openai"}"#,
            ),
            (
                Event::Error(Box::new(failure)),
                r#"{"type":"error","message":"stopped","code":"shutdown","retryable":true}"#,
            ),
            (
                Event::Data(br#"{"a":1}"#.to_vec().into(), None),
                r#"{"a":1}"#,
            ),
        ] {
            assert_eq!(json(&event), want);
            assert_eq!(
                event.kind().is_terminal(),
                matches!(event, Event::End(_) | Event::Error(_))
            );
        }
    }
}
