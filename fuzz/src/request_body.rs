//! The bodies in which clients ask: those of this server's own API and of the APIs of others.
//!
//! ```text
//!   body ──► Dialect::read ─────────────► Asked or Mistake ──┐
//!     ├────► Api, with an engine on stage ► Submission or error ┴ agree
//!     └────► with a member that says nothing ► the same again
//! ```
//!
//! - A member that says nothing changes nothing. Its key has an escape, which the readers of plain
//!   questions give up: so what such a reader takes, the general reader of the dialect takes too,
//!   and reads the same.
//! - What is read is within the limits, and as providers may rely on it.
//! - It reads the same when it is written again in the words of its dialect, and a conversation is
//!   gone on with as it was read.
//! - A mistake is told in a bounded message without a secret, and the server's error is the same.
//!
//! Bits 0 to 2 of the mode: the dialect, of [`DIALECTS`]. Bit 3: `~` stands for a long text, as
//! limits are far above what chance makes. Bit 6: the body is [built] of the input.

use lmserver_llm_api::anthropic_messages::Messages;
use lmserver_llm_api::chat_completions::Chat;
use lmserver_llm_api::responses::Responses;
use lmserver_llm_api::ui::UiMessages;
use lmserver_llm_api::{Asked, Dialect, Mistake};
use lmserver_proto::http1::Version;
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::plugin::provider::ChatRequest;
use serde_json::{Map, Value};

use self::server::Server;
use self::written::Words;
use crate::mode;

mod built;
mod conversation;
mod server;
mod sound;
mod written;

/// Where a body is sent, and its dialect. This server's own is read behind the API alone.
const DIALECTS: [(&str, Option<&dyn Dialect>); 5] = [
    ("/api/chat", None),
    ("/v1/chat/completions", Some(&Chat)),
    ("/v1/responses", Some(&Responses)),
    ("/v1/messages", Some(&Messages)),
    ("/api/ui/chat", Some(&UiMessages)),
];

/// Places in [`DIALECTS`].
const OWN: usize = 0;
const CHAT: usize = 1;
const RESPONSES: usize = 2;
const MESSAGES: usize = 3;

/// Bytes of a reader's message: what is wrong, and a piece of what was sent.
const MESSAGE_MAX: usize = 1024;

/// Bytes of the server's message; that of an unknown model has its name, escaped.
const ERROR_MAX: usize = 2048;

thread_local! {
    static SERVER: Server = Server::start(DIALECTS.map(|(path, _)| path));
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let body = match bits & 0x48 {
        0 => input.to_vec(),
        8 => stretched(input),
        _ => built::body(input),
    };
    let index = usize::from(bits & 7) % DIALECTS.len();
    SERVER.with(|server| Reader { index, server }.check(&body));
}

/// The input with a long text for each of the first few marks.
fn stretched(input: &[u8]) -> Vec<u8> {
    let mut pieces = input.splitn(5, |byte| *byte == b'~');
    let mut out = pieces.next().unwrap_or_default().to_vec();
    for piece in pieces {
        out.resize(out.len() + 1500, b'x');
        out.extend_from_slice(piece);
    }
    out
}

/// One dialect, read alone and behind the API.
struct Reader<'a> {
    index: usize,
    server: &'a Server,
}

/// What a body says.
#[derive(Debug, PartialEq)]
struct Said {
    model: Box<str>,
    request: Box<ChatRequest>,
    /// All else, as text.
    rest: String,
}

/// Why it is refused.
#[derive(Debug, PartialEq)]
struct Refused {
    message: String,
    param: Option<String>,
}

