//! Which proxy a provider's connections go through is decided by where it connects to, not by
//! what it makes of a request.

#![expect(clippy::expect_used, reason = "helpers of tests fail the test")]

use std::path::Path;

use lmserver::Plugins;
use lmserver::config::{Config, Environment, Flags, Inputs};
use lmserver::runtime::event::ErrorCode;
use lmserver::runtime::plugin::provider::{
    ChatRequest, Endpoint, PluginSection, Provider, ProviderError, ProviderSettings, Start, StartCx,
};

/// Refuses every request, and says where it would connect.
struct Picky(Endpoint);

impl Provider for Picky {
    fn start(&self, _: &ChatRequest, _: &str, _: StartCx) -> Result<Start, ProviderError> {
        Err(ProviderError::new(
            ErrorCode::ProviderBadRequest,
            "not this one",
        ))
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.0)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a plugin's constructor"
)]
fn open(settings: ProviderSettings, _: &mut dyn PluginSection) -> Option<Box<dyn Provider>> {
    let url = settings.base_url.expect("the test gives a base URL");
    Some(Box::new(Picky(url.endpoint)))
}

fn proxy_of(base_url: &str, variables: &[(&str, &str)]) -> Option<(String, u16)> {
    let mut plugins = Plugins::builtin();
    plugins.provider("picky", open);
    let flags = Flags::default();
    let environment: Environment = variables.iter().copied().collect();
    let inputs = Inputs {
        flags: &flags,
        environment: &environment,
        plugins: &plugins,
    };
    let text = format!("[provider.picky]\nbase_url = \"{base_url}\"\nmodel = \"m\"\n");
    let (config, _) =
        Config::from_text("test.toml", &text, Path::new("."), inputs).expect("a configuration");
    let instance = config.routing.providers.get("picky").expect("the provider");
    let proxy = instance.proxy.as_ref()?;
    Some((proxy.host.to_string(), proxy.port))
}

#[test]
fn a_provider_that_refuses_every_request_still_gets_its_proxy() {
    let proxy = ("HTTPS_PROXY", "http://proxy.example:3128");
    let expected = Some(("proxy.example".to_owned(), 3128));
    assert_eq!(proxy_of("https://api.example/v1", &[proxy]), expected);
}

#[test]
fn what_needs_no_proxy_gets_none() {
    let proxy = ("HTTPS_PROXY", "http://proxy.example:3128");
    let exempt = ("NO_PROXY", "api.example");
    assert_eq!(proxy_of("https://api.example/v1", &[proxy, exempt]), None);
    assert_eq!(proxy_of("http://api.example/v1", &[proxy]), None);
    assert_eq!(proxy_of("https://api.example/v1", &[]), None);
}
