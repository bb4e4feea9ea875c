//! The provider of kind `ollama`: the native chat API of Ollama, which answers with one JSON object
//! a line.
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/api/chat
//!   bytes ──► http_provider (HTTP) ──► ndjson (lines) ──► lines (JSON) ──► outputs
//! ```
//!
//! It has no keys beside those that every provider takes. The base URL is `http://127.0.0.1:11434`
//! where none is given; a key is sent as `Authorization: Bearer`, which Ollama's cloud wants.
//!
//! What the request model has and Ollama has not: `user`, `metadata`, the `name` of a speaker and
//! `strict` of a tool are left out. Images are taken as data only, and a tool cannot be demanded.
//! `keep_alive`, `options.num_ctx` and the like go into `extra`.

mod lines;
mod request;

use lmserver_runtime::http_provider::{Api, Auth, Defaults, Format, Instance, Question};
use lmserver_runtime::plugin::provider::{
    ChatRequest, PluginSection, Provider, ProviderError, ProviderSettings, StartCx, Upstream,
};

use crate::lines::Lines;

/// Opens an instance; see the crate's documentation for its keys.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let defaults = Defaults {
        base_url: Some("http://127.0.0.1:11434"),
        key_variable: None,
        auth: Auth::Bearer,
        accept: "application/x-ndjson",
    };
    Some(Instance::open(settings, &defaults, section)?.provider(Ollama))
}

struct Ollama;

impl Api for Ollama {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        _: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let body = request::body(&Question::new(request, "ollama"), model)?;
        Ok(instance.post("/api/chat", &body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(Lines::new(seed))
    }
}