impl Reader<'_> {
    fn check(&self, body: &[u8]) {
        let outcome = self.read(body);
        if let Some(other) = with_nothing_more(body) {
            self.compare(&outcome, &self.read(&other), &other);
        }
        let Ok(said) = outcome else { return };
        let words = match self.index {
            OWN => Words::Own,
            CHAT => Words::Chat,
            _ => return,
        };
        if let Some(written) = written::body(words, &said.model, &said.request) {
            let again = self.read(written.as_bytes());
            let again = again.unwrap_or_else(|refused| panic!("{written}: {refused:?}"));
            assert_eq!(
                (&again.model, &again.request),
                (&said.model, &said.request),
                "{written}"
            );
        }
    }

    /// Reads a body in both ways that there are, and checks what comes of it.
    fn read(&self, body: &[u8]) -> Result<Said, Refused> {
        let Some((_, Some(dialect))) = DIALECTS.get(self.index) else {
            return self.ask(body, &Snapshot::default());
        };
        let asked = match dialect.read(self.server.head(self.index), body) {
            Ok(asked) => asked,
            Err(Mistake { message, param }) => {
                let refused = Refused { message, param };
                refused.check(body, MESSAGE_MAX);
                let answer = self.ask(body, &Snapshot::default());
                let param = refused.param.clone().filter(|_| self.tells_params());
                let message = refused.message.clone();
                assert_eq!(answer, Err(Refused { message, param }));
                return Err(refused);
            }
        };
        sound::asked(&asked, body);
        if self.index == RESPONSES {
            conversation::check(&asked);
        }
        let previous = conversation::answered(&asked);
        if let Ok(submitted) = self.ask(body, &previous) {
            assert_eq!(submitted.model, named(&asked));
            let is_alone = asked.previous.is_none() && asked.referred.is_empty();
            assert!(!is_alone || submitted.request == asked.request);
        }
        Ok(said(asked))
    }

    /// Sends a body; `previous` is what stands in any channel that it goes on from.
    fn ask(&self, body: &[u8], previous: &Snapshot) -> Result<Said, Refused> {
        match self.server.ask(self.index, body, previous) {
            Ok(submission) => {
                sound::question(&submission.request, false);
                Ok(Said {
                    model: submission.model,
                    request: submission.request,
                    rest: String::new(),
                })
            }
            Err(refused) => {
                refused.check(body, ERROR_MAX);
                Err(refused)
            }
        }
    }

    /// The errors of some APIs have a place for the key concerned.
    fn tells_params(&self) -> bool {
        DIALECTS[self.index].0.starts_with("/v1/") && self.index != MESSAGES
    }

    fn compare(&self, one: &Result<Said, Refused>, other: &Result<Said, Refused>, body: &[u8]) {
        let is_same = match (one, other) {
            // Where the text is no JSON, the message says at which byte.
            (Err(one), Err(other)) if one.message.starts_with("the body ") => {
                other.message.starts_with("the body ")
            }
            (one, other) => one == other,
        };
        let path = DIALECTS[self.index].0;
        let body = body.escape_ascii();
        assert!(is_same, "{path}: {one:?}\nis read with {body}: {other:?}");
    }
}

impl Refused {
    fn check(&self, body: &[u8], most: usize) {
        let Self { message, param } = self;
        assert!(!message.is_empty());
        assert!(message.len() <= most, "{} bytes: {message}", message.len());
        let param = param.as_deref().unwrap_or_default();
        assert!(param.len() <= 200, "{} bytes: {param}", param.len());
        for secret in server::SECRETS {
            assert!(
                !message.contains(secret) || sends(body, secret),
                "{message}"
            );
        }
    }
}

/// Is it in the body itself?
fn sends(body: &[u8], secret: &str) -> bool {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    value.is_some_and(|value| value.to_string().contains(secret))
        || body.escape_ascii().to_string().contains(secret)
}

/// The body with `"user":null` in front of its members, the key escaped. None, if that could make a
/// difference: this server's own API refuses a key that stands there twice, and too many.
fn with_nothing_more(body: &[u8]) -> Option<Vec<u8>> {
    let at = body.iter().position(|byte| !b" \n\r\t".contains(byte))?;
    let (before, members) = body.split_at_checked(at + 1)?;
    if !before.ends_with(b"{") {
        return None;
    }
    let entries: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    let mut comma: &[u8] = b",";
    if let Some(entries) = entries {
        if entries.contains_key("user") || entries.len() > 60 {
            return None;
        }
        if entries.is_empty() {
            comma = b"";
        }
    }
    Some([before, br#""\u0075ser":null"#, comma, members].concat())
}

fn named(asked: &Asked) -> Box<str> {
    asked.model.as_deref().unwrap_or("default").into()
}

fn said(asked: Asked) -> Said {
    let telling = &asked.telling;
    let encodings = [Version::Http10, Version::Http11];
    let rest = format!(
        "{} {} {} {} {:?} {:?} {:?} {}",
        asked.count,
        asked.is_stream,
        asked.is_background,
        asked.note.escape_ascii(),
        asked.previous,
        asked.referred,
        encodings.map(|version| telling.encoding(version).name()),
        telling.content_type(),
    );
    Said {
        model: named(&asked),
        request: asked.request,
        rest,
    }
}
