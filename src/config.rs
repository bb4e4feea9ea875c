//! The configuration: flag over environment over file over default, checked as a whole.
//!
//! ```text
//!   flags, environment, lmserver.toml ──► Section getters ──► Config
//!                                               └──────────► Report: every mistake, place, fix
//! ```
//!
//! Reading has no effect: it opens files and the providers' constructors, nothing else, so that
//! `lmserver check` is the same reading as that of a start or a reload.

use std::path::{Path, PathBuf};

use lmserver_runtime::limits::{ChannelLimits, Limits};
use lmserver_runtime::routing::Routing;

use crate::access::Namespaces;
use crate::api::Patience;
use crate::plugins::Plugins;
use crate::token::KeyServer;

mod client;
mod environment;
mod exposure;
mod keys;
mod limits;
mod model;
mod namespace;
mod near;
mod outward;
mod provider;
mod proxy;
mod reload;
mod report;
mod secret;
mod section;
mod server;
mod source;
mod value;

pub use client::Client;
pub use environment::Environment;
pub use limits::{Format, Log};
pub(crate) use near::nearest;
pub use provider::Configured;
use provider::Providers;
pub use reload::Reloader;
pub(crate) use reload::log_warnings;
pub use report::{Finding, Place, Report, Severity};
pub use server::{Auth, Server};
pub(crate) use value::show_listen;

use keys::Keys;
use outward::Shared;
use section::{Context, Section};
use source::Source;

/// Everything that the server needs to know before it starts.
pub struct Config {
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// `[server]`: where and to whom it speaks.
    pub server: Server,
    /// `[auth]`: who may spend money, publish and listen.
    pub auth: Auth,
    /// Whether anybody may call the server API, for want of `api_keys` and of anything else that
    /// says that access matters.
    pub is_server_api_open: bool,
    /// `[limits]`: bounds of connections.
    pub limits: Limits,
    /// `[channels]`: bounds of channels.
    pub channels: ChannelLimits,
    /// `[channels] open`: whether channels exist as soon as they are named.
    pub open_channels: bool,
    /// `[llm_api] cancel_when_abandoned`: how long an answer that was asked for in the words of
    /// another API goes on with nobody listening.
    pub llm_patience: Patience,
    /// `[client]`: connections that speak Centrifugo's client protocol.
    pub client: Client,
    /// `jwks_public_endpoint`: where the key sets of tokens are fetched from.
    pub key_servers: Vec<KeyServer>,
    /// `[namespace.*]`, `[without_namespace]`: options of channels by their names.
    pub namespaces: Namespaces,
    /// `[log]`: how much is said, and how.
    pub log: Log,
    /// `[provider.*]` and `[model.*]`, opened.
    pub routing: Routing,
    /// What was configured about each provider, to be told.
    pub providers: Vec<Configured>,
    /// Whether nothing is configured, so that the built-in `echo` answers.
    pub is_offline: bool,
    /// `CENTRIFUGO_PORT`, where it is set: shown in the start-up log only.
    pub centrifugo_port: Option<String>,
}

/// The flags of the command line that configure something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--allow-origin`, each time it was given.
    pub allow_origins: Vec<String>,
    /// `--log`.
    pub log: Option<String>,
}

/// Where a configuration is read from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The command line.
    pub flags: &'a Flags,
    /// The environment.
    pub environment: &'a Environment,
    /// The providers that this binary knows.
    pub plugins: &'a Plugins,
}

impl Config {
    /// Reads the configuration. The report beside it holds warnings only.
    ///
    /// # Errors
    ///
    /// All mistakes, and the warnings among them.
    pub fn load(inputs: Inputs<'_>) -> Result<(Self, Report), Report> {
        let Some(path) = file_to_read(inputs) else {
            return Self::read(inputs, None).0;
        };
        let source = Source::read(&path).map_err(|finding| {
            let mut report = Report::default();
            report.add(finding);
            report
        })?;
        let (read, _) = Self::read(inputs, Some(&source));
        read.map(|(config, report)| {
            (
                Self {
                    file: Some(path),
                    ..config
                },
                report,
            )
        })
    }

