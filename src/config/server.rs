//! `[server]` and `[auth]`: where the server listens, and whom it serves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use lmserver_runtime::plugin::provider::Secret;
use lmserver_runtime::sys::ListenAddr;
use lmserver_runtime::tls::Identity;
use zeroize::Zeroizing;

use super::keys::Keys;
use super::report::{Finding, Place, Report};
use super::section::{Section, reason};
use super::{Environment, Inputs, value};
use crate::api::ApiKey;

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// `listen`. Default 127.0.0.1:8080.
    pub listen: ListenAddr,
    /// `allowed_origins`, in the form that browsers send. Default: the page's own host.
    pub allowed_origins: Option<Vec<String>>,
    /// `tls`: the certificate that it shows. Default: plain HTTP.
    pub tls: Option<Identity>,
    /// `page`: whether `GET /` serves the chat page. Default true.
    pub page: bool,
    /// Where `listen` was said.
    listen_place: Place,
}

/// `[auth]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Auth {
    /// `api_keys`: each is accepted. Default: none, everybody may ask; publish only where nothing
    /// says that access matters.
    pub api_keys: Vec<ApiKey>,
    /// `token_secret`: signs and checks the tokens of listeners, and the HMAC key of
    /// `[client.token]` where that has none. Default: none.
    pub token_secret: Option<Secret>,
}

impl Server {
    pub(super) fn read(
        mut section: Section<'_>,
        inputs: Inputs<'_>,
        keys: &mut Keys,
        report: &mut Report,
    ) -> Self {
        let file = section.parsed("listen", value::listen);
        let (listen, listen_place) = listen(file, section.place("listen"), inputs, report);
        let origins = origins(&mut section, inputs.flags.allow_origins.clone(), report);
        let tls = section
            .has("tls")
            .then(|| tls(section.section("tls"), keys, report))
            .flatten();
        section.note("tls");
        let page = section.bool("page").unwrap_or(true);
        section.finish(keys, report);
        Self {
            listen,
            allowed_origins: origins,
            tls,
            page,
            listen_place,
        }
    }

    /// Whether only this machine can reach the server.
    pub fn is_local(&self) -> bool {
        match &self.listen {
            ListenAddr::Tcp(address) => address.ip().to_canonical().is_loopback(),
            ListenAddr::Unix(_) => true,
        }
    }

    /// The warning that everybody can reach a server without authentication, and what for.
    pub(super) fn exposed(&self, is_server_api_open: bool) -> Option<Finding> {
        let more = if is_server_api_open {
            ", publish, read histories and disconnect clients"
        } else {
            ""
        };
        let problem = format!(
            "listening on {} without [auth] api_keys: everybody who can reach it can spend your \
             provider's money{more}",
            value::show_listen(&self.listen)
        );
        let fix = "set [auth] api_keys, or listen on 127.0.0.1";
        (!self.is_local()).then(|| Finding::warning(self.listen_place.clone(), problem, fix))
    }
}

impl Auth {
    pub(super) fn read(mut section: Section<'_>, keys: &mut Keys, report: &mut Report) -> Self {
        let api_keys = section.secrets("api_keys").into_iter();
        let api_keys = api_keys.map(|(name, secret)| ApiKey {
            name: name.into(),
            secret,
        });
        let token_secret = section.secret("token_secret");
        warn_if_short(&mut section, "token_secret", token_secret.as_ref());
        section.finish(keys, report);
        Self {
            api_keys: api_keys.collect(),
            token_secret,
        }
    }
}

/// Warns of a secret that is too short to sign tokens with.
pub(super) fn warn_if_short(section: &mut Section<'_>, key: &str, secret: Option<&Secret>) {
    if secret.is_some_and(|secret| secret.expose().len() < SHORTEST_TOKEN_SECRET) {
        section.warning_at(
            key,
            format!("`{key}` has fewer than {SHORTEST_TOKEN_SECRET} characters"),
            "make a longer one, for instance with: openssl rand -hex 32",
        );
    }
}

