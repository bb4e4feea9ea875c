//! Tables of verdicts.

use lmserver_runtime::plugin::access::{Access as _, Action, Feature};

use super::*;
use crate::token::{SecretKey, sign};

const NOW: Duration = Duration::from_secs(1_000_000);

const HISTORY: History = History {
    size: 10,
    ttl: Duration::from_secs(60),
    meta_ttl: Duration::from_secs(3600),
};

/// The settings of a test: words, each of which changes one thing.
fn policy(words: &str) -> Policy {
    let has = |word: &str| words.split(' ').any(|other| other == word);
    let secret = |text: &str| Secret::new(text.to_owned());
    let mut namespaces = Namespaces::new(has("open").then_some(HISTORY));
    let members = Access {
        client: true,
        ..Access::default()
    };
    namespaces.named = [
        ("closed", ChannelOptions::default()),
        (
            "public",
            ChannelOptions {
                subscribe: Access::ALL,
                ..ChannelOptions::default()
            },
        ),
        (
            "members",
            ChannelOptions {
                subscribe: members,
                publish: Access::SUBSCRIBERS,
                ..ChannelOptions::default()
            },
        ),
        (
            "limited",
            ChannelOptions {
                subscribe: Access::ALL,
                allow_user_limited_channels: true,
                ..ChannelOptions::default()
            },
        ),
        (
            "full",
            ChannelOptions {
                history: Some(HISTORY),
                recovery: Feature::Allowed,
                positioning: Feature::Forced,
                presence: true,
                join_leave: true,
                ask_presence: members,
                read_history: Access::SUBSCRIBERS,
                publish: members,
                delta_publish: true,
                publication_data_format: DataFormat::JsonObject,
                ..ChannelOptions::default()
            },
        ),
        (
            "json",
            ChannelOptions {
                publish: Access::ALL,
                publication_data_format: DataFormat::Json,
                ..ChannelOptions::default()
            },
        ),
        (
            "any",
            ChannelOptions {
                publish: Access::ALL,
                ..ChannelOptions::default()
            },
        ),
    ]
    .into_iter()
    .map(|(name, options)| (name.into(), options))
    .collect();
    Policy::new(PolicySettings {
        client: ClientSettings {
            channel_limit: 3,
            ..ClientSettings::default()
        },
        connecting: Connecting {
            is_insecure: has("insecure"),
            without_token: has("anonymous"),
            needs_user: has("needs-user"),
            personal_namespace: has("personal").then(|| "members".into()),
        },
        tokens: Settings {
            hmac_secret_key: (!has("keyless")).then(|| secret("key")),
            ..Settings::default()
        },
        subscription_tokens: None,
        free_secret: has("secret").then(|| secret("chat-key")),
        namespaces,
    })
}

