//! The provider of kind `openai`: Chat Completions, streamed, from OpenAI and every server that
//! speaks like it.
//!
//! ```text
//!   ChatRequest ──► request ──► POST {base_url}/chat/completions
//!   bytes ──► stream (HTTP) ──► answer (event stream) ──► chunk (JSON) ──► outputs
//!                     └───────────── error ◄──────────────────┘
//! ```
//!
//! Keys of its section beside those that every provider takes:
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `max_tokens_field` | `max_tokens` or `max_completion_tokens` | the latter for OpenAI and Azure |
//! | `include_usage` | ask for the token counts (`stream_options`) | true, false for Mistral |
//! | `organization`, `project` | OpenAI's header fields | unset |
//!
//! A new way in which some server deviates belongs into the narrowest file: its JSON into `chunk`,
//! its numbering of tool calls into `tool_calls`, its errors into `error`, what it refuses to be
//! sent into `instance::Dialect`.

mod answer;
mod chunk;
mod error;
mod finish;
mod hints;
mod instance;
mod redact;
mod request;
mod stream;
mod tool_calls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lmserver_runtime::plugin::provider::{
    ChatRequest, Endpoint, PluginSection, Provider, ProviderError, ProviderSettings, Start,
    StartCx, Upstream,
};

use crate::instance::Instance;
use crate::stream::Stream;

/// Opens an instance; see the crate's documentation for its keys.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let instance = Arc::new(Instance::open(settings, section)?);
    Some(Box::new(ChatCompletions {
        instance,
        started: AtomicU32::new(0),
    }))
}

struct ChatCompletions {
    instance: Arc<Instance>,
    /// Generations so far: makes the ids that are made up for their tool calls differ.
    started: AtomicU32,
}

impl Provider for ChatCompletions {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.instance.endpoint)
    }

    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let count = self.started.fetch_add(1, Ordering::Relaxed);
        let seed = cx.now.0.rotate_left(32) ^ u64::from(count);
        Ok(Start {
            generation: Box::new(Stream::new(Arc::clone(&self.instance), seed)),
            upstream: Some(Upstream {
                endpoint: self.instance.endpoint.clone(),
                request: request::write(&self.instance, request, model),
            }),
        })
    }
}
