//! `lmserver check`: reads the configuration and says what is wrong with it.
//!
//! Findings go to the standard error, the summary of a good configuration to the standard
//! output; neither holds a secret.

use std::fmt::Write as _;
use std::process::ExitCode;

use lmserver_runtime::routing::Plan;

use super::{USAGE, print, report};
use crate::config::{Config, Environment, Flags, Inputs, Report, show_listen};
use crate::plugins::Plugins;
use crate::token;

pub(super) fn run(plugins: &Plugins, flags: &Flags) -> ExitCode {
    let environment = Environment::of_process();
    match Config::load(Inputs {
        flags,
        environment: &environment,
        plugins,
    }) {
        Ok((config, warnings)) => {
            report(&warnings.to_string());
            print(&summary(&config))
        }
        Err(findings) => {
            report(&failure(&findings));
            ExitCode::from(USAGE)
        }
    }
}

/// The findings and how many of them are in the way.
pub(super) fn failure(findings: &Report) -> String {
    let count = findings.mistakes();
    let plural = if count == 1 { "mistake" } else { "mistakes" };
    format!("{findings}{count} {plural} in the configuration\n")
}

fn summary(config: &Config) -> String {
    let mut text = String::new();
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let file = file.unwrap_or_else(|| "no file; environment and defaults".to_owned());
    let listen = show_listen(&config.server.listen);
    let keys = match config.auth.api_keys.len() {
        0 => "none: everybody who reaches the server may ask".to_owned(),
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    };
    let origins = config.server.allowed_origins.as_deref();
    let origins = origins.map_or_else(|| "the page's own host".to_owned(), |list| list.join(", "));
    let _ = writeln!(text, "configuration is good: {file}");
    let _ = writeln!(
        text,
        "listen    {listen}{}",
        if config.server.tls.is_some() {
            " (TLS)"
        } else {
            ""
        }
    );
    let _ = writeln!(text, "api keys  {keys}");
    let _ = writeln!(text, "origins   {origins}");
    if config.client.token.has_keys() {
        let _ = writeln!(text, "tokens    {}", token_keys(&config.client.token));
    }
    for name in config.namespaces.named.keys() {
        let _ = writeln!(text, "namespace {name}");
    }
    for provider in &config.providers {
        let endpoint = provider.endpoint.as_deref().unwrap_or("offline");
        let _ = writeln!(
            text,
            "provider  {}: kind {}, {endpoint}",
            provider.name, provider.kind
        );
    }
    for (name, plan) in &config.routing.models {
        let _ = writeln!(text, "model     {name}: {}", targets(plan));
    }
    text
}

/// The targets in the order in which they are asked; those that share the work with their weights.
fn targets(plan: &Plan) -> String {
    let groups = plan.targets().chunk_by(|a, b| a.group == b.group);
    let groups = groups.map(|group| match group {
        [only] => only.target.to_string(),
        members => {
            let members = members
                .iter()
                .map(|it| format!("{} ({})", it.target, it.weight));
            members.collect::<Vec<_>>().join(" or ")
        }
    });
    groups.collect::<Vec<_>>().join(", then ")
}

/// The kinds of keys that tokens may be signed with.
fn token_keys(keys: &token::Settings) -> String {
    let source = keys.key_source.as_ref();
    let of_set = source.map(|source| match source.url() {
        Some(url) => format!("a key set from {url}"),
        None => format!("a key set of {}", source.keys().len()),
    });
    let named = [
        keys.hmac_secret_key.as_ref().map(|_| "HMAC".to_owned()),
        keys.rsa_public_key.as_ref().map(|_| "RSA".to_owned()),
        keys.ecdsa_public_key.as_ref().map(|_| "ECDSA".to_owned()),
        of_set,
    ];
    named.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
