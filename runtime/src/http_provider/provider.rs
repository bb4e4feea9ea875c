//! The provider that an [`Instance`] and the plugin's [`Api`] make together.

use std::sync::Arc;

use crate::http_provider::generation::{Format, HttpGeneration};
use crate::http_provider::instance::Instance;
use crate::http_provider::seeds::Seeds;
use crate::plugin::provider::{
    ChatRequest, Endpoint, Provider, ProviderError, Start, StartCx, Upstream,
};

/// What one kind of provider adds: how its server is asked, and how it answers.
pub trait Api: Send + Sync {
    /// Writes the request for an answer of `model`: a body, and [`Instance::post`] to its path.
    ///
    /// # Errors
    ///
    /// What this provider cannot express, see [`Question`](crate::http_provider::Question).
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Upstream, ProviderError>;

    /// The reader of one answer. `seed` makes its ids differ from those of all others: it is for
    /// [`Answer::new`](crate::http_provider::Answer::new).
    fn format(&self, seed: u64) -> Box<dyn Format>;
}

impl Instance {
    /// The provider that asks this instance in the words of `api`.
    #[must_use]
    pub fn provider(self, api: impl Api + 'static) -> Box<dyn Provider> {
        Box::new(HttpProvider {
            instance: Arc::new(self),
            api: Box::new(api),
            seeds: Seeds::default(),
        })
    }
}

struct HttpProvider {
    instance: Arc<Instance>,
    api: Box<dyn Api>,
    seeds: Seeds,
}

impl Provider for HttpProvider {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.instance.endpoint())
    }

    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let upstream = self.api.ask(&self.instance, request, model, cx)?;
        let format = self.api.format(self.seeds.next(cx));
        Ok(Start {
            generation: Box::new(HttpGeneration::new(Arc::clone(&self.instance), format)),
            upstream: Some(upstream),
        })
    }
}