/// Joins the flag, `HOST` and `PORT`, and the file's key. The last two replace their part alone.
fn listen(
    file: Option<ListenAddr>,
    file_place: Place,
    inputs: Inputs<'_>,
    report: &mut Report,
) -> (ListenAddr, Place) {
    let said = file.is_some();
    let mut listen = file.unwrap_or(ListenAddr::Tcp(HERE));
    let mut place = if said { file_place } else { Place::Default };
    let host = variable(inputs.environment, "HOST", value::host, report);
    let port = variable(inputs.environment, "PORT", value::port, report);
    if host.is_some() || port.is_some() {
        let mut address = match listen {
            ListenAddr::Tcp(address) => address,
            ListenAddr::Unix(_) => HERE,
        };
        if let Some(port) = port {
            address.set_port(port);
        }
        if let Some(host) = host {
            address.set_ip(host);
            place = Place::Environment("HOST");
        }
        listen = ListenAddr::Tcp(address);
    }
    if let Some(text) = &inputs.flags.listen {
        place = Place::Flag("--listen");
        match value::listen(text) {
            Ok(address) => listen = address,
            Err(wrong) => report.add(Finding::mistake(place.clone(), wrong.problem, wrong.fix)),
        }
    }
    (listen, place)
}

fn variable<T>(
    environment: &Environment,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, value::Wrong>,
    report: &mut Report,
) -> Option<T> {
    let place = Place::Environment(name);
    let wrong = |wrong: value::Wrong| report.add(Finding::mistake(place, wrong.problem, wrong.fix));
    parse(environment.get(name)?).map_err(wrong).ok()
}

fn origins(
    section: &mut Section<'_>,
    flags: Vec<String>,
    report: &mut Report,
) -> Option<Vec<String>> {
    let written = section.strings("allowed_origins");
    let flags: Vec<_> = flags
        .into_iter()
        .map(|text| (Place::Flag("--allow-origin"), text))
        .collect();
    let mut checked = Vec::new();
    for (place, text) in written.iter().flatten().chain(&flags) {
        let is_overridden = !flags.is_empty() && !matches!(place, Place::Flag(_));
        match value::origin(text) {
            Err(wrong) => report.add(Finding::mistake(place.clone(), wrong.problem, wrong.fix)),
            Ok(_) if is_overridden => {}
            Ok(origin) => {
                if origin == "*" {
                    report.add(any_origin(place.clone()));
                }
                checked.push(origin);
            }
        }
    }
    (written.is_some() || !flags.is_empty()).then_some(checked)
}

fn any_origin(place: Place) -> Finding {
    let fix = "list the origins that you trust, like \"https://app.example\"";
    Finding::warning(place, "pages of every origin may use this server", fix)
}

fn tls(mut section: Section<'_>, keys: &mut Keys, report: &mut Report) -> Option<Identity> {
    let files = (section.path_to_file("cert"), section.path_to_file("key"));
    for key in ["cert", "key"] {
        if section.is_present() && !section.has(key) {
            let problem = format!("`tls` has no `{key}`");
            section.mistake_at(key, problem, TLS_FORM);
        }
    }
    let identity = match &files {
        (Some(cert), Some(key)) => identity(cert, key)
            .map_err(|problem| section.mistake_at("cert", format!("`tls`: {problem}"), TLS_FORM))
            .ok(),
        _ => None,
    };
    section.finish(keys, report);
    identity
}

fn identity(cert: &Path, key: &Path) -> Result<Identity, String> {
    let chain = std::fs::read(cert).map_err(|error| reason(&error))?;
    let key = Zeroizing::new(std::fs::read(key).map_err(|error| reason(&error))?);
    Identity::from_pem(&chain, &key).map_err(|error| error.to_string())
}

const TLS_FORM: &str = "write tls = { cert = \"cert.pem\", key = \"key.pem\" }, both in PEM form";

/// Where the server listens unless it is told otherwise.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), value::DEFAULT_PORT);

/// RFC 7518 §3.2: a key of HS256 has at least the 32 bytes of the hash.
const SHORTEST_TOKEN_SECRET: usize = 32;
