//! `lmserver ask`: a client for the terminal.
//!
//! ```text
//!   POST /api/chat ──► channel ──► GET /connection/sse ──► text to the standard output
//!                                        ▲   │ cut: Last-Event-ID
//!                                        └───┘
//!   Ctrl-C ──► DELETE /api/chat/{channel}
//! ```
//!
//! Everything but the text of the answer goes to the standard error.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lmserver_runtime::plugin::provider::{BaseUrl, Endpoint, Secret};
use lmserver_runtime::sys::ListenAddr;
use lmserver_runtime::tls::Trust;

use super::{FAILURE, Question, USAGE, report};
use crate::config::{Config, Environment, Flags, Inputs};
use crate::plugins::Plugins;

mod conversation;
mod http;
mod printer;

use conversation::Conversation;
use http::{At, Server};
use printer::Ending;

pub(super) fn run(plugins: &Plugins, flags: &Flags, question: &Question) -> ExitCode {
    let environment = Environment::of_process();
    let inputs = Inputs {
        flags,
        environment: &environment,
        plugins,
    };
    let server = match server(inputs, question.server.as_deref()) {
        Ok(server) => server,
        Err(mistake) => {
            report(&mistake);
            return ExitCode::from(USAGE);
        }
    };
    let outcome = text(&question.text)
        .and_then(|text| Conversation::begin(&server, &text, question.model.as_deref()))
        .and_then(|mut conversation| conversation.follow(&mut io::stdout().lock()));
    match outcome {
        Ok(Ending::Complete) => ExitCode::SUCCESS,
        Ok(Ending::Cancelled) => {
            report("\nlmserver: cancelled\n");
            ExitCode::SUCCESS
        }
        Ok(Ending::Failed(message)) => {
            report(&format!("lmserver: {message}\n"));
            ExitCode::from(FAILURE)
        }
        Err(failure) => {
            report(&format!("lmserver: {failure}\n"));
            ExitCode::from(FAILURE)
        }
    }
}

/// The question itself; `-` stands for the standard input.
fn text(given: &str) -> Result<String, http::Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(LARGEST_QUESTION)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The server that the flag names, or else the configured one with its key.
fn server(inputs: Inputs<'_>, url: Option<&str>) -> Result<Server, String> {
    let key = inputs
        .environment
        .get("LMSERVER_API_KEY")
        .map(|key| Secret::new(key.to_owned()));
    let interrupted = interruptible();
    if let Some(url) = url {
        // The configured key is this configuration's server's alone: it is not sent elsewhere.
        let at = at_url(url, inputs.environment)
            .map_err(|problem| format!("lmserver: --server: {problem}\n"))?;
        return Ok(Server {
            at,
            key,
            interrupted,
        });
    }
    let (config, _) = Config::load(inputs).map_err(|findings| super::check::failure(&findings))?;
    if config.server.tls.is_some() {
        let problem = "the configured server speaks HTTPS";
        let fix = "name it as its certificate does, with --server https://NAME";
        return Err(format!("lmserver: {problem}: {fix}\n"));
    }
    let key = key.or_else(|| config.auth.api_keys.first().map(|key| key.secret.clone()));
    let at = match config.server.listen {
        ListenAddr::Unix(path) => At::Unix(path),
        ListenAddr::Tcp(address) => {
            let host = reachable(address.ip()).to_string().into();
            let endpoint = Endpoint {
                tls: false,
                host,
                port: address.port(),
            };
            At::Tcp(BaseUrl {
                endpoint,
                path: "".into(),
                query: None,
            })
        }
    };
    Ok(Server {
        at,
        key,
        interrupted,
    })
}

fn at_url(url: &str, environment: &Environment) -> Result<At, String> {
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok(At::Unix(path.into()));
    }
    let base = BaseUrl::parse(url).map_err(|error| format!("{url:?}: {error}"))?;
    if !base.endpoint.tls {
        return Ok(At::Tcp(base));
    }
    let trust = match environment.get("SSL_CERT_FILE") {
        Some(path) => std::fs::read(path)
            .map_err(|error| format!("SSL_CERT_FILE: {path}: {error}"))
            .and_then(|pem| {
                let trust = Trust::with_authorities(&pem);
                trust.map_err(|error| format!("SSL_CERT_FILE: {path}: {error}"))
            }),
        None => Ok(Trust::public()),
    };
    Ok(At::Tls(base, trust?))
}

/// A server that listens on all addresses is reached on the loopback one.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// A flag that the first Ctrl-C sets; the second one ends the program at once.
fn interruptible() -> Arc<AtomicBool> {
    use signal_hook::consts::SIGINT;
    let interrupted = Arc::new(AtomicBool::new(false));
    let second = signal_hook::flag::register_conditional_shutdown(
        SIGINT,
        i32::from(FAILURE),
        Arc::clone(&interrupted),
    );
    let first = signal_hook::flag::register(SIGINT, Arc::clone(&interrupted));
    if second.and(first).is_err() {
        report("lmserver: Ctrl-C will not cancel the generation\n");
    }
    interrupted
}

/// Bytes of a question that are read from the standard input.
const LARGEST_QUESTION: u64 = 64 << 20;
