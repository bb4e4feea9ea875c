//! A question, its channel, and the listening to it until it ends.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write;
use std::time::Duration;

use lmserver_proto::http1::Method;
use lmserver_proto::sse::{Decoder, Item};
use lmserver_runtime::plugin::provider::Secret;
use serde_json::{Value, json};

use super::http::{Answer, Failure, Progress, Server};
use super::printer::{Ending, Printer};

/// A channel that is being listened to.
pub(super) struct Conversation<'a> {
    server: &'a Server,
    channel: String,
    /// What listening needs: the token of the channel, or else the key.
    bearer: Option<Secret>,
    last_event_id: String,
    retry: Duration,
}

impl<'a> Conversation<'a> {
    /// Asks. A connection that is cut before the answer is made again: the `Idempotency-Key`
    /// keeps the question from being asked twice.
    pub(super) fn begin(
        server: &'a Server,
        text: &str,
        model: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut question = json!({ "message": text });
        if let Some(model) = model {
            question["model"] = model.into();
        }
        let (body, once) = (question.to_string(), idempotency_key());
        let mut attempt = 0;
        let document = loop {
            attempt += 1;
            match post(server, &body, &once) {
                Err(Failure::Cut(_)) if attempt < ATTEMPTS => pause(server, FIRST_RETRY)?,
                other => break other?,
            }
        };
        let channel = document
            .get("channel_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if channel.is_empty() || !channel.bytes().all(is_plain) {
            return Err(Failure::NotUnderstood("it names no channel".to_owned()));
        }
        let token = document.get("token").and_then(Value::as_str);
        let bearer = token.map(|token| Secret::new(token.to_owned()));
        Ok(Self {
            server,
            channel: channel.to_owned(),
            bearer: bearer.or_else(|| server.key.clone()),
            last_event_id: String::new(),
            retry: FIRST_RETRY,
        })
    }

    /// Prints the answer as it streams, through as many connections as it takes.
    pub(super) fn follow(&mut self, out: &mut impl Write) -> Result<Ending, Failure> {
        let mut printer = Printer::default();
        let mut failures = 0;
        loop {
            let before = self.last_event_id.clone();
            match self.listen(&mut printer, out) {
                Ok(Some(ending)) => return Ok(ending),
                Ok(None) | Err(Failure::Cut(_) | Failure::Unreachable { .. })
                    if failures < ATTEMPTS || before != self.last_event_id =>
                {
                    failures = if before == self.last_event_id {
                        failures + 1
                    } else {
                        0
                    };
                    if pause(self.server, self.retry).is_err() {
                        return self.cancel();
                    }
                }
                Ok(None) => return Err(Failure::Cut("the server sends nothing more".to_owned())),
                Err(Failure::Interrupted) => return self.cancel(),
                // Whoever read the output has gone: nobody needs the rest.
                Err(Failure::Local(_)) => return self.cancel().map(|_| Ending::Complete),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One connection. `None`: it ended before the answer did.
    fn listen(
        &mut self,
        printer: &mut Printer,
        out: &mut impl Write,
    ) -> Result<Option<Ending>, Failure> {
        let target = format!("/connection/sse?channel={}", self.channel);
        let id = self.last_event_id.clone();
        let bearer = bearer(self.bearer.as_ref());
        let mut fields = vec![("Accept", "text/event-stream")];
        fields.extend(bearer.as_deref().map(|value| ("Authorization", value)));
        fields.extend((!id.is_empty()).then_some(("Last-Event-ID", id.as_str())));
        let mut answer = self.server.send(&Method::Get, &target, &fields, b"")?;
        match answer.head.status {
            200 => {}
            204 => return Ok(Some(Ending::Complete)),
            _ => return Err(refusal(&mut answer, self.server)),
        }
        let mut decoder = Decoder::new(LARGEST_EVENT);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let progress = answer.read(self.server, &mut bytes)?;
            let mut piece = bytes.as_slice();
            while let Some(item) = decoder.next_item(&mut piece)? {
                let Item::Event {
                    data,
                    last_event_id,
                    ..
                } = item
                else {
                    continue;
                };
                let ending = printer.print(data, out)?;
                last_event_id.clone_into(&mut self.last_event_id);
                if ending.is_some() {
                    return Ok(ending);
                }
            }
            self.retry = decoder.retry().unwrap_or(self.retry).min(LONGEST_RETRY);
            if progress == Progress::End {
                return Ok(None);
            }
        }
    }

    /// Ends the generation at the provider.
    fn cancel(&self) -> Result<Ending, Failure> {
        self.server
            .interrupted
            .store(false, std::sync::atomic::Ordering::Relaxed);
        let target = format!("/api/chat/{}", self.channel);
        let bearer = bearer(self.server.key.as_ref().or(self.bearer.as_ref()));
        let fields: Vec<_> = bearer
            .iter()
            .map(|value| ("Authorization", value.as_str()))
            .collect();
        let mut answer = self.server.send(&Method::Delete, &target, &fields, b"")?;
        match answer.head.status {
            // 404 and 410: it has ended and is forgotten.
            200..300 | 404 | 410 => Ok(Ending::Cancelled),
            _ => Err(refusal(&mut answer, self.server)),
        }
    }
}

fn post(server: &Server, body: &str, once: &str) -> Result<Value, Failure> {
    let bearer = bearer(server.key.as_ref());
    let mut fields = vec![
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("Idempotency-Key", once),
    ];
    fields.extend(bearer.as_deref().map(|value| ("Authorization", value)));
    let mut answer = server.send(&Method::Post, "/api/chat", &fields, body.as_bytes())?;
    if answer.head.status != 200 {
        return Err(refusal(&mut answer, server));
    }
    let content = answer.read_all(server)?;
    serde_json::from_slice(&content).map_err(|error| Failure::NotUnderstood(error.to_string()))
}

/// What an error answer says, in its own words where it has some.
fn refusal(answer: &mut Answer, server: &Server) -> Failure {
    let status = answer.head.status;
    let content = match answer.read_all(server) {
        Ok(content) => content,
        Err(failure) => return failure,
    };
    let document: Value = serde_json::from_slice(&content).unwrap_or_default();
    let said = |key| {
        document
            .get("error")
            .and_then(|error| error.get(key))
            .and_then(Value::as_str)
    };
    let message = said("message").unwrap_or("the server gives no reason");
    let code = said("code")
        .map(|code| format!(", {code}"))
        .unwrap_or_default();
    Failure::Refused(format!("{message} (HTTP {status}{code})"))
}

fn bearer(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| format!("Bearer {}", secret.expose()))
}

/// Waits before the next attempt.
fn pause(server: &Server, time: Duration) -> Result<(), Failure> {
    for _ in 0..time.as_millis().div_ceil(STEP.as_millis()) {
        if server.is_interrupted() {
            return Err(Failure::Interrupted);
        }
        std::thread::park_timeout(STEP);
    }
    Ok(())
}

/// Unlike any other of this or another process; it need not be secret.
fn idempotency_key() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("ask-{:016x}{:016x}", random(), random())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.~".contains(&byte)
}

/// Connections that may fail in a row.
const ATTEMPTS: u32 = 10;

/// The wait between connections where the server names none, and the longest it may name.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How long a pause lasts before it looks up for Ctrl-C.
const STEP: Duration = Duration::from_millis(50);

/// Bytes of one event.
const LARGEST_EVENT: usize = 16 << 20;
