//! `lmserver serve`: from the configuration to the end of the last connection.

use std::io;
use std::process::ExitCode;

use lmserver_runtime::sys::ListenAddr;
use lmserver_runtime::sys::mio::MioSys;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::check::failure;
use super::{FAILURE, USAGE, report};
use crate::assemble::assemble;
use crate::config::{Config, Environment, Flags, Inputs, Reloader, log_warnings, show_listen};
use crate::plugins::Plugins;

pub(super) fn run(plugins: &Plugins, flags: &Flags) -> ExitCode {
    let environment = Environment::of_process();
    let inputs = Inputs {
        flags,
        environment: &environment,
        plugins,
    };
    let (config, warnings) = match Config::load(inputs) {
        Ok(read) => read,
        Err(findings) => {
            report(&failure(&findings));
            return ExitCode::from(USAGE);
        }
    };
    crate::log::start(config.log);
    introduce(&config);
    log_warnings(&warnings);
    let reloader = Reloader::new(inputs, &config);
    match serve(config, plugins, reloader) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::error!("{problem}");
            ExitCode::from(FAILURE)
        }
    }
}

fn serve(mut config: Config, plugins: &Plugins, reloader: Reloader) -> Result<(), String> {
    fit_connections(&mut config);
    let mut sys = MioSys::new().map_err(|error| format!("cannot open a poll: {error}"))?;
    sys.catch_signals()
        .map_err(|error| format!("cannot catch signals: {error}"))?;
    let (listen, tls) = (config.server.listen.clone(), config.server.tls.clone());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut reactor = assemble(config, plugins, reloader, sys);
    let at = reactor
        .listen(&listen, tls)
        .map_err(|error| cannot_listen(&listen, &error))?;
    match at {
        ListenAddr::Tcp(address) => log::info!("listening on {scheme}://{address}"),
        ListenAddr::Unix(_) => log::info!("listening on {}", show_listen(&at)),
    }
    reactor
        .run_here()
        .map_err(|error| format!("the server cannot go on: {error}"))
}

/// What one wants to know who reads the log later.
fn introduce(config: &Config) {
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let file = file.unwrap_or_else(|| "no file".to_owned());
    log::info!(
        "lmserver {}, configuration: {file}",
        env!("CARGO_PKG_VERSION")
    );
    for provider in &config.providers {
        let endpoint = provider.endpoint.as_deref().unwrap_or("offline");
        log::info!(
            "provider {}: kind {}, {endpoint}",
            provider.name,
            provider.kind
        );
    }
    if let Some(port) = &config.centrifugo_port {
        log::info!("CENTRIFUGO_PORT {port} is not used: one port serves all");
    }
}

/// Takes all descriptors that the process may have, and no more clients than they suffice for.
fn fit_connections(config: &mut Config) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::warn!("cannot raise the limit of open files: {error}");
            limit = getrlimit(Resource::Nofile);
        }
    }
    let Some(files) = limit.current else { return };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let clients = files.saturating_sub((files / 8).max(RESERVED_FILES)).max(1);
    if clients < config.limits.connections {
        let wanted = config.limits.connections;
        log::info!(
            "serving at most {clients} connections, not {wanted}: {files} open files allowed"
        );
        config.limits.connections = clients;
    }
}

fn cannot_listen(at: &ListenAddr, error: &io::Error) -> String {
    let fix = match error.kind() {
        io::ErrorKind::AddrInUse => "stop what listens there, or choose another with --listen",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 or another path with --listen",
        _ => "choose an address of this machine with --listen",
    };
    format!("cannot listen on {}: {error}; {fix}", show_listen(at))
}

/// Descriptors that clients do not get: the poll's own, the log's, connections to providers.
const RESERVED_FILES: usize = 32;
