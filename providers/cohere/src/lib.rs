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

use lmserver_runtime::http_provider::{
    Api, Auth, Defaults, EventStream, Format, Instance, Question,
};
use lmserver_runtime::plugin::provider::{
    ChatRequest, PluginSection, Provider, ProviderError, ProviderSettings, StartCx, Upstream,
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
    Some(instance.provider(Cohere))
}

struct Cohere;

impl Api for Cohere {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        _: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let body = request::body(&Question::new(request, "cohere"), model)?;
        // People write the base URL with and without the version.
        let has_version = instance.path().ends_with("/v2");
        let path = if has_version { "/chat" } else { "/v2/chat" };
        Ok(instance.post(path, &body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(EventStream::new(Box::new(Events::new(seed))))
    }
}
