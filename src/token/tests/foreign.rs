//! Tokens that another implementation made.

use super::data::{
    HMAC, NOW, P256, P384, RSA_PKCS1, RSA_SPKI, all_keys, made, made_named, pem, refusal, secret,
    tampered,
};
use crate::token::{ConnectionClaims, Settings, TokenError, Verifier};

fn checked(name: &str, claims: &ConnectionClaims) {
    assert_eq!(&*claims.user, "42", "{name}");
    assert_eq!(claims.expires_at, Some(4_102_444_800), "{name}");
    let info: serde_json::Value = serde_json::from_slice(claims.info.as_deref().unwrap()).unwrap();
    assert_eq!(info["name"], "Zoë", "{name}");
    assert_eq!(claims.channels, [Box::from("news")], "{name}");
    let room = &claims.subs["room:1"];
    assert_eq!(room.data.as_deref(), Some(&b"{\"a\":1}"[..]), "{name}");
    assert_eq!(room.overrides.presence, Some(true), "{name}");
    assert_eq!(room.overrides.join_leave, None, "{name}");
}

#[test]
fn each_algorithm_is_verified_with_a_key_from_a_set_or_a_secret() {
    let verifier = Verifier::new(&all_keys());
    let mut seen = 0;
    for made in made() {
        let verified = verifier.connection(&made.token, NOW);
        let want = match made.name.as_str() {
            "p521" => Err(TokenError::Es512),
            "pss" => Err(TokenError::Algorithm),
            "unknown kid" => Err(TokenError::UnknownKey { may_come: false }),
            "subscription" => Err(TokenError::WrongKind),
            _ => Ok(()),
        };
        assert_eq!(
            verified.as_ref().map(|_| ()).map_err(Clone::clone),
            want,
            "{}",
            made.name
        );
        if let Ok(claims) = verified {
            assert_eq!(made.claims["sub"], *claims.user);
            checked(&made.name, &claims);
            seen += 1;
        }
    }
    assert_eq!(seen, 9);
}

#[test]
fn each_family_is_verified_with_its_one_key() {
    let none = Settings::default;
    let rsa = |text| Settings {
        rsa_public_key: pem(text),
        ..none()
    };
    let ecdsa = |text| Settings {
        ecdsa_public_key: pem(text),
        ..none()
    };
    let (spki, pkcs1, p256, p384) = (rsa(RSA_SPKI), rsa(RSA_PKCS1), ecdsa(P256), ecdsa(P384));
    for (name, settings, want) in [
        ("rsa RS256", &spki, Ok(())),
        ("rsa RS384", &pkcs1, Ok(())),
        ("rsa RS512", &spki, Ok(())),
        ("p256", &p256, Ok(())),
        ("p384", &p384, Ok(())),
        ("p256", &p384, Err(TokenError::Mismatch)),
        ("p384", &p256, Err(TokenError::Mismatch)),
        ("p256", &spki, Err(TokenError::NoKey)),
        ("rsa RS256", &p256, Err(TokenError::NoKey)),
        ("hmac HS256", &spki, Err(TokenError::NoKey)),
        ("ed25519", &spki, Err(TokenError::NoKey)),
    ] {
        let token = made_named(name);
        assert_eq!(refusal(settings, &token), want, "{name} with {settings:?}");
    }
}

#[test]
fn a_subscription_token_says_where_and_for_whom() {
    let settings = Settings {
        hmac_secret_key: secret(HMAC),
        ..Settings::default()
    };
    let token = made_named("subscription");
    let claims = Verifier::new(&settings).subscription(&token, NOW).unwrap();
    assert_eq!((&*claims.user, &*claims.channel), ("42", "room:1"));
    assert_eq!(claims.client.as_deref(), Some("c-1"));
    assert_eq!(claims.info.as_deref(), Some(&[0, 1, 2, 255][..]));
    assert_eq!(claims.data, None);
    assert_eq!(claims.expires_at, Some(4_102_444_800));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let settings = all_keys();
    for name in ["hmac HS512", "rsa RS256", "p256", "p384", "ed25519"] {
        let token = made_named(name);
        assert_eq!(refusal(&settings, &token), Ok(()));
        for at in 0..token.len() {
            let changed = refusal(&settings, &tampered(&token, at));
            assert!(changed.is_err(), "{name}, byte {at}");
        }
        for cut in 0..token.len() {
            assert!(
                refusal(&settings, &token[..cut]).is_err(),
                "{name}, cut at {cut}"
            );
        }
    }
}