fn token(key: &str, claims: &str) -> String {
    let key = SecretKey::new(key.as_bytes());
    sign(&key, br#"{"alg":"HS256"}"#, claims.as_bytes())
}

fn connect(policy: &mut Policy, token: &str, channels: &[&str]) -> Result<ConnectGrant, Denial> {
    policy.connect(&ConnectAsk {
        token,
        channels,
        is_unidirectional: false,
        unix_time: NOW,
    })
}

#[test]
fn a_connection_needs_a_good_token_unless_it_may_do_without() {
    let good = token("key", r#"{"sub":"42","exp":1000060,"info":{"a":1}}"#);
    let nobodys = token("key", "{}");
    let expired = token("key", r#"{"sub":"42","exp":999999}"#);
    let foreign = token("other", r#"{"sub":"42"}"#);
    let of_channel = token("key", r#"{"sub":"42","channel":"a"}"#);
    let not_json = token("key", r#"{"sub":"42","b64info":"eA=="}"#);
    for (words, token, want) in [
        ("", "", Err(Denial::Disconnect(3501))),
        ("anonymous", "", Ok("")),
        ("insecure", "", Ok("")),
        ("", &*good, Ok("42")),
        ("insecure", &good, Ok("42")),
        ("keyless insecure", &good, Err(Denial::Disconnect(3500))),
        ("", &nobodys, Ok("")),
        ("needs-user", &nobodys, Err(Denial::Disconnect(3507))),
        ("", &expired, Err(Denial::Error(109))),
        ("insecure", &expired, Err(Denial::Error(109))),
        ("anonymous", &foreign, Err(Denial::Disconnect(3500))),
        ("insecure", &foreign, Err(Denial::Disconnect(3500))),
        ("", &of_channel, Err(Denial::Disconnect(3500))),
        ("", &not_json, Err(Denial::Disconnect(3500))),
        ("", "rubbish", Err(Denial::Disconnect(3500))),
    ] {
        let got = connect(&mut policy(words), token, &[]);
        let got = got.map(|grant| grant.user);
        assert_eq!(got.as_deref().map_err(|it| *it), want, "{words} {token}");
    }
    let grant = connect(&mut policy(""), &good, &[]).unwrap();
    assert_eq!(grant.expiry, Expiry(Some(1_000_060)));
    assert_eq!(grant.info.as_deref(), Some(&br#"{"a":1}"#[..]));
}

#[test]
fn a_connection_begins_with_the_channels_of_its_token_its_user_and_its_wish() {
    let names = |words: &str, claims: &str, channels: &[&str]| {
        let token = token("key", claims);
        let grant = connect(&mut policy(words), &token, channels)?;
        let names = grant.subscriptions.into_iter().map(|(name, _)| name);
        Ok(names.collect::<Vec<_>>().join(" "))
    };
    for (words, claims, channels, want) in [
        ("", r#"{"sub":"42"}"#, &[][..], Ok("")),
        (
            "",
            r#"{"sub":"42","channels":["closed:a"]}"#,
            &[],
            Ok("closed:a"),
        ),
        (
            "",
            r#"{"subs":{"closed:a":{},"$closed:b":null}}"#,
            &[],
            Ok("$closed:b closed:a"),
        ),
        (
            "",
            r#"{"channels":["closed:a"],"subs":{"closed:a":{}}}"#,
            &[],
            Ok("closed:a"),
        ),
        (
            "",
            r#"{"channels":["other:a"]}"#,
            &[],
            Err(Denial::Disconnect(3501)),
        ),
        ("personal", r#"{"sub":"42"}"#, &[], Ok("members:#42")),
        ("personal", "{}", &[], Ok("")),
        (
            "",
            "{}",
            &["public:a", "closed:a", "$public:a", "\u{e9}"],
            Ok("public:a"),
        ),
        ("", "{}", &["members:a"], Ok("")),
        ("", r#"{"sub":"42"}"#, &["members:a"], Ok("members:a")),
        ("", "{}", &["chat:a"], Ok("chat:a")),
        ("secret", "{}", &["chat:a"], Ok("")),
        ("", "{}", &["other:a"], Err(Denial::Disconnect(3501))),
        ("insecure", "{}", &["closed:a"], Ok("closed:a")),
        (
            "",
            "{}",
            &["public:a", "public:b", "public:c"],
            Ok("public:a public:b public:c"),
        ),
        (
            "",
            "{}",
            &["public:a", "public:b", "public:c", "public:d"],
            Err(Denial::Disconnect(3505)),
        ),
    ] {
        let want = want.map(str::to_owned);
        assert_eq!(
            names(words, claims, channels),
            want,
            "{words} {claims} {channels:?}"
        );
    }
}

#[test]
fn a_new_connection_token_is_of_the_same_user() {
    for (claims, want) in [
        (r#"{"sub":"42","exp":1000060}"#, Ok(Expiry(Some(1_000_060)))),
        (r#"{"sub":"42"}"#, Ok(Expiry(None))),
        (r#"{"sub":"43"}"#, Err(Denial::Disconnect(3500))),
        (r#"{"sub":"42","exp":1}"#, Err(Denial::Disconnect(3005))),
        (
            r#"{"sub":"42","channel":"a"}"#,
            Err(Denial::Disconnect(3500)),
        ),
    ] {
        let got = policy("").refresh("42", &token("key", claims), NOW);
        assert_eq!(got, want, "{claims}");
    }
    assert_eq!(
        policy("").refresh("42", "", NOW),
        Err(Denial::Disconnect(3500))
    );
}

fn subscribe(
    words: &str,
    user: &str,
    channel: &str,
    token: &str,
) -> Result<SubscribeGrant, Denial> {
    policy(words).subscribe(&SubscribeAsk {
        user,
        client: "c1",
        channel,
        token,
        unix_time: NOW,
    })
}

#[test]
fn a_subscription_without_a_token_is_for_whom_the_options_permit() {
    let long = format!("public:{}", "x".repeat(249));
    let denied = Err(Denial::Error(103));
    for (words, user, channel, want) in [
        ("", "42", "closed:a", denied),
        ("insecure", "", "closed:a", Ok(())),
        ("", "", "public:a", Ok(())),
        ("", "", "members:a", denied),
        ("", "42", "members:a", Ok(())),
        ("", "42", "$public:a", denied),
        ("insecure", "", "$public:a", Ok(())),
        ("", "42", "limited:a#42", Ok(())),
        ("", "42", "limited:a#41,42", Ok(())),
        ("", "43", "limited:a#42", denied),
        ("", "", "limited:a#", denied),
        ("", "", "limited:a", Ok(())),
        ("", "43", "public:a#42", Ok(())),
        ("insecure", "43", "limited:a#42", Ok(())),
        ("", "42", "other:a", Err(Denial::Error(102))),
        ("insecure", "42", "other:a", Err(Denial::Error(102))),
        ("", "42", "plain", Err(Denial::Error(102))),
        ("insecure", "", "plain", Ok(())),
        ("open", "", "plain", Ok(())),
        ("open", "", "other:a", Ok(())),
        ("open secret", "", "plain", denied),
        ("open", "", "closed:a", denied),
        ("", "", "chat:a", Ok(())),
        ("secret", "", "chat:a", denied),
        ("secret insecure", "", "chat:a", Ok(())),
        ("", "", "$chat:a", Err(Denial::Error(102))),
        ("", "", "", Err(Denial::Error(107))),
        ("", "", "public:\u{e9}", Err(Denial::Error(107))),
        ("insecure", "", "public:a\n", Err(Denial::Error(107))),
        ("insecure", "", "public:\0", Err(Denial::Error(107))),
        ("insecure", "", "public:\x1b[2J", Err(Denial::Error(107))),
        ("insecure", "", "public:\x7f", Err(Denial::Error(107))),
        ("", "", &long, Err(Denial::Error(107))),
        ("", "", &long[..255], Ok(())),
    ] {
        let got = subscribe(words, user, channel, "").map(|_| ());
        assert_eq!(got, want, "{words} {user:?} {channel}");
    }
}

#[test]
fn a_subscription_token_is_for_its_channel_user_and_client() {
    let denied = Err(Denial::Error(103));
    let invalid = Err(Denial::Disconnect(3500));
    for (words, channel, key, claims, want) in [
        (
            "",
            "closed:a",
            "key",
            r#"{"sub":"42","channel":"closed:a"}"#,
            Ok(()),
        ),
        (
            "",
            "$closed:a",
            "key",
            r#"{"sub":"42","channel":"$closed:a"}"#,
            Ok(()),
        ),
        (
            "",
            "closed:b",
            "key",
            r#"{"sub":"42","channel":"closed:a"}"#,
            invalid,
        ),
        (
            "",
            "closed:a",
            "key",
            r#"{"sub":"43","channel":"closed:a"}"#,
            invalid,
        ),
        ("", "closed:a", "key", r#"{"channel":"closed:a"}"#, invalid),
        (
            "",
            "closed:a",
            "key",
            r#"{"sub":"42","channel":"closed:a","client":"c1"}"#,
            Ok(()),
        ),
        (
            "",
            "closed:a",
            "key",
            r#"{"sub":"42","channel":"closed:a","client":"c2"}"#,
            invalid,
        ),
        ("", "closed:a", "key", r#"{"sub":"42"}"#, denied),
        (
            "",
            "closed:a",
            "other",
            r#"{"sub":"42","channel":"closed:a"}"#,
            denied,
        ),
        (
            "insecure",
            "closed:a",
            "other",
            r#"{"sub":"42","channel":"closed:a"}"#,
            denied,
        ),
        (
            "",
            "public:a",
            "other",
            r#"{"sub":"42","channel":"public:a"}"#,
            denied,
        ),
        (
            "",
            "closed:a",
            "key",
            r#"{"sub":"42","channel":"closed:a","exp":1}"#,
            Err(Denial::Error(109)),
        ),
        (
            "secret",
            "chat:a",
            "chat-key",
            r#"{"channel":"chat:a","exp":1000060}"#,
            Ok(()),
        ),
        (
            "secret",
            "chat:a",
            "chat-key",
            r#"{"channel":"chat:a","sub":"43"}"#,
            invalid,
        ),
        (
            "secret",
            "chat:a",
            "chat-key",
            r#"{"channel":"chat:b"}"#,
            invalid,
        ),
        (
            "secret",
            "chat:a",
            "chat-key",
            r#"{"channel":"chat:a","exp":1}"#,
            Err(Denial::Error(109)),
        ),
        ("secret", "chat:a", "key", r#"{"channel":"chat:a"}"#, Ok(())),
        (
            "secret",
            "closed:a",
            "chat-key",
            r#"{"sub":"42","channel":"closed:a"}"#,
            denied,
        ),
        (
            "secret open",
            "plain",
            "chat-key",
            r#"{"channel":"plain"}"#,
            Ok(()),
        ),
        (
            "secret",
            "chat:a",
            "other",
            r#"{"channel":"chat:a"}"#,
            denied,
        ),
        (
            "keyless",
            "chat:a",
            "key",
            r#"{"channel":"chat:a"}"#,
            denied,
        ),
        (
            "",
            "closed:a",
            "key",
            r#"{"sub":"42","channel":"closed:a","b64data":"eA=="}"#,
            denied,
        ),
    ] {
        let got = subscribe(words, "42", channel, &token(key, claims)).map(|_| ());
        assert_eq!(got, want, "{words} {channel} {claims}");
    }
}

#[test]
fn a_subscription_is_what_its_channel_and_token_make_it() {
    let claims = r#"{"sub":"42","channel":"full:a","exp":1000060,"info":{"i":
        1},"data":[2],"override":{"presence":{"value":false},"force_recovery":{"value":true}}}"#;
    let grant = subscribe("", "42", "full:a", &token("key", claims)).unwrap();
    let want = SubscribeGrant {
        create: Some(Retention {
            size: 10,
            ttl: Duration::from_secs(60),
            position_ttl: Duration::from_secs(3600),
        }),
        from_beginning: false,
        recovery: Feature::Forced,
        is_cache: false,
        positioning: Feature::Forced,
        presence: false,
        join_leave: true,
        push_join_leave: Feature::Allowed,
        delta: false,
        tags_filter: false,
        compaction: false,
        info: Some((*br#"{"i":        1}"#).into()),
        data: Some((*b"[2]").into()),
        expiry: Expiry(Some(1_000_060)),
        by_token: true,
    };
    assert_eq!(grant, want);

    let chat = subscribe("", "", "chat:a", "").unwrap();
    assert_eq!((chat.create, chat.from_beginning), (None, true));
    assert_eq!(
        (chat.recovery, chat.positioning),
        (Feature::Forced, Feature::Forced)
    );
    let open = subscribe("open", "", "plain", "").unwrap();
    assert!(open.create.is_some_and(|it| it.size == 10) && !open.from_beginning);
    let bare = subscribe("", "", "public:a", "").unwrap();
    assert_eq!(bare.create, Some(Retention::NONE));
    assert_eq!(
        (bare.recovery, bare.positioning),
        (Feature::Off, Feature::Off)
    );
}

#[test]
fn a_new_subscription_token_is_for_the_same_subscription() {
    let refresh = |channel, key: &str, claims| {
        policy("secret").refresh_subscription(&SubscribeAsk {
            user: "42",
            client: "c1",
            channel,
            token: &token(key, claims),
            unix_time: NOW,
        })
    };
    let good = r#"{"sub":"42","channel":"closed:a","exp":1000060}"#;
    let granted = |channel: &str, until| {
        Ok(RefreshGrant {
            channel: channel.into(),
            expiry: Expiry(until),
        })
    };
    let invalid = || Err(Denial::Disconnect(3500));
    for (channel, key, claims, want) in [
        (
            "closed:a",
            "key",
            good,
            granted("closed:a", Some(1_000_060)),
        ),
        ("", "key", good, granted("closed:a", Some(1_000_060))),
        ("closed:b", "key", good, invalid()),
        ("closed:a", "other", good, invalid()),
        (
            "closed:a",
            "key",
            r#"{"sub":"43","channel":"closed:a"}"#,
            invalid(),
        ),
        (
            "closed:a",
            "key",
            r#"{"sub":"42","channel":"closed:a","exp":1}"#,
            Err(Denial::Error(109)),
        ),
        (
            "chat:a",
            "chat-key",
            r#"{"channel":"chat:a"}"#,
            granted("chat:a", None),
        ),
    ] {
        assert_eq!(refresh(channel, key, claims), want, "{channel} {claims}");
    }
}

#[test]
fn what_else_a_client_does_is_on_and_permitted_or_refused() {
    use Action::{History, Presence, Publish};
    let denied = Err(Denial::Error(103));
    let off = Err(Denial::Error(108));
    let bad = Err(Denial::Error(107));
    for (words, action, channel, user, is_subscribed, data, want) in [
        ("", Publish, "closed:a", "42", true, "1", denied),
        ("insecure", Publish, "closed:a", "", false, "1", Ok(())),
        ("", Publish, "members:a", "42", false, "1", denied),
        ("", Publish, "members:a", "42", true, "1", Ok(())),
        ("", Publish, "members:a", "42", true, "", bad),
        ("", Publish, "full:a", "42", false, "{}", Ok(())),
        ("", Publish, "full:a", "42", false, "1", bad),
        ("", Publish, "full:a", "42", false, "{x", bad),
        ("", Publish, "full:a", "", false, "{}", denied),
        ("", Publish, "json:a", "", false, " [1]", Ok(())),
        ("", Publish, "json:a", "", false, "nul", bad),
        ("", Publish, "json:a", "", false, " ", bad),
        ("", Publish, "json:a", "", false, "1 2", bad),
        ("", Publish, "any:a", "", false, "nul", Ok(())),
        ("", Publish, "any:a", "", false, "", bad),
        ("insecure", Publish, "any:\n", "", false, "1", bad),
        ("", Publish, "chat:a", "42", true, "1", denied),
        ("insecure", Publish, "chat:a", "42", true, "1", denied),
        ("open", Publish, "plain", "42", true, "1", denied),
        (
            "",
            Publish,
            "other:a",
            "42",
            true,
            "1",
            Err(Denial::Error(102)),
        ),
        ("", Publish, "full:\u{e9}", "42", true, "{}", bad),
        ("", Presence, "closed:a", "42", true, "", off),
        ("insecure", Presence, "closed:a", "42", true, "", off),
        ("", Presence, "full:a", "42", false, "", Ok(())),
        ("", Presence, "full:a", "", true, "", denied),
        ("insecure", Presence, "full:a", "", false, "", Ok(())),
        ("", Presence, "chat:a", "42", true, "", off),
        ("", History, "closed:a", "42", true, "", off),
        ("", History, "full:a", "42", true, "", Ok(())),
        ("", History, "full:a", "42", false, "", denied),
        ("insecure", History, "full:a", "", false, "", Ok(())),
        ("", History, "chat:a", "", true, "", Ok(())),
        ("", History, "chat:a", "42", false, "", denied),
        ("open", History, "plain", "", true, "", Ok(())),
    ] {
        let ask = ActAsk {
            action,
            user,
            channel,
            is_subscribed,
            data: data.as_bytes(),
        };
        let got = policy(words).act(&ask).map(|_| ());
        assert_eq!(got, want, "{words} {ask:?}");
    }
    let ask = ActAsk {
        action: Publish,
        user: "42",
        channel: "full:a",
        is_subscribed: false,
        data: b"{}",
    };
    let grant = policy("").act(&ask).unwrap();
    assert!(grant.as_delta && grant.create.is_some_and(|it| it.size == 10));
}

#[test]
fn who_only_listens_needs_no_more_than_a_token_for_the_channel() {
    let of = |claims| token("key", claims);
    for (channel, token, want) in [
        ("public:a", String::new(), Ok(())),
        ("members:a", String::new(), Err(Denial::Error(103))),
        (
            "closed:a",
            of(r#"{"sub":"42","channel":"closed:a"}"#),
            Ok(()),
        ),
        (
            "closed:b",
            of(r#"{"sub":"42","channel":"closed:a"}"#),
            Err(Denial::Error(103)),
        ),
        (
            "closed:a",
            of(r#"{"sub":"42","channel":"closed:a","client":"c1"}"#),
            Err(Denial::Error(103)),
        ),
        (
            "closed:a",
            of(r#"{"channel":"closed:a","exp":1}"#),
            Err(Denial::Error(109)),
        ),
        ("other:a", String::new(), Err(Denial::Error(102))),
    ] {
        let got = policy("").listen(channel, &token, NOW).map(|_| ());
        assert_eq!(got, want, "{channel}");
    }
    for (words, channel, want) in [
        ("", "chat:a", true),
        ("", "other:a", true),
        ("open", "other:a", true),
        ("open", "closed:a", false),
        ("open insecure", "plain", true),
        ("insecure", "plain", false),
        ("", "closed:a", false),
        ("", "$closed:a", false),
    ] {
        assert_eq!(
            policy(words).is_ruled_by_name(channel),
            want,
            "{words} {channel}"
        );
    }
}
