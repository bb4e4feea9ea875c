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
    let instance = Instance::open(settings, &defaults, section)?;
    Some(instance.provider(Gemini { is_vertex }))
}

struct Gemini {
    is_vertex: bool,
}

impl Api for Gemini {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        _: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let question = Question::new(request, "gemini");
        let body = request::body(&question, model, self.is_vertex)?;
        Ok(instance.post(&request::path(model), &body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(EventStream::new(Box::new(Events::new(seed))))
    }
}
