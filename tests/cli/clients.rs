//! `[client]`, its token keys and the namespaces: what a good file comes to.

use std::time::Duration;

use lmserver::Plugins;
use lmserver::access::{Access, ChannelOptions, DataFormat, History, RecoveryMode};
use lmserver::config::{Client, Config, Environment, Flags, Inputs};
use lmserver::runtime::plugin::access::Feature;
use lmserver::token::{SecretKey, Verifier, sign};

/// What a file comes to, beside a provider.
fn read(text: &str) -> Config {
    let environment = Environment::from([("TOKEN_SECRET", "topsecret"), ("PEM", RSA)]);
    let plugins = Plugins::builtin();
    let inputs = Inputs {
        flags: &Flags::default(),
        environment: &environment,
        plugins: &plugins,
    };
    let text = format!("{text}\n[provider.echo]\n");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokens");
    let read = Config::from_text("test.toml", &text, folder.as_ref(), inputs);
    let (config, _) = read.map_err(|report| report.to_string()).unwrap();
    config
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn without_a_section_the_defaults_hold_and_only_chats_have_options() {
    let config = read("");
    assert_eq!(config.client, Client::default());
    let namespaces = config.namespaces;
    assert_eq!(namespaces.resolve("chat:1"), Ok(&ChannelOptions::chat()));
    for channel in ["news", "news:today", "#42"] {
        assert!(namespaces.resolve(channel).is_err(), "{channel}");
    }
}

#[test]
fn each_key_of_the_client_section_has_its_place() {
    let client = read(
        "[client]\ninsecure = true\nallow_anonymous_connect_without_token = false\n\
         disallow_anonymous_connection_tokens = true\nchannel_limit = 1\nuser_connection_limit = 2\n\
         ping_interval = \"3s\"\npong_timeout = \"2s\"\nstale_close_delay = \"4s\"\n\
         expired_close_delay = \"5s\"\nexpired_sub_close_delay = \"6s\"\n\
         history_max_publication_limit = 7\ncommands_per_frame = 8\ncommand_rate = 0\n\
         message_size_limit = \"9KiB\"\nsubscribe_to_user_personal_channel = true\n\
         personal_channel_namespace = \"mine\"\n[namespace.mine]\n",
    )
    .client;
    let want = Client {
        insecure: true,
        allow_anonymous_connect_without_token: false,
        disallow_anonymous_connection_tokens: true,
        channel_limit: 1,
        user_connection_limit: 2,
        ping_interval: seconds(3),
        pong_timeout: seconds(2),
        stale_close_delay: seconds(4),
        expired_close_delay: seconds(5),
        expired_sub_close_delay: seconds(6),
        history_max_publication_limit: 7,
        commands_per_frame: 8,
        command_rate: 0,
        message_size_limit: 9 << 10,
        subscribe_to_user_personal_channel: true,
        personal_channel_namespace: "mine".into(),
        ..Client::default()
    };
    assert_eq!(client, want);
}

#[test]
fn the_token_secret_signs_client_tokens_where_they_have_no_secret_of_their_own() {
    let auth = "[auth]\ntoken_secret = \"env:TOKEN_SECRET\"\n";
    let with = |token: &str| read(&format!("{auth}{token}")).client;
    let secret = |settings: &lmserver::token::Settings| {
        let secret = settings.hmac_secret_key.as_ref();
        secret.map(|secret| secret.expose().to_owned())
    };
    assert_eq!(secret(&read("").client.token), None);
    for token in [
        "",
        "[client.token]\nrsa_public_key = \"file:rsa.spki.pem\"\n",
    ] {
        assert_eq!(secret(&with(token).token).as_deref(), Some("topsecret"));
    }
    let own = with("[client.token]\nhmac_secret_key = \"own\"\n");
    assert_eq!(secret(&own.token).as_deref(), Some("own"));
    assert_eq!(own.subscription_token, None);
    let two = with("[client.subscription_token]\nhmac_secret_key = \"other\"\n");
    assert_eq!(secret(&two.token).as_deref(), Some("topsecret"));
    let other = two.subscription_token.unwrap();
    assert_eq!(secret(&other).as_deref(), Some("other"));
    let token = sign(
        &SecretKey::new(b"other"),
        br#"{"alg":"HS256"}"#,
        br#"{"channel":"a"}"#,
    );
    let claims = Verifier::new(&other).subscription(&token, seconds(0));
    assert_eq!(&*claims.unwrap().channel, "a");
    let refused = Verifier::new(&two.token).subscription(&token, seconds(0));
    assert!(refused.is_err());
}

#[test]
fn public_keys_come_from_files_the_environment_or_the_file_itself() {
    let literal = format!("'''{RSA}'''");
    for written in [
        "\"file:rsa.spki.pem\"",
        "\"file:rsa.pkcs1.pem\"",
        "\"env:PEM\"",
        &literal,
    ] {
        let config = read(&format!("[client.token]\nrsa_public_key = {written}\n"));
        let by_file = read("[client.token]\nrsa_public_key = \"file:rsa.spki.pem\"\n");
        assert!(config.client.token.rsa_public_key.is_some());
        assert_eq!(config.client.token, by_file.client.token, "{written}");
    }
    let config = read(
        "[client.token]\necdsa_public_key = \"file:p384.pem\"\njwks_file = \"jwks.json\"\n\
         jwks_public_endpoint = \"https://issuer.example/keys\"\nissuer = \"me\"\n\
         audience = \"you\"\nuser_id_claim = \"uid\"\n\
         hmac_previous_secret_key = \"old\"\nhmac_previous_secret_key_valid_until = 5\n",
    );
    let token = config.client.token;
    let source = token.key_source.unwrap();
    assert_eq!(source.url(), Some("https://issuer.example/keys"));
    assert_eq!(source.keys().len(), 4, "until the first one is fetched");
    assert!(token.ecdsa_public_key.is_some());
    assert_eq!(token.issuer.as_deref(), Some("me"));
    assert_eq!(token.audience.as_deref(), Some("you"));
    assert_eq!(token.user_id_claim.as_deref(), Some("uid"));
    assert_eq!(token.hmac_previous_secret_key_valid_until, Some(5));
}

#[test]
fn key_sets_are_fetched_from_where_the_sections_say() {
    let urls = |text: &str| -> Vec<String> {
        let servers = read(text).key_servers;
        servers.iter().map(|it| it.url().to_owned()).collect()
    };
    let one = "[client.token]\njwks_public_endpoint = \"https://issuer.example/keys/\"\n";
    let other = "[client.subscription_token]\njwks_public_endpoint = \"http://[::1]/\"\n";
    assert_eq!(urls(one), ["https://issuer.example/keys/"]);
    assert_eq!(urls(other), ["http://[::1]/"]);
    assert_eq!(
        urls(&format!("{one}{other}")),
        ["https://issuer.example/keys/", "http://[::1]/"]
    );
    assert!(urls("[client.token]\njwks_file = \"jwks.json\"\n").is_empty());
}

#[test]
fn each_option_of_a_namespace_has_its_place() {
    let all = "history_size = 5\nhistory_ttl = \"6s\"\nhistory_meta_ttl = \"7s\"\n\
         force_recovery = true\nforce_recovery_mode = \"cache\"\nallow_positioning = true\n\
         presence = true\njoin_leave = true\nforce_push_join_leave = true\n\
         allow_subscribe_for_client = true\nallow_subscribe_for_anonymous = true\n\
         allow_publish_for_client = true\nallow_presence_for_subscriber = true\n\
         allow_presence_for_anonymous = true\nallow_history_for_subscriber = true\n\
         allow_user_limited_channels = true\nallowed_delta_types = [\"fossil\"]\n\
         delta_publish = true\nallow_tags_filter = true\nallow_channel_compaction = true\n\
         publication_data_format = \"json_object\"\n";
    let want = ChannelOptions {
        history: Some(History {
            size: 5,
            ttl: seconds(6),
            meta_ttl: seconds(7),
        }),
        recovery: Feature::Forced,
        recovery_mode: RecoveryMode::Cache,
        positioning: Feature::Allowed,
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        subscribe: Access::ALL,
        publish: Access {
            client: true,
            ..Access::default()
        },
        ask_presence: Access::SUBSCRIBERS,
        read_history: Access {
            subscriber: true,
            ..Access::default()
        },
        allow_user_limited_channels: true,
        allow_fossil_delta: true,
        delta_publish: true,
        allow_tags_filter: true,
        allow_channel_compaction: true,
        publication_data_format: DataFormat::JsonObject,
    };
    let namespaces = read(&format!(
        "[namespace.news]\n{all}\n[without_namespace]\n{all}\n[namespace.bare]\n"
    ))
    .namespaces;
    assert_eq!(namespaces.resolve("news:a"), Ok(&want));
    assert_eq!(namespaces.resolve("a"), Ok(&want));
    let bare = ChannelOptions::default();
    assert_eq!(namespaces.resolve("bare:a"), Ok(&bare));
    assert!(namespaces.resolve("other:a").is_err());
}

#[test]
fn publications_are_anything_unless_a_format_is_configured() {
    for (text, want) in [
        ("", DataFormat::Any),
        ("publication_data_format = \"json\"\n", DataFormat::Json),
        (
            "publication_data_format = \"json_object\"\n",
            DataFormat::JsonObject,
        ),
    ] {
        let namespaces = read(&format!("[namespace.news]\n{text}")).namespaces;
        let options = namespaces.resolve("news:a").unwrap();
        assert_eq!(options.publication_data_format, want, "{text}");
    }
}

#[test]
fn positions_outlive_publications_unless_it_is_said_for_how_long() {
    for (ttl, meta) in [("5m", 30), ("60d", 60)] {
        let text = format!("[namespace.news]\nhistory_size = 1\nhistory_ttl = \"{ttl}\"\n");
        let namespaces = read(&text).namespaces;
        let options = namespaces.resolve("news:a").unwrap();
        let history = options.history.unwrap();
        assert_eq!(history.meta_ttl, seconds(meta * 86_400), "{ttl}");
    }
}

#[test]
fn open_channels_have_the_options_that_open_channels_had_before() {
    let config =
        read("[channels]\nopen = true\nhistory_size = 7\nhistory_ttl = \"8s\"\n[namespace.news]\n");
    let namespaces = config.namespaces;
    let open = namespaces.resolve("anything:at all").unwrap();
    assert_eq!(namespaces.resolve("anything"), Ok(open));
    let history = open.history.unwrap();
    assert_eq!((history.size, history.ttl), (7, seconds(8)));
    assert_eq!(open.recovery, Feature::Forced);
    assert_eq!(open.positioning, Feature::Forced);
    assert!(open.subscribe.permits("", false));
    assert!(!open.publish.permits("42", true));
    let news = namespaces.resolve("news:a").unwrap();
    assert!(!news.subscribe.permits("42", false));
}

#[test]
fn a_chat_has_what_can_be_said_of_it_and_the_rest_as_it_is() {
    let namespaces = read(
        "[namespace.chat]\npresence = true\nallow_presence_for_client = true\n\
         allow_channel_compaction = true\nallow_history_for_subscriber = false\n",
    )
    .namespaces;
    let want = ChannelOptions {
        presence: true,
        ask_presence: Access {
            client: true,
            ..Access::default()
        },
        read_history: Access {
            anonymous: true,
            ..Access::default()
        },
        allow_channel_compaction: true,
        ..ChannelOptions::chat()
    };
    assert_eq!(namespaces.resolve("chat:1"), Ok(&want));
    assert!(namespaces.named.is_empty());
}

const RSA: &str = include_str!("../data/tokens/rsa.spki.pem");
