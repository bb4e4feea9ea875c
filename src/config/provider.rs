//! `[provider.*]`: named instances of the plugins, opened.
//!
//! The keys that every provider takes are read here; the rest of a section belongs to its
//! plugin. The `OPENAI_*` variables replace the keys of `[provider.openai]`, or make it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use lmserver_runtime::plugin::provider::{
    BaseUrl, ChatRequest, Content, Endpoint, Message, Provider, ProviderSettings, Secret,
};
use lmserver_runtime::routing::{Instance, ProviderTimers};
use lmserver_runtime::time::Moment;
use lmserver_runtime::tls::Trust;

use super::keys::Keys;
use super::proxy::Proxies;
use super::report::{Finding, Place, Report};
use super::section::{Section, reason};
use super::{Inputs, secret};
use crate::plugins::Plugins;

/// What was configured about a provider, to be told. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The name of the instance.
    pub name: String,
    /// The plugin.
    pub kind: String,
    /// Where it connects; none for one that needs no connection.
    pub endpoint: Option<String>,
    /// Its own default model.
    pub model: Option<String>,
}

/// All providers of a configuration.
pub(super) struct Providers {
    /// Those that could be opened, in the order of the file.
    pub(super) opened: Vec<(Instance, Configured)>,
    /// The names and places of all, opened or not.
    pub(super) declared: BTreeMap<String, Place>,
    /// Whether `echo` stands in because nothing is configured.
    pub(super) is_offline: bool,
}

impl Providers {
    pub(super) fn read<'a>(
        mut sections: Vec<(String, Section<'a>)>,
        root: &Section<'a>,
        inputs: Inputs<'_>,
        keys: &mut Keys,
        report: &mut Report,
    ) -> Self {
        let environment = inputs.environment;
        let from_environment = ["OPENAI_API_KEY", "OPENAI_BASE_URL"]
            .into_iter()
            .find(|n| environment.get(n).is_some());
        if let Some(variable) = from_environment
            && !sections.iter().any(|(name, _)| name == OPENAI)
        {
            let section = root
                .absent("provider.openai")
                .at(Place::Environment(variable));
            sections.push((OPENAI.to_owned(), section));
        }
        let is_offline = sections.is_empty() && !root.is_present();
        if is_offline {
            let section = root.absent("provider.echo");
            sections.push((ECHO.to_owned(), section));
            report.add(offline(root.header().clone()));
        }
        if sections.is_empty() && root.is_whole() {
            report.add(silent(root.header().clone()));
        }
        let proxies = Proxies::of(environment, report);
        let shared = Shared {
            proxies,
            public_trust: OnceCell::new(),
        };
        let mut providers = Self {
            opened: Vec::new(),
            declared: BTreeMap::new(),
            is_offline,
        };
        for (name, section) in sections {
            providers
                .declared
                .insert(name.clone(), section.header().clone());
            let reader = Reader {
                name,
                section,
                inputs,
                shared: &shared,
            };
            providers.opened.extend(reader.read(keys, report));
        }
        providers
    }
}

/// Reads one section.
struct Reader<'a, 'b> {
    name: String,
    section: Section<'a>,
    inputs: Inputs<'b>,
    shared: &'b Shared,
}

