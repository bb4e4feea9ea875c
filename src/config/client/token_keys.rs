//! `[client.token]` and `[client.subscription_token]`: the keys of tokens.

use lmserver_runtime::plugin::provider::{BaseUrl, Secret};
use lmserver_runtime::tls::Trust;

use crate::config::keys::Keys;
use crate::config::outward::Shared;
use crate::config::report::Report;
use crate::config::section::Section;
use crate::config::server::{Auth, warn_if_short};
use crate::token::{Family, KeyServer, KeySource, PublicKey, Settings};

/// Reads one of the two, and where its key set is fetched from. Where it has no `hmac_secret_key`, the `token_secret` of `[auth]` is it.
pub(super) fn read(
    mut section: Section<'_>,
    auth: &Auth,
    shared: &Shared,
    keys: &mut Keys,
    report: &mut Report,
) -> (Settings, Option<KeyServer>) {
    let mut text = |key: &str| {
        let text = section.string(key)?;
        if text.is_empty() {
            section.mistake_at(
                key,
                format!("`{key}` is empty"),
                "give it a value, or remove it",
            );
        }
        Some(text.into_boxed_str())
    };
    let (audience, issuer) = (text("audience"), text("issuer"));
    let user_id_claim = text("user_id_claim");
    let (key_source, server) = key_source(&mut section, shared);
    let settings = Settings {
        hmac_secret_key: secret(&mut section, "hmac_secret_key")
            .or_else(|| auth.token_secret.clone()),
        hmac_previous_secret_key: secret(&mut section, "hmac_previous_secret_key"),
        hmac_previous_secret_key_valid_until: section.integer(
            "hmac_previous_secret_key_valid_until",
            1,
            u64::MAX,
        ),
        rsa_public_key: key_of(&mut section, "rsa_public_key", Family::Rsa),
        ecdsa_public_key: key_of(&mut section, "ecdsa_public_key", Family::Ecdsa),
        key_source,
        audience,
        issuer,
        user_id_claim,
    };
    for (key, other) in [("issuer_regex", "issuer"), ("audience_regex", "audience")] {
        let fix = format!("write {other} = \"…\" with the whole text");
        section.unsupported(key, "lmserver has no regular expressions", &fix);
    }
    section.finish(keys, report);
    (settings, server)
}

fn secret(section: &mut Section<'_>, key: &str) -> Option<Secret> {
    let secret = section.secret(key);
    warn_if_short(section, key, secret.as_ref());
    secret
}

fn key_of(section: &mut Section<'_>, key: &str, family: Family) -> Option<PublicKey> {
    let public = section.public_key(key)?;
    if public.family() == family {
        return Some(public);
    }
    let fix = match public.family() {
        Family::Rsa => "move it to `rsa_public_key`",
        Family::Ecdsa => "move it to `ecdsa_public_key`",
        Family::EdDsa | Family::Hmac => "put Ed25519 keys into a set, and name it in `jwks_file`",
    };
    section.mistake_at(key, format!("`{key}`: this is a key of another kind"), fix);
    None
}

/// `jwks_file`, `jwks_public_endpoint` and what belongs to that.
fn key_source(
    section: &mut Section<'_>,
    shared: &Shared,
) -> (Option<KeySource>, Option<KeyServer>) {
    let file = section.key_set("jwks_file");
    let trust = section.trust(CA_FILE, &shared.public_trust);
    let Some(url) = section.string(ENDPOINT) else {
        if section.has(CA_FILE) {
            let problem = format!("`{CA_FILE}` is of no use without `{ENDPOINT}`");
            section.warning_at(CA_FILE, problem, format!("remove it, or add `{ENDPOINT}`"));
        }
        return (file.map(KeySource::file), None);
    };
    let server = server(
        section,
        &url,
        trust.as_ref().unwrap_or(&shared.public_trust),
        shared,
    );
    let source = KeySource::endpoint(url);
    let source = match file {
        Some(keys) => source.beginning_with(keys),
        None => source,
    };
    (Some(source), server)
}

fn server(
    section: &mut Section<'_>,
    url: &str,
    trust: &Trust,
    shared: &Shared,
) -> Option<KeyServer> {
    if url.contains("{{") {
        section.mistake_at(
            ENDPOINT,
            format!("`{ENDPOINT}`: placeholders are not filled in"),
            "write the whole URL",
        );
        return None;
    }
    let Ok(endpoint) = BaseUrl::parse(url).map(|url| url.endpoint) else {
        section.mistake_at(
            ENDPOINT,
            format!("`{ENDPOINT}`: not a URL"),
            "write it like \"https://issuer.example/.well-known/jwks.json\"",
        );
        return None;
    };
    if !endpoint.tls && !is_near(&endpoint.host) {
        section.warning_at(
            ENDPOINT,
            format!(
                "the key set travels unprotected from {}: who changes it can make tokens",
                endpoint.host
            ),
            "use an https:// URL",
        );
    }
    KeyServer::new(url, trust.clone(), shared.proxies.to(&endpoint)).ok()
}

/// Whether what is said to the host stays on this machine.
fn is_near(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

const ENDPOINT: &str = "jwks_public_endpoint";

const CA_FILE: &str = "jwks_ca_file";
