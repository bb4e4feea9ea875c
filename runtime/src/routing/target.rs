//! What is asked: a configured provider, and one model at it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::plugin::provider::{ChatRequest, Content, Message, Provider, Secret, StartCx};
use crate::routing::resilience::Resilience;
use crate::tls::Trust;

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
    /// How its failures and its limits are dealt with.
    pub resilience: Resilience,
    /// Idle connections that are kept ready while there is traffic, at most
    /// [`MOST_WARM_CONNECTIONS`].
    pub warm_connections: u32,
}

impl Instance {
    /// Would an attempt at `model` begin with other bytes, to another place? Then what is known of
    /// the target is of a former key or URL.
    pub(crate) fn asks_otherwise(&self, former: &Self, model: &str) -> bool {
        let request = ChatRequest {
            messages: vec![Message {
                role: "user".to_owned(),
                content: Content::Text(String::new()),
                name: None,
                tool_calls: None,
                tool_call_id: None,
                reasoning: None,
            }],
            ..ChatRequest::default()
        };
        let begin = |instance: &Self| {
            let start = instance.provider.start(&request, model, StartCx::default());
            start.map(|start| start.upstream)
        };
        self.proxy != former.proxy || begin(self) != begin(former)
    }
}

/// The most that [`Instance::warm_connections`] may be.
pub const MOST_WARM_CONNECTIONS: u32 = 16;

/// One model at one provider.
#[derive(Clone)]
pub struct Target {
    /// The provider.
    pub instance: Arc<Instance>,
    /// The model's name there.
    pub model: Box<str>,
}

impl Target {
    /// Is it the target of these names?
    pub(crate) fn is_named(&self, provider: &str, model: &str) -> bool {
        *self.model == *model && *self.instance.name == *provider
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.instance.name)?;
        f.write_str("/")?;
        f.write_str(&self.model)
    }
}

/// The deadlines of one attempt, each from its own beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderTimers {
    /// Name, connect and TLS. Default 10 s.
    pub connect: Duration,
    /// From the request to the first content. Default 120 s.
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
    pub authorization: Option<Secret>,
}
