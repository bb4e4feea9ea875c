//! Reads one `[provider.NAME]`: the keys that every kind takes, then the plugin's own.

use std::collections::BTreeMap;

use lmserver_runtime::plugin::provider::{
    BaseUrl, Endpoint, OpenProvider, Provider, ProviderSettings, Secret,
};
use lmserver_runtime::routing::{Instance, MOST_WARM_CONNECTIONS, ProviderTimers, Resilience};

use super::{Configured, ECHO, OPENAI, OPENAI_MODEL};
use crate::config::keys::Keys;
use crate::config::outward::Shared;
use crate::config::report::{Finding, Place, Report};
use crate::config::section::Section;
use crate::config::{Inputs, nearest, secret};
use crate::plugins::Plugins;

/// Reads one section.
pub(super) struct Reader<'a, 'b> {
    name: String,
    section: Section<'a>,
    inputs: Inputs<'b>,
    shared: &'b Shared,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(super) fn new(
        name: String,
        section: Section<'a>,
        inputs: Inputs<'b>,
        shared: &'b Shared,
    ) -> Self {
        Self {
            name,
            section,
            inputs,
            shared,
        }
    }

    pub(super) fn read(
        mut self,
        keys: &mut Keys,
        report: &mut Report,
    ) -> Option<(Instance, Configured)> {
        self.check_name();
        let (kind_place, kind) = self.kind();
        let settings = self.settings();
        let model = self.model(&kind);
        let timers = self.timers();
        let resilience = resilience(&mut self.section);
        let trust = self.section.trust("ca_file", &self.shared.public_trust);
        let Some(open) = self.inputs.plugins.find_provider(&kind) else {
            let (problem, fix) = unknown_kind(&kind, &self.section, self.inputs.plugins);
            self.section.mistake(kind_place, problem, fix);
            self.section.finish_open(keys, report);
            return None;
        };
        let has_key = settings.api_key.is_some();
        let provider = self.open(open, settings);
        let endpoint = provider.as_deref().and_then(Provider::endpoint);
        if let Some(endpoint) = endpoint.filter(|_| has_key) {
            report.extend(unencrypted(endpoint, &self.section));
        }
        let name = self.name.as_str().into();
        let warm_connections = self.warm_connections(endpoint);
        let proxy = endpoint.and_then(|to| self.shared.proxies.to(to));
        let endpoint = endpoint.map(show_endpoint);
        let configured = Configured {
            name: self.name,
            kind,
            endpoint,
            model,
        };
        self.section.finish(keys, report);
        let (provider, trust) = provider.zip(trust)?;
        Some((
            Instance {
                name,
                provider,
                timers,
                trust,
                proxy,
                resilience,
                warm_connections,
            },
            configured,
        ))
    }

    /// The kind, which goes without saying where it is the name.
    fn kind(&mut self) -> (Place, String) {
        let written = self.section.placed_string("kind");
        written.unwrap_or_else(|| (self.section.header().clone(), self.name.clone()))
    }

    /// Opens the plugin. One that neither opens nor says why still leaves a mistake behind.
    fn open(
        &mut self,
        open: OpenProvider,
        settings: ProviderSettings,
    ) -> Option<Box<dyn Provider>> {
        let provider = open(settings, &mut self.section);
        if provider.is_none() && !self.section.has_mistakes() {
            let place = self.section.header().clone();
            let problem = format!("provider `{}` could not be opened", self.name);
            self.section
                .mistake(place, problem, "see its keys in lmserver.example.toml");
        }
        provider
    }

    fn check_name(&mut self) {
        let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(is_good) {
            let place = self.section.header().clone();
            let problem = "a provider's name has 1 to 64 letters, digits, `-`, `_` or `.`";
            self.section
                .mistake(place, problem, "rename it, like [provider.local]");
        }
    }

    fn settings(&mut self) -> ProviderSettings {
        let base_url = match self.variable("OPENAI_BASE_URL", "base_url") {
            Some((place, text)) => self.base_url(place, &text),
            None => {
                let written = self.section.placed_string("base_url");
                written.and_then(|(place, text)| self.base_url(place, &text))
            }
        };
        let api_key = match self.variable("OPENAI_API_KEY", "api_key") {
            Some((place, text)) => self.key_from_environment(place, &text),
            None => self.section.secret("api_key"),
        };
        let mut headers = BTreeMap::new();
        for (place, name, value) in self.section.fields("headers") {
            if let Some((problem, fix)) = bad_field(&name) {
                self.section.mistake(place, problem, fix);
                continue;
            }
            headers.insert(name, value);
        }
        ProviderSettings {
            name: self.name.as_str().into(),
            base_url,
            api_key,
            headers,
        }
    }

    /// The value of a variable that replaces `key`, if this is the provider it applies to.
    fn variable(&mut self, name: &'static str, key: &str) -> Option<(Place, String)> {
        let value = self
            .inputs
            .environment
            .get(name)
            .filter(|_| self.name == OPENAI)?;
        self.section.note(key);
        Some((Place::Environment(name), value.to_owned()))
    }

    /// The text is not shown: a key may stand in it by mistake.
    fn base_url(&mut self, place: Place, text: &str) -> Option<BaseUrl> {
        BaseUrl::parse(text.trim())
            .map_err(|error| {
                let fix = "write it like \"https://api.openai.com/v1\", without user and password";
                self.section
                    .mistake(place, format!("not a base URL: {error}"), fix);
            })
            .ok()
    }

    fn key_from_environment(&mut self, place: Place, text: &str) -> Option<Secret> {
        secret::checked(text)
            .map_err(|error| self.section.mistake(place, error.to_string(), error.fix()))
            .ok()
    }

    fn model(&mut self, kind: &str) -> Option<String> {
        let model = match self.variable("OPENAI_MODEL", "model") {
            Some((_, text)) => Some(text),
            None => self.section.string("model"),
        };
        let default = match self.name.as_str() {
            OPENAI => Some(OPENAI_MODEL),
            _ if kind == ECHO => Some(ECHO),
            _ => None,
        };
        if model
            .as_deref()
            .is_some_and(|model| model.trim().is_empty())
        {
            self.section
                .mistake_at("model", "`model` is empty", "name a model of this provider");
        }
        model.or_else(|| default.map(str::to_owned))
    }

    /// Without TLS a connection costs next to nothing, and a small server may serve one at a time.
    fn warm_connections(&mut self, endpoint: Option<&Endpoint>) -> u32 {
        let most = MOST_WARM_CONNECTIONS.into();
        let written = self.section.integer("warm_connections", 0, most);
        let written = written.and_then(|count| u32::try_from(count).ok());
        written.unwrap_or_else(|| endpoint.is_some_and(|to| to.tls).into())
    }

    fn timers(&mut self) -> ProviderTimers {
        let mut timers = ProviderTimers::default();
        for (key, timer) in [
            ("connect_timeout", &mut timers.connect),
            ("first_event_timeout", &mut timers.first_event),
            ("between_events_timeout", &mut timers.between_events),
            ("total_timeout", &mut timers.total),
        ] {
            *timer = self.section.duration(key).unwrap_or(*timer);
        }
        timers
    }
}

