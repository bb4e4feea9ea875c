//! What is a key, and which of several is taken.

use serde_json::{Value, json};

use super::data::{
    ED25519, HMAC, JWKS, NOW, P256, P384, P521, RSA_PKCS1, RSA_SPKI, key_file, made_named, pem,
    refusal, secret, tampered,
};
use crate::token::{
    Family, KeyError, KeySet, KeySource, LARGEST_KEY_SET, PublicKey, Reaction, Settings,
    TokenError, Verifier,
};

fn set(keys: &Value) -> Result<KeySet, KeyError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// The keys of the file by `kid`.
fn jwk(kid: &str) -> Value {
    let set: Value = serde_json::from_str(JWKS).unwrap();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kid"] == kid).unwrap().clone()
}

#[test]
fn public_keys_are_read_from_pem() {
    for (pem, want) in [
        (RSA_SPKI, Ok(Family::Rsa)),
        (RSA_PKCS1, Ok(Family::Rsa)),
        (P256, Ok(Family::Ecdsa)),
        (P384, Ok(Family::Ecdsa)),
        (ED25519, Ok(Family::EdDsa)),
        (P521, Err(KeyError::P521)),
        ("", Err(KeyError::NotPem)),
        ("a secret", Err(KeyError::NotPem)),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            Err(KeyError::Damaged),
        ),
        (
            "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----\n",
            Err(KeyError::Damaged),
        ),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n", Err(KeyError::Damaged)),
        (
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
            Err(KeyError::Private),
        ),
    ] {
        let read = PublicKey::from_pem(pem).map(|key| key.family());
        assert_eq!(read, want, "{pem}");
    }
    assert_eq!(
        PublicKey::from_pem(RSA_SPKI),
        PublicKey::from_pem(RSA_PKCS1)
    );
    assert!(
        KeyError::P521
            .to_string()
            .contains("ES512 is not supported")
    );
}

#[test]
fn a_damaged_key_is_refused_or_fits_no_token() {
    let token = made_named("rsa RS256");
    for pem in [RSA_SPKI, RSA_PKCS1] {
        let body = pem.find("KEY-----\n").unwrap() + 9..pem.rfind("\n-----END").unwrap();
        for at in body.filter(|at| pem.as_bytes()[*at] != b'\n') {
            if let Ok(key) = PublicKey::from_pem(&tampered(pem, at)) {
                let settings = Settings {
                    rsa_public_key: Some(key),
                    ..Settings::default()
                };
                assert!(refusal(&settings, &token).is_err(), "byte {at}");
            }
        }
    }
}

#[test]
fn a_key_set_keeps_what_can_check_tokens_and_passes_over_the_rest() {
    assert_eq!(KeySet::parse(JWKS.as_bytes()).unwrap().len(), 4);
    let without = |member: &str| {
        let mut key = jwk("ec-256");
        key.as_object_mut().unwrap().remove(member);
        key
    };
    let with = |kid: &str, member: &str, value: &str| {
        let mut key = jwk(kid);
        key[member] = json!(value);
        key
    };
    for (name, key) in [
        ("no kid", without("kid")),
        ("no kty", without("kty")),
        ("no curve", without("crv")),
        ("no y", without("y")),
        ("another use", with("ec-256", "use", "enc")),
        ("another algorithm", with("ec-256", "alg", "ECDH-ES")),
        ("short x", with("ec-256", "x", "AAAA")),
        ("x not base64url", with("ec-256", "x", "+/==")),
        ("the other curve", with("ec-256", "crv", "P-384")),
        ("P-521", jwk("ec-521")),
        ("a shared secret", jwk("shared")),
        ("short RSA", with("rsa-1", "n", "AQAB")),
        ("RSA with e 1", with("rsa-1", "e", "AQ")),
        ("short Ed25519", with("ed-1", "x", "AAAA")),
        ("X25519", with("ed-1", "crv", "X25519")),
        ("a number", json!(1)),
        ("an array", json!(["EC"])),
    ] {
        assert_eq!(set(&json!([key])), Err(KeyError::NoKeys), "{name}");
        let beside = set(&json!([key, jwk("ed-1")])).unwrap();
        assert_eq!(beside.len(), 1, "{name}");
    }
}

#[test]
fn what_is_no_key_set_is_refused() {
    let large = vec![b' '; LARGEST_KEY_SET + 1];
    for (text, want) in [
        (&b""[..], KeyError::NotKeySet),
        (b"[]", KeyError::NotKeySet),
        (b"{}", KeyError::NotKeySet),
        (b"{\"keys\":{}}", KeyError::NotKeySet),
        (b"{\"keys\":[", KeyError::NotKeySet),
        (b"{\"keys\":[]}", KeyError::NoKeys),
        (b"<html>", KeyError::NotKeySet),
        (&large, KeyError::TooLarge(LARGEST_KEY_SET + 1)),
    ] {
        assert_eq!(KeySet::parse(text), Err(want));
    }
    for cut in 0..JWKS.trim_end().len() {
        let read = KeySet::parse(&JWKS.as_bytes()[..cut]);
        assert_eq!(read, Err(KeyError::NotKeySet), "cut at {cut}");
    }
}

