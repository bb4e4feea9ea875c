//! Chat Completions as an [`Api`]: one configured server, where it is asked and what reads its
//! answers.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::percent;
use lmserver_runtime::http_provider::{Api, Defaults, EventStream, Format, Instance, Patterns};
use lmserver_runtime::plugin::provider::{
    ChatRequest, PluginSection, Provider, ProviderError, ProviderSettings, StartCx, Upstream,
};

use crate::answer::Chunks;
use crate::dialect::Dialect;
use crate::request;

/// What all kinds of this crate open.
pub(crate) struct Server {
    pub(crate) instance: Instance,
    dialect: Dialect,
    pub(crate) path: Path,
}

/// Where questions go, below the base URL.
pub(crate) enum Path {
    /// The same for all models, with the query that it has.
    Fixed(Cow<'static, str>),
    /// Azure's path of each deployment, of this `api-version`.
    Deployments(String),
}

impl Server {
    /// Reads an instance; mistakes go to the section.
    pub(crate) fn open(
        settings: ProviderSettings,
        defaults: &Defaults<'_>,
        dialect: Dialect,
        section: &mut dyn PluginSection,
    ) -> Option<Self> {
        Some(Self {
            instance: Instance::open(settings, defaults, section)?,
            dialect,
            path: Path::Fixed(COMPLETIONS.into()),
        })
    }

    /// The provider that it makes.
    pub(crate) fn boxed(self) -> Box<dyn Provider> {
        self.instance.provider(ChatCompletions {
            dialect: self.dialect,
            path: self.path,
            patterns: Arc::default(),
        })
    }
}

struct ChatCompletions {
    dialect: Dialect,
    path: Path,
    /// What chunks are like that say text.
    patterns: Arc<Patterns>,
}

impl Api for ChatCompletions {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        _: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let body = request::body(&self.dialect, request, model);
        let path: Cow<'_, str> = match &self.path {
            Path::Fixed(path) => path.as_ref().into(),
            Path::Deployments(version) => {
                let deployment = percent::encode(model);
                format!("/openai/deployments/{deployment}{COMPLETIONS}?api-version={version}")
                    .into()
            }
        };
        Ok(instance.post_with(&path, &[], &body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(EventStream::new(Box::new(Chunks::new(
            seed,
            Arc::clone(&self.patterns),
        ))))
    }
}

/// The path of Chat Completions.
pub(crate) const COMPLETIONS: &str = "/chat/completions";
