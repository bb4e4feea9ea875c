//! The files of `tests/data/tokens`, and tokens made here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::token::{KeySet, KeySource, PublicKey, SecretKey, Settings, TokenError, Verifier, sign};
use lmserver_runtime::plugin::provider::Secret;

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../../../tests/data/tokens/", $name))
    };
}

pub(super) const RFC: &str = file!("rfc.json");
pub(super) const TOKENS: &str = file!("tokens.json");
pub(super) const JWKS: &str = file!("jwks.json");
pub(super) const HMAC: &str = file!("hmac.txt");
pub(super) const RSA_SPKI: &str = file!("rsa.spki.pem");
pub(super) const RSA_PKCS1: &str = file!("rsa.pkcs1.pem");
pub(super) const P256: &str = file!("p256.pem");
pub(super) const P384: &str = file!("p384.pem");
pub(super) const P521: &str = file!("p521.pem");
pub(super) const ED25519: &str = file!("ed25519.pem");

/// A moment of 2023.
pub(super) const NOW: Duration = Duration::from_secs(1_700_000_000);

/// One entry of `tokens.json`.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) token: String,
    pub(super) claims: Value,
}

pub(super) fn made() -> Vec<Made> {
    let all: Vec<Value> = serde_json::from_str(TOKENS).unwrap();
    all.into_iter()
        .map(|made| Made {
            name: made["name"].as_str().unwrap().to_owned(),
            token: made["token"].as_str().unwrap().to_owned(),
            claims: made["claims"].clone(),
        })
        .collect()
}

pub(super) fn made_named(name: &str) -> String {
    made().into_iter().find(|m| m.name == name).unwrap().token
}

pub(super) fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text.trim().to_owned()))
}

pub(super) fn pem(text: &str) -> Option<PublicKey> {
    Some(PublicKey::from_pem(text).unwrap())
}

pub(super) fn key_file() -> Option<KeySource> {
    Some(KeySource::file(KeySet::parse(JWKS.as_bytes()).unwrap()))
}

/// All keys of `tests/data/tokens`, the set under its names.
pub(super) fn all_keys() -> Settings {
    Settings {
        hmac_secret_key: secret(HMAC),
        key_source: key_file(),
        ..Settings::default()
    }
}

/// A token signed with HS256 and the secret `secret`, whatever its header says.
pub(super) fn token(header: &str, payload: &str) -> String {
    sign(
        &SecretKey::new(b"secret"),
        header.as_bytes(),
        payload.as_bytes(),
    )
}

pub(super) fn hs256(payload: &str) -> String {
    token(r#"{"alg":"HS256"}"#, payload)
}

/// What is checked with the secret `secret`.
pub(super) fn with_secret() -> Settings {
    Settings {
        hmac_secret_key: secret("secret"),
        ..Settings::default()
    }
}

/// Why a connection token is refused; `Ok` if it is not.
pub(super) fn refusal(settings: &Settings, token: &str) -> Result<(), TokenError> {
    Verifier::new(settings).connection(token, NOW).map(|_| ())
}

/// The token with another letter at `at` that is one of base64url too.
pub(super) fn tampered(token: &str, at: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

pub(super) fn base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
