//! The formats of the providers: a voice puts what is said into the events of one of them.

use lmserver_runtime::event::write_json_string;

use super::script::{Call, Script, Token};
use super::settings::{Finish, Settings};

mod bedrock;
mod chat;
mod cohere;
pub(super) mod error;
mod gemini;
mod messages;
mod ollama;
mod responses;

/// A provider's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI Chat Completions, and all who are compatible.
    Chat,
    /// The same at a deployment's path, as Azure has it.
    Azure,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
    Gemini,
    /// Ollama's own.
    Ollama,
    /// Cohere, version 2.
    Cohere,
    /// Bedrock ConverseStream.
    Bedrock,
}

impl Dialect {
    /// The format that is spoken at a path, wherever a provider's base URL begins.
    pub(super) fn at(path: &str) -> Option<Self> {
        let ends = |end: &str| path.ends_with(end);
        Some(if ends("/chat/completions") {
            if path.contains("/deployments/") {
                Self::Azure
            } else {
                Self::Chat
            }
        } else if ends("/responses") {
            Self::Responses
        } else if ends("/messages") {
            Self::Messages
        } else if path.contains("/models/")
            && (ends(":streamGenerateContent") || ends(":generateContent"))
        {
            Self::Gemini
        } else if ends("/api/chat") {
            Self::Ollama
        } else if ends("/v2/chat") {
            Self::Cohere
        } else if path.contains("/model/") && (ends("/converse-stream") || ends("/converse")) {
            Self::Bedrock
        } else {
            return None;
        })
    }

    /// The content type of a stream.
    fn content_type(self) -> &'static str {
        match self {
            Self::Ollama => "application/x-ndjson",
            Self::Bedrock => "application/vnd.amazon.eventstream",
            _ => "text/event-stream; charset=utf-8",
        }
    }
}

/// What is said next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Say<'a> {
    /// What stands before the first token.
    Open,
    Reasoning(&'a str),
    Text(&'a str),
    Refusal(&'a str),
    /// The call of this number begins.
    Call(usize, &'a Call),
    /// A fragment of its arguments.
    Arguments(usize, &'a str),
    /// The finish reason.
    Finish,
    /// The format's end marker.
    Mark,
    /// An error of the kind that has this status.
    Error(u16),
    /// An event that is no JSON.
    BadJson,
    /// A sign of life.
    Comment,
}

/// What kind of block of content is open, in the formats that have such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Reasoning,
    Text,
    Refusal,
    Call(usize),
}

/// Says one answer in one format.
#[derive(Debug)]
pub(super) struct Voice {
    dialect: Dialect,
    id: String,
    model: String,
    /// Seconds since 1970.
    created: u64,
    line_end: &'static str,
    /// How the answer ends.
    finish: Finish,
    has_usage: bool,
    input_tokens: usize,
    output_tokens: usize,
    /// Events so far, where the format counts them.
    sequence: u64,
    /// The open block, and how many stood before it.
    block: Option<Block>,
    blocks: usize,
    /// What the open block holds, in the formats that repeat it at its end. Bounded.
    text: String,
    /// Finished items, in the formats that repeat them at the end.
    items: Vec<String>,
    /// The open call's id and name, for the same.
    call: (String, String),
    /// Gemini: events, and not the pieces of an array?
    wants_events: bool,
}

impl Voice {
    pub(super) fn new(
        dialect: Dialect,
        number: u32,
        model: &str,
        created: u64,
        settings: &Settings,
        script: &Script,
    ) -> Self {
        let native = match dialect {
            Dialect::Gemini => "\r\n",
            _ => "\n",
        };
        Self {
            dialect,
            id: format!("fake{number}"),
            model: model.to_owned(),
            created,
            line_end: settings.line_end.unwrap_or(native),
            finish: script.finish,
            has_usage: settings.has_usage,
            input_tokens: script.input_tokens,
            output_tokens: 0,
            sequence: 0,
            block: None,
            blocks: 0,
            text: String::new(),
            items: Vec::new(),
            call: Default::default(),
            wants_events: true,
        }
    }

    /// The answer is no stream of events: Gemini's array, and a chat whose usage is not asked for.
    pub(super) fn adapt(&mut self, wants_events: bool, wants_usage: bool) {
        self.wants_events = wants_events;
        self.has_usage &= wants_usage;
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.dialect {
            Dialect::Gemini if !self.wants_events => "application/json; charset=UTF-8",
            dialect => dialect.content_type(),
        }
    }

    /// Writes what is said.
    pub(super) fn say(&mut self, say: &Say<'_>, out: &mut Vec<u8>) {
        if matches!(
            say,
            Say::Text(_) | Say::Reasoning(_) | Say::Refusal(_) | Say::Call(..) | Say::Arguments(..)
        ) {
            self.output_tokens += 1;
        }
        match (self.dialect, say) {
            (Dialect::Ollama, Say::Comment) => out.push(b'\n'),
            (Dialect::Bedrock, _) => bedrock::say(self, say, out),
            (_, Say::Comment) => self.line(": still here", out),
            (Dialect::Ollama, Say::BadJson) => self.line(BAD_JSON, out),
            (_, Say::BadJson) => self.event(None, BAD_JSON, out),
            (Dialect::Chat | Dialect::Azure, _) => chat::say(self, say, out),
            (Dialect::Responses, _) => responses::say(self, say, out),
            (Dialect::Messages, _) => messages::say(self, say, out),
            (Dialect::Gemini, _) => gemini::say(self, say, out),
            (Dialect::Ollama, _) => ollama::say(self, say, out),
            (Dialect::Cohere, _) => cohere::say(self, say, out),
        }
    }

    /// Writes a token.
    pub(super) fn say_token(&mut self, token: &Token, script: &Script, out: &mut Vec<u8>) {
        match token {
            Token::Reasoning(text) => self.say(&Say::Reasoning(text), out),
            Token::Text(text) => self.say(&Say::Text(text), out),
            Token::Refusal(text) => self.say(&Say::Refusal(text), out),
            Token::Call(index) => {
                if let Some(call) = script.calls.get(*index) {
                    self.say(&Say::Call(*index, call), out);
                }
            }
            Token::Arguments(index, text) => self.say(&Say::Arguments(*index, text), out),
        }
    }

    /// A server-sent event.
    fn event(&self, name: Option<&str>, data: &str, out: &mut Vec<u8>) {
        for (field, value) in [("event: ", name), ("data: ", Some(data))] {
            if let Some(value) = value {
                out.extend_from_slice(field.as_bytes());
                out.extend_from_slice(value.as_bytes());
                out.extend_from_slice(self.line_end.as_bytes());
            }
        }
        out.extend_from_slice(self.line_end.as_bytes());
    }

    /// A line of its own, with an empty one behind it in streams of events.
    fn line(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(self.line_end.as_bytes());
        if self.dialect != Dialect::Ollama {
            out.extend_from_slice(self.line_end.as_bytes());
        }
    }

    /// Opens a block, if it is not open; the block that must be closed before, if there is one,
    /// and whether this one is new.
    fn enter(&mut self, block: Option<Block>) -> (Option<Block>, bool) {
        if self.block == block {
            return (None, false);
        }
        (std::mem::replace(&mut self.block, block), block.is_some())
    }

    /// Keeps what the open block holds, as far as there is room.
    fn keep(&mut self, text: &str) {
        if self.text.len() + text.len() <= KEPT_BYTES {
            self.text.push_str(text);
        }
    }

    /// What `has_usage` allows to be told, as JSON.
    fn usage(&self, template: &str) -> String {
        if !self.has_usage {
            return "null".to_owned();
        }
        let total = self.input_tokens + self.output_tokens;
        let numbers = [self.input_tokens, self.output_tokens, total].map(|n| n.to_string());
        fill(template, &numbers.each_ref().map(String::as_str))
    }

    /// The raw finish reason, of `stop`, `length`, `tool_calls` and `content_filter` in the
    /// format's own words; none where it is not said.
    fn reason<'a>(&self, words: [&'a str; 4]) -> Option<&'a str> {
        let [stop, length, calls, filter] = words;
        Some(match self.finish {
            Finish::Stop => stop,
            Finish::Length => length,
            Finish::Calls => calls,
            Finish::Filter => filter,
            Finish::None => return None,
        })
    }
}