impl Reader<'_, '_> {
    fn read(mut self, keys: &mut Keys, report: &mut Report) -> Option<(Instance, Configured)> {
        self.check_name();
        let (kind_place, kind) = match self.section.placed_string("kind") {
            Some((place, kind)) => (place, kind),
            None => (self.section.header().clone(), self.name.clone()),
        };
        let settings = self.settings();
        let model = self.model(&kind);
        let timers = self.timers();
        let trust = self.trust();
        let Some(open) = self.inputs.plugins.find_provider(&kind) else {
            let (problem, fix) = unknown_kind(&kind, &self.section, self.inputs.plugins);
            self.section.mistake(kind_place, problem, fix);
            self.section.finish_open(keys, report);
            return None;
        };
        let has_key = settings.api_key.is_some();
        let provider = open(settings, &mut self.section);
        if provider.is_none() && !self.section.has_mistakes() {
            let place = self.section.header().clone();
            let problem = format!(
                "provider `{}` of kind `{kind}` could not be opened",
                self.name
            );
            self.section
                .mistake(place, problem, "see its keys in lmserver.example.toml");
        }
        let opened = provider.zip(trust).map(|(provider, trust)| {
            let endpoint = endpoint(&*provider);
            if has_key {
                report.extend(
                    endpoint
                        .as_ref()
                        .and_then(|e| unencrypted(e, &self.section)),
                );
            }
            let proxy = endpoint
                .as_ref()
                .and_then(|endpoint| self.shared.proxies.to(endpoint));
            let endpoint = endpoint.as_ref().map(show_endpoint);
            let configured = Configured {
                name: self.name.clone(),
                kind,
                endpoint,
                model,
            };
            let name = self.name.as_str().into();
            (
                Instance {
                    name,
                    provider,
                    timers,
                    trust,
                    proxy,
                },
                configured,
            )
        });
        self.section.finish(keys, report);
        opened
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

    fn trust(&mut self) -> Option<Trust> {
        let trust = match self.section.path_to_file("ca_file") {
            Some(path) => trust_in(&path),
            None => self.shared.public_trust(),
        };
        let mistake = |problem| {
            let problem = format!("`ca_file`: {problem}");
            self.section.mistake_at(
                "ca_file",
                problem,
                "name a file of certificates in PEM form",
            );
        };
        trust.map_err(mistake).ok()
    }
}

/// What all providers of a configuration share.
struct Shared {
    proxies: Proxies,
    public_trust: OnceCell<Trust>,
}

impl Shared {
    /// The trust of providers without a `ca_file`: one, so that they share its sessions.
    fn public_trust(&self) -> Result<Trust, String> {
        if let Some(trust) = self.public_trust.get() {
            return Ok(trust.clone());
        }
        let trust = Trust::public().map_err(|error| error.to_string())?;
        Ok(self.public_trust.get_or_init(|| trust).clone())
    }
}

fn trust_in(path: &Path) -> Result<Trust, String> {
    let pem = std::fs::read(path).map_err(|error| reason(&error))?;
    Trust::with_authorities(&pem).map_err(|error| format!("{}: {error}", path.display()))
}

fn unknown_kind(kind: &str, section: &Section<'_>, plugins: &Plugins) -> (String, String) {
    let mut built = plugins.provider_kinds().collect::<Vec<_>>().join(", ");
    if built.is_empty() {
        built = "none".to_owned();
    }
    if CONTRACT_KINDS.contains(&kind) {
        let problem = format!("kind `{kind}` is not built into this lmserver");
        return (problem, format!("use a kind that is: {built}"));
    }
    if section.has("kind") {
        let near = super::nearest(kind, plugins.provider_kinds());
        let near = near
            .map(|near| format!("did you mean \"{near}\"? "))
            .unwrap_or_default();
        return (
            format!("unknown kind {kind:?}"),
            format!("{near}built in are: {built}"),
        );
    }
    let problem = format!("[{}] says no `kind`, and its name is none", section.title());
    (problem, format!("add kind = \"…\"; built in are: {built}"))
}

/// Asks the factory where it would connect. Starting is pure: nothing is sent.
fn endpoint(provider: &dyn Provider) -> Option<Endpoint> {
    let message = Message {
        role: "user".to_owned(),
        content: Content::Text("?".to_owned()),
        name: None,
        tool_calls: None,
        tool_call_id: None,
    };
    let request = ChatRequest {
        messages: vec![message],
        ..ChatRequest::default()
    };
    let start = provider.start(&request, "?", Moment::default()).ok()?;
    start.upstream.map(|upstream| upstream.endpoint)
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

fn silent(place: Place) -> Finding {
    let problem = "no provider is configured: nobody answers chats, only publishing works";
    let fix = "add [provider.openai] with its api_key, set OPENAI_API_KEY, or add [provider.echo] \
               to try it offline";
    Finding::warning(place, problem, fix)
}

fn offline(place: Place) -> Finding {
    Finding::warning(
        place,
        "no configuration file and no OPENAI_API_KEY: the built-in offline provider `echo` \
         answers with the user's own words",
        "set OPENAI_API_KEY, or write lmserver.toml (see lmserver.example.toml)",
    )
}

/// The provider that the `OPENAI_*` variables are about.
const OPENAI: &str = "openai";

/// Its default model.
const OPENAI_MODEL: &str = "gpt-4o-mini";

/// The provider that needs no account, and its only model.
const ECHO: &str = "echo";

/// All kinds there are; a binary may be built without some.
const CONTRACT_KINDS: [&str; 9] = [
    "openai",
    "openai-responses",
    "azure",
    "anthropic",
    "gemini",
    "ollama",
    "cohere",
    "bedrock",
    "echo",
];
