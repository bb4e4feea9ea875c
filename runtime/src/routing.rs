//! Which providers there are, and which targets a model's name stands for.
//!
//! A routing is immutable. A reload makes a new one; a run keeps what it began with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::plugin::provider::Provider;
use crate::tls::Trust;

/// All configured providers and models.
#[derive(Default)]
pub struct Routing {
    /// Providers by the name of their instance.
    pub providers: BTreeMap<Box<str>, Arc<Instance>>,
    /// Models by the name that clients use.
    pub models: BTreeMap<Box<str>, Vec<Target>>,
}

/// A configured provider with what the engine does for it.
pub struct Instance {
    /// The name of the instance.
    pub name: Box<str>,
    /// The plugin's factory.
    pub provider: Box<dyn Provider>,
    /// The four timers.
    pub timers: ProviderTimers,
    /// Whom TLS trusts for this provider.
    pub trust: Trust,
    /// The proxy that its connections go through.
    pub proxy: Option<Proxy>,
}

/// One model at one provider.
#[derive(Clone)]
pub struct Target {
    /// The provider.
    pub instance: Arc<Instance>,
    /// The model's name there.
    pub model: Box<str>,
}

/// The targets of one request, in order; never empty.
#[derive(Clone)]
pub struct Plan {
    /// The targets.
    pub targets: Vec<Target>,
}

/// The deadlines of one attempt, each from its own beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderTimers {
    /// Name, connect and TLS. Default 10 s.
    pub connect: Duration,
    /// From the request to the first event. Default 120 s.
    pub first_event: Duration,
    /// Between signs of life after that. Default 60 s.
    pub between_events: Duration,
    /// The whole attempt. Default 600 s.
    pub total: Duration,
}

impl Default for ProviderTimers {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_event: Duration::from_secs(120),
            between_events: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// A forward proxy: HTTPS goes through it by `CONNECT` (RFC 9110 §9.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, if the proxy wants one.
    pub authorization: Option<crate::plugin::provider::Secret>,
}

/// Why a model's name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownModel {
    /// No model and no provider of that name.
    #[error("no model named {name:?}; known: {known}")]
    Name {
        /// What was asked for.
        name: String,
        /// What could have been.
        known: String,
    },
    /// No model was named, and there is no default.
    #[error("no model was named and no [model.default] is configured; known: {known}")]
    NoDefault {
        /// What could have been.
        known: String,
    },
}

impl Routing {
    /// Finds the targets for a name: one of `[model.*]`, or `provider/model`. Without a name,
    /// `default`.
    ///
    /// # Errors
    ///
    /// [`UnknownModel`], which lists the names that there are.
    pub fn plan(&self, name: Option<&str>) -> Result<Plan, UnknownModel> {
        let wanted = name.unwrap_or("default");
        if let Some(targets) = self
            .models
            .get(wanted)
            .filter(|targets| !targets.is_empty())
        {
            return Ok(Plan {
                targets: targets.clone(),
            });
        }
        if let Some((instance, model)) = wanted.split_once('/')
            && let Some(instance) = self.providers.get(instance)
            && !model.is_empty()
        {
            let target = Target {
                instance: Arc::clone(instance),
                model: model.into(),
            };
            return Ok(Plan {
                targets: vec![target],
            });
        }
        Err(match name {
            Some(name) => UnknownModel::Name {
                name: name.into(),
                known: self.known(),
            },
            None => UnknownModel::NoDefault {
                known: self.known(),
            },
        })
    }

    fn known(&self) -> String {
        let models = self.models.keys().map(|name| name.to_string());
        let providers = self.providers.keys().map(|name| format!("{name}/<model>"));
        models.chain(providers).collect::<Vec<_>>().join(", ")
    }
}