/// All that an answer says.
#[derive(Debug)]
struct Said<'a> {
    reasoning: String,
    text: String,
    refusal: String,
    calls: &'a [Call],
}

/// The body of an answer that is no stream.
pub(super) fn whole(voice: &mut Voice, script: &Script) -> String {
    let mut said = Said {
        reasoning: String::new(),
        text: String::new(),
        refusal: String::new(),
        calls: &script.calls,
    };
    // An answer without end has one here.
    for at in 0..script.len() {
        let Some(token) = script.token(at) else { break };
        if said.text.len() > KEPT_BYTES {
            break;
        }
        // This counts what is said, and puts it into the items of Responses.
        voice.say_token(&token, script, &mut Vec::new());
        match token {
            Token::Reasoning(text) => said.reasoning.push_str(&text),
            Token::Text(text) => said.text.push_str(&text),
            Token::Refusal(text) => said.refusal.push_str(&text),
            Token::Call(_) | Token::Arguments(..) => {}
        }
    }
    voice.say(&Say::Finish, &mut Vec::new());
    match voice.dialect {
        Dialect::Chat | Dialect::Azure => chat::whole(voice, &said),
        Dialect::Responses => responses::whole(voice),
        Dialect::Messages => messages::whole(voice, &said),
        Dialect::Gemini => gemini::whole(voice, &said),
        Dialect::Ollama => ollama::whole(voice, &said),
        Dialect::Cohere => cohere::whole(voice, &said),
        Dialect::Bedrock => bedrock::whole(voice, &said),
    }
}

/// Puts the arguments where the template has a `$`.
fn fill(template: &str, arguments: &[&str]) -> String {
    let mut arguments = arguments.iter();
    let mut filled = String::with_capacity(template.len() + 64);
    for (at, piece) in template.split('$').enumerate() {
        if at > 0 {
            filled.push_str(arguments.next().copied().unwrap_or_default());
        }
        filled.push_str(piece);
    }
    debug_assert!(
        arguments.next().is_none(),
        "an argument too many: {template}"
    );
    filled
}

/// A JSON string.
pub(super) fn quote(text: &str) -> String {
    let mut json = Vec::with_capacity(text.len() + 2);
    write_json_string(text, &mut json);
    String::from_utf8(json).unwrap_or_default()
}

/// A JSON string, or null for none and for nothing.
fn quote_or_null(text: Option<&str>) -> String {
    match text {
        None | Some("") => "null".to_owned(),
        Some(text) => quote(text),
    }
}

/// The elements of an array.
fn list(elements: impl IntoIterator<Item = String>) -> String {
    let elements: Vec<String> = elements.into_iter().collect();
    elements.join(",")
}

/// A document that breaks off.
const BAD_JSON: &str = r#"{"bad":"#;

/// Bytes of a block that are kept to be repeated.
const KEPT_BYTES: usize = 1 << 20;
