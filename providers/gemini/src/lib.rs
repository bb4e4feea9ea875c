//! The provider of kind `gemini`: Google's `streamGenerateContent`, of the Gemini API and of
//! Vertex AI.
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/models/{model}:streamGenerateContent?alt=sse
//!   bytes ──► http_provider (HTTP, event stream) ──► events (JSON) ──► outputs
//! ```
//!
//! It has no keys beside those that every provider takes. The base URL is the Gemini API's where
//! none is given; the key goes into `x-goog-api-key`. For Vertex AI the base URL is
//! `https://{region}-aiplatform.googleapis.com/v1/projects/{p}/locations/{region}/publishers/google`,
//! and the key, an access token, is sent as `Authorization: Bearer`.
//!
//! What the request model has and Gemini has not: `user`, `metadata` and the `name` of a speaker
//! are left out. All system and developer messages are its one system instruction.

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
    let is_vertex = settings.base_url.as_ref().is_some_and(|url| {
        let host = url.endpoint.host.to_ascii_lowercase();
        host.ends_with("aiplatform.googleapis.com")
    });
    let defaults = Defaults {
        base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
        key_variable: Some("GEMINI_API_KEY"),
        auth: if is_vertex {
            Auth::Bearer
        } else {
            Auth::Field("x-goog-api-key")
        },
        accept: "text/event-stream",
    };
    Some(Box::new(Gemini {
        instance: Arc::new(Instance::open(settings, &defaults, section)?),
        is_vertex,
        seeds: Seeds::default(),
    }))
}

struct Gemini {
    instance: Arc<Instance>,
    is_vertex: bool,
    /// Make the ids that are made up for tool calls differ.
    seeds: Seeds,
}

impl Provider for Gemini {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.instance.endpoint())
    }

    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let question = Question::new(request, "gemini");
        let body = request::body(&question, model, self.is_vertex)?;
        let seed = self.seeds.next(cx);
        let format = EventStream::new(Box::new(Events::new(seed)));
        Ok(Start {
            generation: Box::new(Stream::new(Arc::clone(&self.instance), Box::new(format))),
            upstream: Some(self.instance.post(&request::path(model), &body)),
        })
    }
}