    /// Reads a text as if it were the file `name` in the folder `directory`.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn from_text(
        name: &str,
        text: &str,
        directory: &Path,
        inputs: Inputs<'_>,
    ) -> Result<(Self, Report), Report> {
        let source = Source::new(name, text.to_owned(), directory);
        Self::read(inputs, Some(&source)).0
    }

    /// All keys of the file as (section, key); the sections of instances are those that a
    /// file without any has.
    pub fn known_keys(name: &str, text: &str, inputs: Inputs<'_>) -> Vec<(String, String)> {
        let source = Source::new(name, text.to_owned(), Path::new("."));
        let (_, keys) = Self::read(inputs, Some(&source));
        keys.known().cloned().collect()
    }

    /// The configuration in one line: providers and models, no secret.
    pub fn summary(&self) -> String {
        let providers: Vec<_> = self
            .providers
            .iter()
            .map(|p| format!("{} ({})", p.name, p.kind))
            .collect();
        let models: Vec<_> = self.routing.models.keys().map(AsRef::as_ref).collect();
        format!(
            "providers {}; models {}",
            providers.join(", "),
            models.join(", ")
        )
    }

    fn read(inputs: Inputs<'_>, source: Option<&Source>) -> (Result<(Self, Report), Report>, Keys) {
        let mut report = Report::default();
        let mut keys = Keys::default();
        let context = |is_whole| Context {
            source,
            environment: inputs.environment,
            is_whole,
        };
        let config = match source {
            None => {
                let root = Section::empty("", context(true));
                Self::from_root(root, inputs, &mut keys, &mut report)
            }
            Some(source) => {
                let mut syntax = Report::default();
                let config = source.parse(&mut syntax, |value, is_whole| {
                    let root = Section::root(value, context(is_whole));
                    Self::from_root(root, inputs, &mut keys, &mut report)
                });
                report.merge(syntax);
                config
            }
        };
        keys.report_unknown(&mut report);
        report.sort();
        let read = if report.has_mistakes() {
            Err(report)
        } else {
            Ok((config, report))
        };
        (read, keys)
    }

    fn from_root(
        mut root: Section<'_>,
        inputs: Inputs<'_>,
        keys: &mut Keys,
        report: &mut Report,
    ) -> Self {
        let server = Server::read(root.section("server"), inputs, keys, report);
        let auth = root.section("auth");
        let keys_are_written = auth.has("api_keys");
        let keys_place = auth.place("api_keys");
        let auth = Auth::read(auth, keys, report);
        let limits = limits::connections(root.section("limits"), keys, report);
        let (channels, open_channels) = limits::channels(root.section("channels"), keys, report);
        let llm_patience = limits::llm_patience(root.section("llm_api"), keys, report);
        let open = open_channels.then_some(&channels);
        let namespaces = namespace::read(&mut root, open, keys, report);
        let shared = Shared::of(inputs.environment, report);
        let client = root.section("client");
        let (client, key_servers) = Client::read(client, &auth, &namespaces, &shared, keys, report);
        let log = Log::read(root.section("log"), inputs.flags, keys, report);
        let sections = root.sections("provider");
        let providers = Providers::read(sections, &root, inputs, &shared, keys, report);
        let sections = root.sections("model");
        let routing = model::read(sections, providers, &root, keys, report);
        root.finish(keys, report);
        // Keys that are written but cannot be read have a mistake of their own.
        let is_server_api_open = exposure::is_server_api_open(&auth, &client, &namespaces);
        if auth.api_keys.is_empty() && !(keys_are_written && report.has_mistakes()) {
            report.extend(exposure::warnings(&server, is_server_api_open, &keys_place));
        }
        let (routing, providers, is_offline) = routing;
        let centrifugo_port = inputs.environment.get("CENTRIFUGO_PORT");
        Self {
            file: None,
            server,
            auth,
            is_server_api_open,
            limits,
            channels,
            open_channels,
            llm_patience,
            client,
            key_servers,
            namespaces,
            log,
            routing,
            providers,
            is_offline,
            centrifugo_port: centrifugo_port.map(str::to_owned),
        }
    }
}

/// The file that applies: the flag's, the environment's, or the usual one where it exists.
fn file_to_read(inputs: Inputs<'_>) -> Option<PathBuf> {
    let named = inputs.flags.config.clone();
    let named = named.or_else(|| inputs.environment.get("LMSERVER_CONFIG").map(PathBuf::from));
    named.or_else(|| {
        Path::new(USUAL_FILE)
            .exists()
            .then(|| PathBuf::from(USUAL_FILE))
    })
}

/// The file that is read where none is named.
const USUAL_FILE: &str = "lmserver.toml";
