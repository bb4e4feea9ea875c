//! The provider of kind `cohere`: Cohere's chat API, version 2.
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/v2/chat
//!   bytes ──► http_provider (HTTP, event stream) ──► events (JSON) ──► outputs
//! ```
//!
//! It has no keys beside those that every provider takes. The base URL is
//! `https://api.cohere.com` where none is given; the key is sent as `Authorization: Bearer`.
//!
//! What the request model has and Cohere has not: `user`, `metadata` and the `name` of a speaker
//! are left out. A `reasoning_effort` becomes a budget of tokens for thinking; a tool that must be
//! called is offered alone.

mod events;
mod request;

use std::sync::Arc;

use lmserver_runtime::http_provider::{
    Auth, Defaults, EventStream, Instance, Question, Seeds, Stream,
};
use lmserver_runtime::plugin::provider::{
    ChatRequest, Endpoint, PluginSection, Provider, ProviderError, ProviderSettings, Start, StartCx,
};

use crate::events::Events;

/// Opens an instance; see the crate's documentation for its keys.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let defaults = Defaults {
        base_url: Some("https://api.cohere.com"),
        key_variable: Some("CO_API_KEY"),
        auth: Auth::Bearer,
        accept: "text/event-stream",
    };
    let instance = Instance::open(settings, &defaults, section)?;
    Some(Box::new(Cohere {
        path: if instance.path().ends_with("/v2") {
            "/chat"
        } else {
            "/v2/chat"
        },
        instance: Arc::new(instance),
        seeds: Seeds::default(),
    }))
}

struct Cohere {
    instance: Arc<Instance>,
    /// Behind the base URL, which people write with and without the version.
    path: &'static str,
    /// Make the ids that are made up for tool calls differ.
    seeds: Seeds,
}

impl Provider for Cohere {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.instance.endpoint())
    }

    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let body = request::body(&Question::new(request, "cohere"), model)?;
        let seed = self.seeds.next(cx);
        let format = EventStream::new(Box::new(Events::new(seed)));
        Ok(Start {
            generation: Box::new(Stream::new(Arc::clone(&self.instance), Box::new(format))),
            upstream: Some(self.instance.post(self.path, &body)),
        })
    }
}
