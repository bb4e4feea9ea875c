//! The examples of the RFCs.

use serde_json::{Value, json};

use super::data::{RFC, base64url, tampered};
use crate::token::{Jws, KeySet, SecretKey, TokenError};

struct Vector {
    name: String,
    key: Value,
    token: String,
}

fn vectors() -> Vec<Vector> {
    let all: Vec<Value> = serde_json::from_str(RFC).unwrap();
    all.into_iter()
        .map(|vector| Vector {
            name: vector["name"].as_str().unwrap().to_owned(),
            key: vector["key"].clone(),
            token: vector["token"].as_str().unwrap().to_owned(),
        })
        .collect()
}

/// Opens a token with the one key, whatever `kid` says.
fn open(token: &str, key: &Value) -> Result<Vec<u8>, TokenError> {
    let jws = Jws::parse(token)?;
    let algorithm = jws.algorithm();
    if let Some(secret) = key["k"].as_str() {
        let secret = SecretKey::new(&base64url(secret));
        return jws.open(|message, signature| secret.verify(algorithm, message, signature));
    }
    let mut key = key.clone();
    key["kid"] = json!("one");
    let set = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
    let key = set.find("one", algorithm).unwrap()?;
    jws.open(|message, signature| key.verify(algorithm, message, signature))
}

#[test]
fn the_examples_of_the_rfcs_are_verified_and_no_byte_of_them_can_be_changed() {
    let claims =
        "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
    for (name, want) in [
        ("RFC 7515 A.1", claims),
        ("RFC 7515 A.2", claims),
        ("RFC 7515 A.3", claims),
        ("RFC 8037 A.4", "Example of Ed25519 signing"),
    ] {
        let all = vectors();
        let vector = all.iter().find(|vector| vector.name == name).unwrap();
        let opened = open(&vector.token, &vector.key).unwrap();
        assert_eq!(String::from_utf8(opened).unwrap(), want, "{name}");
        for at in 0..vector.token.len() {
            let other = tampered(&vector.token, at);
            assert!(open(&other, &vector.key).is_err(), "{name}, byte {at}");
        }
    }
}

#[test]
fn what_is_not_supported_is_said() {
    for (name, want) in [
        ("RFC 7515 A.4", TokenError::Es512),
        ("RFC 7515 A.5", TokenError::Unsigned),
    ] {
        let all = vectors();
        let vector = all.iter().find(|vector| vector.name == name).unwrap();
        assert_eq!(open(&vector.token, &vector.key), Err(want), "{name}");
    }
    assert!(
        TokenError::Es512
            .to_string()
            .contains("ES512 is not supported")
    );
}
