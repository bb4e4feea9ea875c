//! A provider of one's own in a binary of one's own: the native API of Ollama, which answers with
//! one JSON object a line. Run it with `cargo run --example custom_provider -- --config my.toml`:
//!
//! ```toml
//! [provider.ollama]
//! base_url = "http://127.0.0.1:11434"
//! [model.default]
//! targets = ["ollama/llama3.2"]
//! ```
use std::process::ExitCode;

use lmserver::Plugins;
use lmserver::proto::http1::client::{Exchange, ResponseEvent, write_request};
use lmserver::proto::http1::{Limits, Method};
use lmserver::runtime::event::{ErrorCode, FinishReason};
use lmserver::runtime::plugin::provider::*;
use serde_json::{Value, json};

/// The built-in plugins and this one. Its name is the `kind` of a configured provider.
pub(crate) fn plugins() -> Plugins {
    let mut plugins = Plugins::builtin();
    plugins.provider("ollama", open);
    plugins
}

/// Opens one `[provider.NAME]`. `settings` has the keys of all providers; a plugin's own keys are
/// taken from `section`, to which mistakes are told as well: `check` shows them with their line.
fn open(settings: ProviderSettings, section: &mut dyn PluginSection) -> Option<Box<dyn Provider>> {
    if settings.base_url.is_none() {
        section.reject("base_url", "is missing; write http://host:11434");
    }
    Some(Box::new(Ollama(settings.base_url?)))
}

/// The factory: one a section, immutable, shared by all requests.
struct Ollama(BaseUrl);

impl Provider for Ollama {
    /// Decides on the proxy, and on the warning about a key over plain HTTP.
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.0.endpoint)
    }

    /// Writes the request; the engine connects, sends it, and keeps the timers.
    fn start(&self, ask: &ChatRequest, model: &str, _: StartCx) -> Result<Start, ProviderError> {
        let turn = |role: &str, text: &str| json!({"role": role, "content": text});
        let mut messages = Vec::from_iter(ask.system.iter().map(|text| turn("system", text)));
        for message in &ask.messages {
            let Content::Text(text) = &message.content else {
                return Err(failure(ErrorCode::ProviderBadRequest, "takes text only"));
            };
            messages.push(turn(&message.role, text));
        }
        let body = json!({"model": model, "messages": messages}).to_string();
        let (target, host) = (format!("{}/api/chat", self.0.path), self.0.host_field());
        let (method, fields) = (Method::Post, [("Content-Type", "application/json")]);
        let (mut out, endpoint) = (Vec::new(), self.0.endpoint.clone());
        write_request(&mut out, &method, &target, &host, fields, body.as_bytes());
        Ok(Start {
            generation: Box::new(Lines(Exchange::new(&method), Vec::new())),
            upstream: Some(Upstream {
                endpoint,
                request: out,
            }),
        })
    }
}

/// The machine: one an attempt. HTTP, and of the last line what has come of it.
struct Lines(Exchange, Vec<u8>);

impl Generation for Lines {
    /// Bytes come cut anywhere. What they complete goes to `out` before an error is returned.
    fn receive(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.0.feed(bytes);
        loop {
            let event = self.0.next_event(&Limits::default());
            match event.map_err(|error| failure(ErrorCode::ProviderError, error))? {
                None => return Ok(()),
                Some(ResponseEvent::Head(head)) if head.status != 200 => {
                    return Err(failure(ErrorCode::ProviderError, head.status));
                }
                Some(ResponseEvent::Head(_)) => {}
                Some(ResponseEvent::Body(data)) => self.1.extend_from_slice(data),
                Some(ResponseEvent::End { .. }) => return self.closed(out),
            }
            while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                if read(self.1.drain(..=end).as_slice(), out)? {
                    return Ok(());
                }
            }
            // Whatever a peer can make grow has a bound.
            if self.1.len() > 1 << 20 {
                return Err(failure(ErrorCode::TooLarge, "sent a line of over 1 MiB"));
            }
        }
    }

    /// The engine does not ask this after `End`, so it can only mean that the end is missing.
    fn closed(&mut self, _: &mut Vec<Output>) -> Result<(), ProviderError> {
        Err(failure(ErrorCode::ProviderTruncated, "was cut short"))
    }
}

/// Reads `{"message":{"content":"Hel"},"done":false}`; true after the one that is `done`.
fn read(line: &[u8], out: &mut Vec<Output>) -> Result<bool, ProviderError> {
    let line: Value =
        serde_json::from_slice(line).map_err(|error| failure(ErrorCode::ProviderError, error))?;
    if let Some(error) = line["error"].as_str() {
        return Err(failure(ErrorCode::ProviderError, error));
    }
    out.push(match line["message"]["content"].as_str() {
        Some(text) if !text.is_empty() => Output::Chunk(text.into()),
        _ => Output::Alive,
    });
    let is_last = line["done"] == true;
    out.extend(is_last.then_some(Output::End {
        finish_reason: FinishReason::Stop,
        usage: None,
    }));
    Ok(is_last)
}

fn failure(code: ErrorCode, what: impl std::fmt::Display) -> ProviderError {
    ProviderError::new(code, format!("ollama: {what}"))
}

fn main() -> ExitCode {
    lmserver::run(plugins(), std::env::args_os())
}
