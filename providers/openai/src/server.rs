//! One configured server, and a generation for each question to it.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::percent;
use lmserver_runtime::http_provider::{Defaults, EventStream, Instance, Seeds, Stream};
use lmserver_runtime::plugin::provider::{
    ChatRequest, Endpoint, PluginSection, Provider, ProviderError, ProviderSettings, Start, StartCx,
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
        Box::new(ChatCompletions {
            instance: Arc::new(self.instance),
            dialect: self.dialect,
            path: self.path,
            seeds: Seeds::default(),
        })
    }
}

struct ChatCompletions {
    instance: Arc<Instance>,
    dialect: Dialect,
    path: Path,
    seeds: Seeds,
}

impl Provider for ChatCompletions {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.instance.endpoint())
    }

    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let format = EventStream::new(Box::new(Chunks::new(self.seeds.next(cx))));
        let body = request::body(&self.dialect, request, model);
        let path: Cow<'_, str> = match &self.path {
            Path::Fixed(path) => path.as_ref().into(),
            Path::Deployments(version) => {
                let deployment = percent::encode(model);
                format!("/openai/deployments/{deployment}{COMPLETIONS}?api-version={version}")
                    .into()
            }
        };
        Ok(Start {
            generation: Box::new(Stream::new(Arc::clone(&self.instance), Box::new(format))),
            upstream: Some(self.instance.post(&path, &body)),
        })
    }
}

/// The path of Chat Completions.
pub(crate) const COMPLETIONS: &str = "/chat/completions";
