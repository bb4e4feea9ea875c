//! What tokens say.

use super::data::{NOW, hs256, with_secret};
use crate::token::{ConnectionClaims, Settings, SubscribeOptions, TokenError, Verifier};

fn connection(claims: &str) -> ConnectionClaims {
    let verifier = Verifier::new(&with_secret());
    verifier.connection(&hs256(claims), NOW).unwrap()
}

#[test]
fn a_token_may_say_nothing() {
    for claims in [
        "{}",
        r#"{"sub":"","info":null,"b64info":"","channels":null,"subs":null,"meta":{"a":[]}}"#,
        r#"{"sub":null,"channel":null,"expire_at":null,"anything":1}"#,
    ] {
        assert_eq!(connection(claims), ConnectionClaims::default(), "{claims}");
    }
}

#[test]
fn info_and_data_are_the_json_as_it_stands_or_the_decoded_bytes() {
    for (claims, want) in [
        (r#"{"info": {"a": 1.0} }"#, Some(&br#"{"a": 1.0}"#[..])),
        (r#"{"info":"text"}"#, Some(br#""text""#)),
        (r#"{"b64info":"eyJhIjoxfQ=="}"#, Some(br#"{"a":1}"#)),
        (r#"{"b64info":"/wA=","info":1}"#, Some(&[255, 0])),
        (r#"{"b64info":"","info":1}"#, Some(b"1")),
    ] {
        assert_eq!(connection(claims).info.as_deref(), want, "{claims}");
    }
}

#[test]
fn channels_come_with_their_options() {
    let claims = connection(
        r#"{"channels":["a","b"],"subs":{"c":{},"d":null,"e":{"info":1,"b64data":"AAE=",
           "override":{"presence":{"value":false},"join_leave":{"value":true},
           "force_push_join_leave":{"value":true},"force_recovery":{"value":true},
           "force_positioning":{"value":false},"other":1}}}}"#,
    );
    assert_eq!(claims.channels, ["a", "b"].map(Box::from));
    assert_eq!(claims.subs.len(), 3);
    assert_eq!(claims.subs["c"], SubscribeOptions::default());
    assert_eq!(claims.subs["d"], SubscribeOptions::default());
    let options = &claims.subs["e"];
    assert_eq!(options.info.as_deref(), Some(&b"1"[..]));
    assert_eq!(options.data.as_deref(), Some(&[0, 1][..]));
    let overrides = options.overrides;
    assert_eq!(overrides.presence, Some(false));
    assert_eq!(overrides.join_leave, Some(true));
    assert_eq!(overrides.force_push_join_leave, Some(true));
    assert_eq!(overrides.force_recovery, Some(true));
    assert_eq!(overrides.force_positioning, Some(false));
}

#[test]
fn the_user_may_stand_in_a_claim_of_another_name() {
    let verifier = Verifier::new(&Settings {
        user_id_claim: Some("uid".into()),
        ..with_secret()
    });
    let user = |claims: &str| {
        let said = verifier.connection(&hs256(claims), NOW);
        said.map(|claims| claims.user.into_string())
    };
    assert_eq!(user(r#"{"uid":"7","sub":"42"}"#).as_deref(), Ok("7"));
    assert_eq!(user(r#"{"sub":"42"}"#).as_deref(), Ok(""));
    assert!(matches!(user(r#"{"uid":7}"#), Err(TokenError::Claims(_))));
}

#[test]
fn a_subscription_token_may_be_for_any_connection_of_anybody() {
    let verifier = Verifier::new(&with_secret());
    let token = hs256(r#"{"channel":"c","client":"","data":{"a":1},"info":[]}"#);
    let claims = verifier.subscription(&token, NOW).unwrap();
    assert_eq!((&*claims.user, &*claims.channel), ("", "c"));
    assert_eq!(claims.client, None);
    assert_eq!(claims.data.as_deref(), Some(&br#"{"a":1}"#[..]));
    assert_eq!(claims.info.as_deref(), Some(&b"[]"[..]));
    assert_eq!(claims.expires_at, None);
}
