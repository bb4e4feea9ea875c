//! Tokens that are not good, and tokens that only just are.

use std::time::Duration;

use super::data::{NOW, hs256, refusal, secret, token, with_secret};
use crate::token::{LONGEST_TOKEN, Reaction, SecretKey, Settings, TokenError, Verifier, sign};

#[test]
fn what_is_no_token_is_malformed() {
    let good = hs256("{}");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for (name, token, want) in [
        ("good", good.clone(), Ok(())),
        ("empty", String::new(), Err(TokenError::Malformed)),
        ("dots", "..".to_owned(), Err(TokenError::Malformed)),
        ("one part", "abc".to_owned(), Err(TokenError::Malformed)),
        ("two parts", signed.to_owned(), Err(TokenError::Malformed)),
        (
            "four parts",
            format!("{good}.{signature}"),
            Err(TokenError::Malformed),
        ),
        ("padding", format!("{good}="), Err(TokenError::Malformed)),
        (
            "white space",
            format!(" {good}"),
            Err(TokenError::Malformed),
        ),
        (
            "not ASCII",
            format!("{signed}.é"),
            Err(TokenError::Malformed),
        ),
        (
            "no signature",
            format!("{signed}."),
            Err(TokenError::Signature),
        ),
        (
            "short signature",
            good[..good.len() - 3].to_owned(),
            Err(TokenError::Signature),
        ),
        (
            "header no JSON",
            token("x", "{}"),
            Err(TokenError::Malformed),
        ),
        (
            "header array",
            token(r#"["HS256",null,null]"#, "{}"),
            Err(TokenError::Malformed),
        ),
        ("no alg", token("{}", "{}"), Err(TokenError::Malformed)),
        (
            "alg number",
            token(r#"{"alg":256}"#, "{}"),
            Err(TokenError::Malformed),
        ),
        (
            "alg twice",
            token(r#"{"alg":"HS256","alg":"HS256"}"#, "{}"),
            Err(TokenError::Malformed),
        ),
        (
            "kid number",
            token(r#"{"alg":"HS256","kid":1}"#, "{}"),
            Err(TokenError::Malformed),
        ),
        (
            "none",
            token(r#"{"alg":"none"}"#, "{}"),
            Err(TokenError::Unsigned),
        ),
        (
            "None",
            token(r#"{"alg":"None"}"#, "{}"),
            Err(TokenError::Unsigned),
        ),
        (
            "hs256",
            token(r#"{"alg":"hs256"}"#, "{}"),
            Err(TokenError::Algorithm),
        ),
        (
            "ES512",
            token(r#"{"alg":"ES512"}"#, "{}"),
            Err(TokenError::Es512),
        ),
        (
            "another HMAC",
            token(r#"{"alg":"HS512"}"#, "{}"),
            Err(TokenError::Signature),
        ),
        (
            "no key",
            token(r#"{"alg":"RS256"}"#, "{}"),
            Err(TokenError::NoKey),
        ),
        (
            "crit",
            token(r#"{"alg":"HS256","crit":["b64"]}"#, "{}"),
            Err(TokenError::Critical),
        ),
    ] {
        assert_eq!(refusal(&with_secret(), &token), want, "{name}");
    }
    assert_eq!(refusal(&Settings::default(), &good), Err(TokenError::NoKey));
}

#[test]
fn a_token_has_a_bounded_length() {
    let of_length = |length: usize| {
        let mut payload = r#"{"sub":"42"}"#.to_owned();
        while hs256(&payload).len() < length {
            let missing = length - hs256(&payload).len();
            payload.push_str(&" ".repeat((missing * 3 / 4).max(1)));
        }
        hs256(&payload)
    };
    let long = of_length(LONGEST_TOKEN - 1);
    assert!(long.len() <= LONGEST_TOKEN, "{}", long.len());
    assert_eq!(refusal(&with_secret(), &long), Ok(()));
    let too_long = of_length(LONGEST_TOKEN + 1);
    assert_eq!(
        refusal(&with_secret(), &too_long),
        Err(TokenError::TooLong(too_long.len()))
    );
    let huge = ".".repeat(10 << 20);
    assert_eq!(
        refusal(&with_secret(), &huge),
        Err(TokenError::TooLong(10 << 20))
    );
}

#[test]
fn times_count_to_the_moment() {
    for (claims, want) in [
        (r#"{"exp":1700000001}"#, Ok(Some(1_700_000_001))),
        (r#"{"exp":1700000000.5}"#, Ok(Some(1_700_000_001))),
        (r#"{"exp":1700000000}"#, Err(TokenError::Expired(0))),
        (r#"{"exp":1699999990}"#, Err(TokenError::Expired(10))),
        (r#"{"exp":0}"#, Err(TokenError::Expired(1_700_000_000))),
        (r#"{"exp":-1}"#, Err(TokenError::Expired(1_700_000_001))),
        (r#"{"exp":1e300}"#, Ok(Some(u64::MAX))),
        (r#"{"exp":null}"#, Ok(None)),
        ("{}", Ok(None)),
        (r#"{"nbf":1700000000}"#, Ok(None)),
        (r#"{"nbf":1700000000.5}"#, Err(TokenError::NotYet)),
        (r#"{"nbf":1700000001}"#, Err(TokenError::NotYet)),
        (r#"{"iat":1800000000}"#, Ok(None)),
        (r#"{"expire_at":1700000001}"#, Ok(Some(1_700_000_001))),
        (r#"{"expire_at":1700000000}"#, Err(TokenError::Expired(0))),
        (r#"{"expire_at":0}"#, Ok(None)),
        (r#"{"exp":1700000005,"expire_at":0}"#, Ok(None)),
        (
            r#"{"exp":1700000005,"expire_at":1800000000}"#,
            Ok(Some(1_800_000_000)),
        ),
        (
            r#"{"exp":1600000000,"expire_at":0}"#,
            Err(TokenError::Expired(100_000_000)),
        ),
        (
            r#"{"exp":1800000000,"expire_at":1600000000}"#,
            Err(TokenError::Expired(100_000_000)),
        ),
    ] {
        let verifier = Verifier::new(&with_secret());
        let said = verifier.connection(&hs256(claims), NOW);
        assert_eq!(said.map(|claims| claims.expires_at), want, "{claims}");
    }
}

#[test]
fn issuer_and_audience_are_compared_where_they_are_configured() {
    let settings = Settings {
        issuer: Some("me".into()),
        audience: Some("you".into()),
        ..with_secret()
    };
    for (claims, want) in [
        (r#"{"iss":"me","aud":"you"}"#, Ok(())),
        (r#"{"iss":"me","aud":["them","you"]}"#, Ok(())),
        (r#"{"iss":"me","aud":[]}"#, Err(TokenError::Audience)),
        (r#"{"iss":"me","aud":["yo"]}"#, Err(TokenError::Audience)),
        (r#"{"iss":"me"}"#, Err(TokenError::Audience)),
        (r#"{"aud":"you"}"#, Err(TokenError::Issuer)),
        (r#"{"iss":"Me","aud":"you"}"#, Err(TokenError::Issuer)),
        // What is somebody else's is not worth a renewal.
        (
            r#"{"iss":"me","aud":"them","exp":1}"#,
            Err(TokenError::Audience),
        ),
    ] {
        assert_eq!(refusal(&settings, &hs256(claims)), want, "{claims}");
        assert!(refusal(&with_secret(), &hs256(claims)).is_ok() || claims.contains("exp"));
    }
}

#[test]
fn claims_of_another_type_are_refused_and_named() {
    for claims in [
        "[]",
        "x",
        "{",
        r#"{"sub":42}"#,
        r#"{"sub":"1","sub":"2"}"#,
        r#"{"exp":"1800000000"}"#,
        r#"{"aud":5}"#,
        r#"{"channels":"news"}"#,
        r#"{"channels":[1]}"#,
        r#"{"subs":["news"]}"#,
        r#"{"subs":{"news":{"override":{"presence":true}}}}"#,
        r#"{"b64info":"*"}"#,
        r#"{"subs":{"news":{"b64data":"*"}}}"#,
    ] {
        let refused = refusal(&with_secret(), &hs256(claims));
        assert!(
            matches!(refused, Err(TokenError::Claims(_))),
            "{claims}: {refused:?}"
        );
    }
}

#[test]
fn the_two_kinds_of_token_are_not_exchangeable() {
    let verifier = Verifier::new(&with_secret());
    let (connection, subscription) = (
        hs256(r#"{"sub":"1","exp":1}"#),
        hs256(r#"{"channel":"c","exp":1}"#),
    );
    assert_eq!(
        verifier.connection(&subscription, NOW),
        Err(TokenError::WrongKind)
    );
    assert_eq!(
        verifier.subscription(&connection, NOW),
        Err(TokenError::NoChannel)
    );
    let empty = hs256(r#"{"channel":""}"#);
    assert_eq!(
        verifier.subscription(&empty, NOW),
        Err(TokenError::NoChannel)
    );
}

#[test]
fn the_previous_secret_is_good_until_its_end() {
    let token = sign(&SecretKey::new(b"old"), br#"{"alg":"HS256"}"#, b"{}");
    for (until, want) in [
        (None, Ok(())),
        (Some(NOW.as_secs() + 1), Ok(())),
        (Some(NOW.as_secs()), Err(TokenError::Signature)),
    ] {
        let settings = Settings {
            hmac_previous_secret_key: secret("old"),
            hmac_previous_secret_key_valid_until: until,
            ..with_secret()
        };
        assert_eq!(refusal(&settings, &token), want, "{until:?}");
        assert_eq!(refusal(&settings, &hs256("{}")), Ok(()));
    }
}

#[test]
fn an_error_says_what_the_client_should_do() {
    for (error, want) in [
        (TokenError::Expired(1), Reaction::Renew),
        (TokenError::UnknownKey { may_come: true }, Reaction::Retry),
        (TokenError::UnknownKey { may_come: false }, Reaction::Refuse),
        (TokenError::Signature, Reaction::Refuse),
        (TokenError::WrongKind, Reaction::Refuse),
    ] {
        assert_eq!(error.reaction(), want, "{error}");
    }
    assert!(size_of::<TokenError>() <= 32);
}

#[test]
fn a_key_is_not_shown() {
    let shown = format!("{:?}", Verifier::new(&with_secret()));
    assert!(
        !shown.contains("secret\"") && shown.contains('…'),
        "{shown}"
    );
    let old = hs256(r#"{"exp":1}"#);
    let verifier = Verifier::new(&with_secret());
    assert!(verifier.connection(&old, Duration::ZERO).is_ok());
}
