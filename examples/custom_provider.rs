//! A provider of one's own in a binary of one's own: Cloudflare's Workers AI, which answers with
//! server-sent events of its own form. Run it with
//! `cargo run --example custom_provider -- --config my.toml`:
//!
//! ```toml
//! [provider.workers-ai]
//! base_url = "https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai"
//! api_key = "env:CLOUDFLARE_API_TOKEN"
//! [model.default]
//! targets = ["workers-ai/@cf/meta/llama-3.1-8b-instruct"]
//! ```
use std::process::ExitCode;

use lmserver::Plugins;
use lmserver::runtime::http_provider::{
    Answer, Api, Auth, Defaults, EventStream, Events, Format, Instance, Question, Role, Speaker,
    json,
};
use lmserver::runtime::plugin::provider::*;
use serde_json::{Map, Value};

/// The built-in plugins and this one. Its name is the `kind` of a configured provider.
pub(crate) fn plugins() -> Plugins {
    let mut plugins = Plugins::builtin();
    plugins.provider("workers-ai", open);
    plugins
}

/// Opens one `[provider.NAME]`. `settings` has the keys of all providers; a plugin's own keys are
/// taken from `section`, to which mistakes are told as well: `check` shows them with their line.
fn open(settings: ProviderSettings, section: &mut dyn PluginSection) -> Option<Box<dyn Provider>> {
    let defaults = Defaults {
        base_url: None, // there is one for each account, so the section must give it
        key_variable: None,
        auth: Auth::Bearer,
        accept: "text/event-stream",
    };
    Some(Instance::open(settings, &defaults, section)?.provider(WorkersAi))
}

/// What the instance is asked for: one a section, immutable, shared by all requests.
struct WorkersAi;

impl Api for WorkersAi {
    /// Writes the request; the engine connects, sends it, keeps the timers and tries again.
    fn ask(&self, at: &Instance, ask: &ChatRequest, model: &str, _: StartCx) -> Asked {
        let question = Question::new(ask, "workers-ai");
        // What it cannot express is refused in clear words, before anything is sent.
        question.refuse(ask.tools.is_some(), "tools")?;
        question.refuse(ask.response_format.is_some(), "response_format")?;
        question.refuse(!ask.stop.is_empty(), "stop")?;
        let mut messages = Vec::new();
        for turn in question.turns()? {
            let role = match turn.role {
                Role::System | Role::Developer => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => return Err(question.cannot("the result of a tool")),
            };
            let text = turn.text();
            let text = text.ok_or_else(|| question.cannot("anything but text in a message"))?;
            messages.push(serde_json::json!({"role": role, "content": text}));
        }
        let mut body = Map::from_iter([("messages".to_owned(), Value::from(messages))]);
        let limit = ask.max_tokens.map(Value::from);
        body.extend(limit.map(|limit| ("max_tokens".to_owned(), limit)));
        json::merge(&mut body, &ask.extra);
        body.insert("stream".into(), true.into());
        Ok(at.post(&format!("/run/{model}"), &body.into()))
    }

    /// The reader of one answer: one an attempt. Ids that are made up for calls need the seed.
    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(EventStream::new(Box::new(Words(Answer::new(seed)))))
    }
}

/// The events of an answer. HTTP, its errors and the cutting of events are done around it.
struct Words(Answer);

impl Events for Words {
    /// Reads `{"response":"Hel"}`. False: it is nothing of this kind.
    fn event(&mut self, _: &str, data: &[u8], on: Speaker<'_>, out: &mut Vec<Output>) -> Known {
        let Some(event) = json::value(data) else {
            return Ok(false);
        };
        self.0.chunk(json::str_at(&event, "/response"), out);
        on.event_error(&event, false).map_or(Ok(true), Err)
    }

    /// There is no finish reason: `[DONE]` is the end, and the end of the body alone is none.
    fn done(&mut self, on: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.0.conclude(on, out)
    }

    fn document(&mut self, it: &Value, _: &[u8], on: Speaker<'_>, _: &mut Vec<Output>) -> Known {
        on.event_error(it, true).map_or(Ok(false), Err)
    }

    fn end(&mut self, on: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.0.end(on, out)
    }

    fn has_ended(&self) -> bool {
        self.0.has_ended()
    }
}

type Asked = Result<Upstream, ProviderError>;
type Known = Result<bool, ProviderError>;

fn main() -> ExitCode {
    lmserver::run(plugins(), std::env::args_os())
}