#[test]
fn leading_zeros_of_a_modulus_do_not_count() {
    let (mut padded, key) = (jwk("rsa-1"), jwk("rsa-1"));
    let n = super::data::base64url(key["n"].as_str().unwrap());
    // Three zero bytes are four letters, as the rest is not moved by them.
    padded["n"] = json!(format!("AAAA{}", key["n"].as_str().unwrap()));
    assert_eq!(n.len(), 256);
    assert_eq!(set(&json!([padded])), set(&json!([key])));
}

#[test]
fn the_kid_picks_the_key_and_the_key_bounds_the_algorithm() {
    let file = Settings {
        key_source: key_file(),
        ..Settings::default()
    };
    let source = |keys: Value| Settings {
        key_source: Some(KeySource::file(set(&keys).unwrap())),
        ..Settings::default()
    };
    let mut only_384 = jwk("rsa-1");
    only_384["alg"] = json!("RS384");
    let mut renamed = jwk("ec-256");
    renamed["kid"] = json!("rsa-1");
    let rs256 = made_named("rsa RS256");
    for (name, settings, want) in [
        ("in the set", file.clone(), Ok(())),
        (
            "for another algorithm",
            source(json!([only_384])),
            Err(TokenError::Mismatch),
        ),
        (
            "of another kind",
            source(json!([renamed])),
            Err(TokenError::Mismatch),
        ),
        (
            "two of that name",
            source(json!([renamed, jwk("rsa-1")])),
            Ok(()),
        ),
        (
            "not in the set",
            source(json!([jwk("ed-1")])),
            Err(TokenError::UnknownKey { may_come: false }),
        ),
    ] {
        assert_eq!(refusal(&settings, &rs256), want, "{name}");
    }
    let beside = Settings {
        rsa_public_key: pem(RSA_SPKI),
        ..source(json!([jwk("ed-1")]))
    };
    assert_eq!(refusal(&beside, &rs256), Ok(()));
    let unnamed = super::data::token(r#"{"alg":"RS256"}"#, "{}");
    assert_eq!(refusal(&file, &unnamed), Err(TokenError::KeyNotNamed));
}

#[test]
fn a_fetched_set_takes_the_place_of_the_former_one() {
    let mut verifier = Verifier::new(&Settings {
        key_source: Some(KeySource::endpoint("https://issuer.example/jwks.json")),
        ..Settings::default()
    });
    let token = made_named("rsa RS256");
    let check = |verifier: &Verifier| verifier.connection(&token, NOW).map(|_| ());
    let unknown = TokenError::UnknownKey { may_come: true };
    assert_eq!(unknown.reaction(), Reaction::Retry);
    assert_eq!(check(&verifier), Err(unknown.clone()));
    let source = verifier.key_source().unwrap();
    assert!(source.take_miss() && !source.take_miss(), "it is wanted");
    assert_eq!(source.url(), Some("https://issuer.example/jwks.json"));
    source.replace(JWKS.as_bytes()).unwrap();
    assert_eq!(check(&verifier), Ok(()));
    assert!(!verifier.key_source().unwrap().take_miss());
    let same = verifier.key_source().unwrap().replace(JWKS.as_bytes());
    assert_eq!(same, Ok(false), "it is the same set");
    let broken = verifier.key_source().unwrap().replace(b"<html>");
    assert_eq!(broken, Err(KeyError::NotKeySet));
    assert_eq!(check(&verifier), Ok(()), "the former set stays");
    let other = json!({ "keys": [jwk("ed-1")] }).to_string();
    verifier
        .key_source()
        .unwrap()
        .replace(other.as_bytes())
        .unwrap();
    assert_eq!(check(&verifier), Err(unknown));
}

#[test]
fn the_text_of_a_public_key_is_no_shared_secret() {
    for pem_text in [RSA_SPKI, RSA_PKCS1] {
        for text in [pem_text, pem_text.trim_end()] {
            let confused = crate::token::sign(
                &crate::token::SecretKey::new(text.as_bytes()),
                br#"{"alg":"HS256","kid":"rsa-1"}"#,
                br#"{"sub":"admin"}"#,
            );
            let rsa = Settings {
                rsa_public_key: pem(pem_text),
                key_source: key_file(),
                ..Settings::default()
            };
            assert_eq!(refusal(&rsa, &confused), Err(TokenError::NoKey));
            let both = Settings {
                hmac_secret_key: secret(HMAC),
                ..rsa
            };
            assert_eq!(refusal(&both, &confused), Err(TokenError::Signature));
        }
    }
}