/// The keys that say how failures and limits are dealt with.
fn resilience(section: &mut Section<'_>) -> Resilience {
    let mut resilience = Resilience::default();
    for (key, most, number) in [
        ("retries", 10, &mut resilience.retries),
        ("breaker_failures", 1000, &mut resilience.breaker_failures),
        ("max_queued", 100_000, &mut resilience.max_queued),
    ] {
        let written = section.integer(key, 0, most);
        *number = written
            .and_then(|it| u32::try_from(it).ok())
            .unwrap_or(*number);
    }
    for (key, duration) in [
        ("retry_backoff", &mut resilience.retry_backoff),
        ("breaker_cooldown", &mut resilience.breaker_cooldown),
        ("queue_timeout", &mut resilience.queue_timeout),
    ] {
        *duration = section.duration(key).unwrap_or(*duration);
    }
    let most = section.integer("max_concurrent", 1, 1_000_000);
    resilience.max_concurrent = most.and_then(|it| u32::try_from(it).ok());
    if resilience.max_concurrent.is_none() && !section.has("max_concurrent") {
        for key in ["max_queued", "queue_timeout"] {
            if section.has(key) {
                let problem = format!("`{key}` without `max_concurrent`: nobody ever waits");
                section.warning_at(key, problem, "add max_concurrent = 10, or remove it");
            }
        }
    }
    resilience
}

fn unknown_kind(kind: &str, section: &Section<'_>, plugins: &Plugins) -> (String, String) {
    let mut built = plugins.provider_kinds().collect::<Vec<_>>().join(", ");
    if built.is_empty() {
        built = "none".to_owned();
    }
    if section.has("kind") {
        let near = nearest(kind, plugins.provider_kinds());
        let near = near
            .map(|near| format!("did you mean \"{near}\"? "))
            .unwrap_or_default();
        return (
            format!("there is no provider of kind {kind:?}"),
            format!("{near}this build has: {built}"),
        );
    }
    let problem = format!("[{}] says no `kind`, and its name is none", section.title());
    (
        problem,
        format!("add kind = \"…\"; this build has: {built}"),
    )
}

fn show_endpoint(endpoint: &Endpoint) -> String {
    let Endpoint { tls, host, port } = endpoint;
    let scheme = if *tls { "https" } else { "http" };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_string()
    };
    match (scheme, port) {
        ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
}

fn unencrypted(endpoint: &Endpoint, section: &Section<'_>) -> Option<Finding> {
    let address = endpoint.host.parse::<std::net::IpAddr>();
    let is_near = endpoint.host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback());
    let problem = format!("the API key travels unencrypted to {}", endpoint.host);
    (!endpoint.tls && !is_near).then(|| {
        Finding::warning(
            section.place("base_url"),
            problem,
            "use an https:// base_url",
        )
    })
}

/// RFC 9110 §5.1: a field name is a token; framing and routing fields belong to the client.
fn bad_field(name: &str) -> Option<(String, &'static str)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        let problem = format!("{name:?} is not the name of a header field");
        return Some((problem, "write it with letters, digits and -"));
    }
    let own = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
    ];
    own.contains(&name.to_ascii_lowercase().as_str()).then(|| {
        (
            format!("header field {name} is set by lmserver itself"),
            "remove it",
        )
    })
}
